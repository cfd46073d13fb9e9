import ArgumentParser
import FoundationEssentials

struct IdentityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity", abstract: "Certificates of this node's workloads (X.509-SVIDs).",
        subcommands: [List.self, Show.self, Rotate.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the identities of this node's workloads and when their certificates expire.",
            discussion: """
                A certificate that is 'renewing' is valid, but the attempts to renew it fail; 'missing' is one that \
                could not be issued or has expired. Exit status 1 if there is either.

                EXAMPLES
                  weft identity list
                  weft identity list -o json | jq -r '.[] | select(.state != "valid") | .problem'
                """)

        @OptionGroup var runtime: RunOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let identities = try AdminClient(runDirectory: runtime.directory).get(
                "/v1/identities", as: [AgentIdentity].self)
            format.print(identities.map(\.record), empty: "no workload on this node has an identity")
            if identities.contains(where: { $0.state != "valid" }) { throw end(with: .no) }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show one identity's certificate, who issued it and what peers' are checked against.",
            discussion: """
                EXAMPLES
                  weft identity show shop/web                                  its service account
                  weft identity show spiffe://cluster.local/ns/shop/sa/web     its SPIFFE id
                """)

        @Argument(help: ArgumentHelp("Which identity.", valueName: "namespace/account|spiffe-id"))
        var identity: String

        @OptionGroup var runtime: RunOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let client = AdminClient(runDirectory: runtime.directory)
            let authority = try client.get("/v1/ca", as: AgentAuthority.self)
            let id = try spiffeID(identity, trustDomain: authority.trustDomain)
            let found = try client.get("/v1/identities?identity=\(id)", as: [AgentIdentity].self)
            guard let own = found.first else { throw Failure.no("no workload of this node has the identity \(id)") }
            let roots: [Value] = authority.roots.map {
                [
                    "subject": .string($0.subject), "fingerprint": .string($0.fingerprint),
                    "notAfter": .string($0.notAfter),
                ]
            }
            guard case .object(var value) = own.record.value else { return }
            value["roots"] = .array(roots)
            value["trustDomains"] = .array(authority.trustDomains.map(Value.string))
            format.print(.object(value)) { terminal in
                var page = Page(terminal)
                page.facts([
                    ("identity", own.identity, .plain), ("state", own.state, own.style),
                    ("serial", own.serial ?? "-", .plain), ("fingerprint", own.fingerprint ?? "-", .plain),
                    ("issuer", own.issuer ?? "-", .plain),
                    ("valid", "\(own.notBefore ?? "-") to \(own.notAfter ?? "-")", .plain),
                    ("renewed at", own.renewAt, .plain), ("problem", own.problem ?? "-", .plain),
                ])
                page.table(
                    "Roots of \(authority.trustDomain)",
                    authority.roots.map {
                        Record([
                            Field("subject", .string($0.subject)), Field("notAfter", .string($0.notAfter)),
                            Field("fingerprint", .string($0.fingerprint)),
                        ])
                    })
                return page.text
            }
            if own.state != "valid" { throw end(with: .no) }
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Issue new certificates now, for one identity or for all.",
            discussion: """
                Connections that are open keep the certificates that they were made with. New ones take the new \
                certificates. If the CA cannot issue, the old certificates stay in use.

                EXAMPLES
                  weft identity rotate
                  weft identity rotate shop/web
                """)

        @Argument(help: ArgumentHelp("Which identity; default: all.", valueName: "namespace/account|spiffe-id"))
        var identity: String?

        @OptionGroup var runtime: RunOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let client = AdminClient(runDirectory: runtime.directory)
            var body: Value.Object = [:]
            if let identity {
                let authority = try client.get("/v1/ca", as: AgentAuthority.self)
                body["identity"] = .string(try spiffeID(identity, trustDomain: authority.trustDomain))
            }
            let target = "/v1/identities/rotate"
            let response = try client.request(
                "POST", target, body: Array(Value.object(body).json(indented: false).utf8))
            try client.check(response, target)
            let answer = try? JSONDecoder().decode([String: Int].self, from: Data(response.body))
            let count = answer?["rotated"] ?? 0
            format.print(["rotated": Value(count)]) { _ in
                "\(count) certificate\(count == 1 ? " is" : "s are") renewed\n"
            }
        }
    }
}

/// A SPIFFE id as it is, or that of `namespace/account`.
private func spiffeID(_ text: String, trustDomain: String) throws -> String {
    if text.hasPrefix("spiffe://") { return text }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
        throw Failure.usage("'\(text)' is neither namespace/account nor a SPIFFE id (spiffe://…)")
    }
    return "spiffe://\(trustDomain)/ns/\(parts[0])/sa/\(parts[1])"
}
