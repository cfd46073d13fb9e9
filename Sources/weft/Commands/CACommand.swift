import ArgumentParser
import FoundationEssentials
import Identity

struct CACommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca", abstract: "The built-in CA in the agent's state directory.",
        discussion: """
            These commands work on files, with or without an agent; a running one takes changes over within five \
            seconds. They need the right to read <state-dir>/ca, which is root's alone.

            For production keep the root's key off the nodes: make the root and an intermediate for each node with \
            'weft ca issue-node' or another CA, and give weftd --ca-cert, --ca-key and --ca-bundle.
            """,
        subcommands: [
            Show.self, Bundle.self, IssueNode.self, Revoke.self, CATokenCommand.self, RotateRoot.self, RotateNode.self,
        ])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the roots, this node's intermediate, and how far a rotation is.",
            discussion: """
                EXAMPLES
                  weft ca show
                  weft ca show -o json | jq -r .stage
                """)

        @OptionGroup var state: StateOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let contents = try state.contents()
            let stage = CADirectory.stage(of: contents)
            let node = contents.node?.certificate
            let roots = contents.roots.map { root in
                Record([
                    Field("subject", .string(root.subject)),
                    Field("role", .string(Self.role(of: root, contents))),
                    Field("notAfter", .string(time(root.notAfter))),
                    Field("fingerprint", .string(hexadecimal(root.fingerprint))),
                ])
            }
            let answer: Value = [
                "trustDomain": .string(try state.directory().trustDomain), "stage": .string(stage.rawValue),
                "hasRootKey": .bool(contents.root != nil), "node": .optional(node?.commonName),
                "nodeSerial": .optional(node?.serial), "nodeNotAfter": .optional(node.map { time($0.notAfter) }),
                "roots": .array(roots.map(\.value)),
                "revoked": .array(contents.revocations.flatMap(\.serials).map(Value.string)),
            ]
            let domain = try state.directory().trustDomain
            format.print(answer) { terminal in
                var page = Page(terminal)
                page.facts([
                    ("trust domain", domain), ("rotation", stage.rawValue),
                    ("root's key", contents.root == nil ? "elsewhere" : "here"),
                    ("node", node?.commonName ?? "-"), ("intermediate", node?.serial ?? "-"),
                    ("expires", node.map { time($0.notAfter) } ?? "-"),
                    ("revoked", "\(contents.revocations.reduce(0) { $0 + $1.serials.count })"),
                ])
                page.table("Roots", roots)
                return page.text
            }
        }

        private static func role(of root: Certificate, _ contents: CADirectory.Contents) -> String {
            if root == contents.root?.certificate { return "active" }
            return root == contents.nextRoot?.certificate ? "staged" : "trusted"
        }
    }

    struct Bundle: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the trust bundle: the roots and the revocation lists, as PEM.",
            discussion: """
                EXAMPLES
                  weft ca bundle > bundle.pem
                  weft ca bundle > /var/lib/weft/bundles/other.example.pem     (there: the other domain's agents)
                """)

        @OptionGroup var state: StateOptions

        func run() throws {
            Console.write(String(decoding: try state.contents().bundlePEM, as: UTF8.self))
        }
    }

    struct IssueNode: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an intermediate for another node from the root here.",
            discussion: """
                Writes node.pem (certificate and key, readable by its owner alone) and bundle.pem. Put both into \
                <state-dir>/ca on that node, or give them to weftd: --ca-cert node.pem --ca-key node.pem --ca-bundle \
                bundle.pem. It is valid for 90 days; only a node that has joined renews it by itself.

                EXAMPLES
                  weft ca issue-node node-b --out ./node-b
                """)

        @Argument(help: "The node's name.") var name: String
        @Option(help: ArgumentHelp("Where the files are written.", valueName: "dir")) var out: String
        @OptionGroup var state: StateOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            guard NodeName.isValid(name) else { throw Failure.usage("'\(name)' cannot be a node's name") }
            try refusing { () throws(IdentityError) in
                let files = try state.existing().issueNode(name, now: now())
                try StateFile.makePrivateDirectory(out)
                try StateFile.write(files.bundle, to: "\(out)/bundle.pem")
                try StateFile.write(files.node, to: "\(out)/node.pem")
            }
            format.print(["node": .string(name), "files": [.string("\(out)/node.pem"), .string("\(out)/bundle.pem")]]) {
                _ in
                "\(out)/node.pem and \(out)/bundle.pem are written\n"
            }
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a certificate, by its file or its serial number.",
            discussion: """
                The revocation list of its issuer is part of the bundle: this node refuses the certificate at once, \
                nodes that joined within ten minutes. 'weft identity list' shows serial numbers.

                EXAMPLES
                  weft ca revoke ./web.pem
                  weft ca revoke 5f0c9a31e2
                  weft ca revoke --node 77aa01       the intermediate of another node, with all that it issued
                """)

        @Argument(help: ArgumentHelp("What to revoke.", valueName: "file|serial")) var what: String
        @Flag(help: "The serial number is that of a node's intermediate, which the root issued.") var node = false
        @OptionGroup var state: StateOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let list = try refusing { () throws(IdentityError) in
                let directory = try state.existing()
                guard !node, StateFile.exists(what) else {
                    return try directory.revoke(serial: what, of: node ? .root : .node, now: now())
                }
                guard let certificate = try CertificateFile(path: what).certificates.first else {
                    throw IdentityError(.malformed, "\(what): there is no certificate in it")
                }
                return try directory.revoke(certificate, now: now())
            }
            format.print(["issuer": .string(list.issuer), "revoked": .array(list.serials.map(Value.string))]) { _ in
                "revoked; '\(list.issuer)' has revoked \(list.serials.count) in all\n"
            }
        }
    }
}

/// Where the agent keeps its CA.
struct StateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The agent's state directory. (WEFT_STATE_DIR; default: /var/lib/weft)", valueName: "dir"))
    var stateDir: String?

    var path: String {
        if let stateDir { return stateDir }
        let variable = environment("WEFT_STATE_DIR") ?? ""
        return variable.isEmpty ? "/var/lib/weft" : variable
    }

    func existing() throws(IdentityError) -> CADirectory { try CADirectory(existing: "\(path)/ca") }

    func directory() throws -> CADirectory { try refusing { () throws(IdentityError) in try existing() } }

    func contents() throws -> CADirectory.Contents {
        try refusing { () throws(IdentityError) in try existing().read(now: now()) }
    }
}

/// The answer is no where the CA refuses, and unknown where its files cannot be read.
func refusing<Answer>(_ body: () throws(IdentityError) -> Answer) throws(Failure) -> Answer {
    do throws(IdentityError) {
        return try body()
    } catch {
        throw error.cause == .file ? .unknown(error.description) : .no(error.description)
    }
}

/// Seconds since 1970.
func now() -> Int64 { Int64(Date.now.timeIntervalSince1970) }

/// RFC 3339.
func time(_ seconds: Int64) -> String { Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) }

func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
