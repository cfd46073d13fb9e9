import ArgumentParser
import Identity

extension CACommand {
    struct RotateRoot: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate-root", abstract: "Replace the root, in three steps that interrupt nothing.",
            discussion: """
                stage     makes the new root and trusts it beside the old one
                activate  lets the new root issue; the old one stays trusted
                retire    ends the trust in the old root

                Between two steps every node has to have taken over the one before. Nodes that joined ask for the \
                bundle every ten minutes; others are given the output of 'weft ca bundle'. Before 'retire' every \
                certificate of the old root has to be replaced: intermediates of other nodes, and after them the \
                certificates of workloads, which takes a running agent seconds. Connections that are open then go on \
                until they end; 'weft ca revoke' is what ends them.

                EXAMPLES
                  weft ca rotate-root stage
                  weft ca rotate-root activate
                  weft ca rotate-root retire
                """)

        enum Step: String, ExpressibleByArgument, CaseIterable { case stage, activate, retire }

        @Argument(help: "Which step.") var step: Step
        @OptionGroup var state: StateOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let contents = try refusing { () throws(IdentityError) in
                let directory = try state.existing()
                switch step {
                case .stage: return try directory.stageRoot(now: now())
                case .activate: return try directory.activateRoot(node: try state.nodeName(), now: now())
                case .retire: return try directory.retireRoots(now: now())
                }
            }
            let stage = CADirectory.stage(of: contents).rawValue
            let roots = contents.roots.map { Value.string(hexadecimal($0.fingerprint)) }
            format.print(["stage": .string(stage), "roots": .array(roots)]) { _ in
                switch step {
                case .stage: "the new root is trusted; activate it when every node has the bundle\n"
                case .activate: "the new root issues; retire the old one when nothing of it is in use\n"
                case .retire: "the old root is not trusted any more\n"
                }
            }
        }
    }

    struct RotateNode: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate-node",
            abstract: "Replace this node's intermediate; its workloads get new certificates.",
            discussion: """
                EXAMPLES
                  weft ca rotate-node
                """)

        @OptionGroup var state: StateOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let contents = try refusing { () throws(IdentityError) in
                try state.existing().rotateNode(try state.nodeName(), now: now())
            }
            let serial = contents.node?.certificate.serial ?? ""
            format.print(["serial": .string(serial)]) { _ in "the intermediate is \(serial) now\n" }
        }
    }
}

struct CATokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Tokens by which nodes join.", subcommands: [Create.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token by which one node may join once.",
            discussion: """
                The agent here has to run with --ca-listen. The token holds a secret and the root's fingerprint: send \
                it where only that node's administrator reads it. The CA keeps a hash of it alone.

                EXAMPLES
                  weft ca token create --node node-b
                  WEFT_JOIN_TOKEN=… weftd run --node node-b --join-address 10.0.0.1:15012     (on node-b)
                """)

        @Option(help: "The node's name.") var node: String
        @Option(help: "How long it is good: 10m, 1h.") var ttl = "10m"
        @OptionGroup var state: StateOptions
        @OptionGroup var format: OutputOptions

        func validate() throws {
            guard NodeName.isValid(node) else { throw ValidationError("'\(node)' cannot be a node's name.") }
            guard let duration = parseDuration(ttl), duration >= .seconds(1), duration <= .seconds(7 * 86400) else {
                throw ValidationError("'\(ttl)' is not a duration between 1s and 7d.")
            }
        }

        func run() throws {
            let lifetime = Int64(parseDuration(ttl)?.seconds ?? 600)
            let token = try refusing { () throws(IdentityError) in
                let directory = try state.existing()
                guard let root = try directory.read(now: now()).root else {
                    throw IdentityError(.invalid, "the root's key is not in \(directory.path): nodes cannot join here")
                }
                return try directory.tokens.create(
                    node: node, root: root.certificate, lifetime: lifetime, now: now())
            }
            format.print([
                "node": .string(node), "token": .string(token.description), "expires": .string(time(now() + lifetime)),
            ]) { _ in token.description + "\n" }
        }
    }
}

extension StateOptions {
    /// The name in the intermediate that is there.
    func nodeName() throws(IdentityError) -> String {
        guard let name = try existing().read(now: now()).node?.certificate.commonName else {
            throw IdentityError(.invalid, "there is no intermediate in \(path)/ca: start the agent first")
        }
        return name
    }
}
