import FoundationEssentials
import Identity
import Mesh

/// What the admin API says of certificates.
extension AdminAPI {
    private struct IdentityReport: Encodable {
        var identity: String
        /// `valid`; `renewing` while attempts fail; `missing`.
        var state: String
        var serial: String?
        /// SHA-256 of the certificate.
        var fingerprint: String?
        var issuer: String?
        /// RFC 3339.
        var notBefore: String?
        var notAfter: String?
        var renewAt: String
        var expirySeconds: Int64?
        var failures: Int
        var problem: String?

        init(_ entry: IdentityManager.Entry, now: Int64) {
            identity = entry.id.description
            let certificate = entry.certificate
            let leaf = certificate.flatMap { try? Certificate(der: $0.chain.first ?? []) }
            state = certificate == nil ? "missing" : entry.problem == nil ? "valid" : "renewing"
            serial = leaf?.serial
            fingerprint = leaf.map { $0.fingerprint.map { hexadecimal($0) }.joined() }
            issuer = leaf?.issuer
            notBefore = certificate.map { Self.time($0.notBefore) }
            notAfter = certificate.map { Self.time($0.notAfter) }
            renewAt = Self.time(entry.renewAt / 1000)
            expirySeconds = certificate.map { $0.notAfter - now / 1000 }
            failures = entry.failures
            problem = entry.problem?.description
        }

        static func time(_ seconds: Int64) -> String {
            Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
        }
    }

    private struct AuthorityReport: Encodable {
        struct Root: Encodable {
            var subject: String
            var fingerprint: String
            var notAfter: String
        }
        var trustDomain: String
        var generation: UInt64
        /// nil before this node has joined.
        var issuer: String?
        var issuerNotAfter: String?
        var roots: [Root]
        /// Domains whose certificates are accepted.
        var trustDomains: [String]
        var revocationLists: Int
        var problems: [String]
    }

    private struct RotateRequest: Decodable {
        var identity: String?
    }

    func identities(_ request: HTTPRequest) -> HTTPResponse {
        let entries = agent.identity.identity.manager.entries
        let now = IdentityService.now()
        guard let name = request.query("identity") else {
            return Self.json(
                200, entries.sorted { $0.key < $1.key }.map { IdentityReport($0.value, now: now) })
        }
        guard let entry = entries[name] else {
            return Self.error(404, "no workload of this node has the identity \(name)")
        }
        return Self.json(200, [IdentityReport(entry, now: now)])
    }

    func rotate(_ request: HTTPRequest) -> HTTPResponse {
        let order: RotateRequest
        do {
            order = try JSONDecoder().decode(RotateRequest.self, from: Data(request.body))
        } catch {
            return Self.error(400, #"the body has to be {"identity": "spiffe://…"}, or {} for all"#)
        }
        let count = agent.identity.rotate(order.identity)
        if let name = order.identity, count == 0 {
            return Self.error(404, "no workload of this node has the identity \(name)")
        }
        return Self.json(200, ["rotated": count])
    }

    func authority() -> HTTPResponse {
        let identity = agent.identity.identity
        let trust = identity.trust
        let roots = (trust.bundles[trust.trustDomain]?.roots ?? []).compactMap { try? Certificate(der: $0) }
        let problems = ([identity.authorityProblem].compactMap { $0 } + identity.fileProblems).map(\.description)
        return Self.json(
            200,
            AuthorityReport(
                trustDomain: trust.trustDomain, generation: trust.generation,
                issuer: identity.authority?.certificate.subject,
                issuerNotAfter: identity.authority.map { IdentityReport.time($0.certificate.notAfter) },
                roots: roots.map {
                    .init(
                        subject: $0.subject, fingerprint: $0.fingerprint.map { hexadecimal($0) }.joined(),
                        notAfter: IdentityReport.time($0.notAfter))
                },
                trustDomains: trust.bundles.keys.sorted(),
                revocationLists: trust.bundles.values.reduce(0) { $0 + $1.revocations.count }, problems: problems))
    }
}

/// Two digits.
private func hexadecimal(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
