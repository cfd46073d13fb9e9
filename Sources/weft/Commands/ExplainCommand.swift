import ArgumentParser
import CLinux
import Glibc

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Say what would happen, and why.",
        subcommands: [Connect.self, ExplainRequest.self])

    struct Connect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Explain what a connection would meet: service, identity, policy, backend, lane.",
            discussion: """
                Nothing is connected: the answer comes from the maps that the kernel programs use, by the same rules. \
                Exit status 0 if the connection would be made, 1 if it would be denied or refused, or could be at \
                some of the backends.

                EXAMPLES
                  weft explain connect 127.96.0.10:80           from outside the mesh
                  weft explain connect 127.96.0.10:80 --from shop/client
                  weft explain connect 127.96.0.10:53 --protocol udp --pid $(pidof resolver)
                  weft explain connect [fd00::10]:443 -o json
                """)

        @Argument(help: ArgumentHelp("The address and port that the application asks for.", valueName: "address:port"))
        var destination: String

        @Option(name: [.customLong("protocol")], help: "tcp or udp.")
        var transport = "tcp"

        @Option(help: ArgumentHelp("The workload that connects, or 'unknown'.", valueName: "namespace/name"))
        var from: String?

        @Option(help: "The process that connects: its cgroup tells its workload.")
        var pid: Int32?

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func validate() throws {
            _ = try endpoint()
            if from != nil && pid != nil { throw ValidationError("--from and --pid exclude each other.") }
        }

        private func endpoint() throws -> Endpoint {
            guard let number = parseTransport(transport) else { throw ValidationError("--protocol is tcp or udp.") }
            guard let endpoint = Endpoint(destination, transport: number) else {
                throw ValidationError(
                    "'\(destination)' is not an address and port, such as 127.96.0.10:80 or [fd00::10]:443.")
            }
            return endpoint
        }

        func run() throws {
            let maps = try pins.open()
            let resolver = Resolver(maps)
            let source =
                if let pid { try Source(process: pid, maps, resolver) } else {
                    try Source(named: from ?? "unknown", resolver)
                }
            let explanation = try Explanation(endpoint(), from: source, maps, resolver)
            format.print(explanation.value) { explanation.page($0) }
            if explanation.outcome != .connects { throw end(with: .no) }
        }
    }
}
