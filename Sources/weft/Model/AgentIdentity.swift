/// `GET /v1/identities`.
struct AgentIdentity: Decodable {
    var identity: String
    var state: String
    var serial: String?
    var fingerprint: String?
    var issuer: String?
    var notBefore: String?
    var notAfter: String?
    var renewAt: String
    var expirySeconds: Int64?
    var failures: Int
    var problem: String?

    var record: Record {
        Record([
            Field("identity", .string(identity)).whole,
            Field("state", .string(state), style: style),
            Field(
                "expirySeconds", expirySeconds.map { Value($0) } ?? .null, title: "EXPIRES IN",
                text: expirySeconds.map { formatWholeSeconds(Double($0)) } ?? "-"),
            Field("serial", .optional(serial)),
            .hidden("fingerprint", .optional(fingerprint)),
            .hidden("issuer", .optional(issuer)),
            .hidden("notBefore", .optional(notBefore)),
            .hidden("notAfter", .optional(notAfter)),
            .hidden("renewAt", .string(renewAt)),
            .hidden("failures", Value(failures)),
            Field("problem", .optional(problem)),
        ])
    }

    var style: Style {
        switch state {
        case "valid": .good
        case "renewing": .caution
        default: .bad
        }
    }
}

/// `GET /v1/ca`.
struct AgentAuthority: Decodable {
    struct Root: Decodable {
        var subject: String
        var fingerprint: String
        var notAfter: String
    }

    var trustDomain: String
    var generation: UInt64
    var issuer: String?
    var issuerNotAfter: String?
    var roots: [Root]
    var trustDomains: [String]
    var revocationLists: Int
    var problems: [String]
}
