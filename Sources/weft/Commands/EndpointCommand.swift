import ArgumentParser
import WeftABI

struct EndpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "endpoint", abstract: "Endpoints of the services: their state, load, and draining them.",
        discussion: """
            EXAMPLES
              weft endpoint list --service shop/web
              weft endpoint drain shop/web 10.0.0.7:8080 --deadline 30s --wait
            """,
        subcommands: [List.self, Drain.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List endpoints with their weight, state and load.",
            discussion: """
                The maps are read, and, for services in the proxy lane, the agent is asked for health, requests and \
                ejections; those columns are empty where there is no agent or no such service.

                EXAMPLES
                  weft endpoint list
                  weft endpoint list --service shop/web
                  weft endpoint list -o json | jq '.[] | select(.state == "draining")'
                """)

        @Option(help: ArgumentHelp("Only this service's endpoints.", valueName: "namespace/name"))
        var service: String?

        @OptionGroup var pins: PinOptions
        @OptionGroup var runtime: RunOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let maps = try pins.open()
            let resolver = Resolver(maps)
            let proxied = ProxiedEndpoints(AdminClient(runDirectory: runtime.directory))
            let wanted = try service.map { Set(try resolver.serviceIDs($0)) }
            let records = try maps.backendsByService()
                .filter { wanted?.contains($0.key) ?? true }
                .flatMap { id, backends in
                    backends.map { backend in
                        Record(
                            [resolver.serviceField(id)] + EndpointCommand.record(backend, resolver).fields
                                + proxied.fields(of: backend.endpoint.host, service: resolver.serviceField(id).text))
                    }
                }
            format.print(
                records.sorted { naturally($0.sortKey, $1.sortKey) },
                empty: service.map { "no endpoints of \($0)" } ?? "no endpoints on this node")
        }
    }

    /// - Parameter share: shown if it is given and is not for a list.
    static func record(_ backend: Backend, share: Double?, _ resolver: Resolver) -> Record {
        var record = record(backend, resolver)
        let field = Field(
            "share", share.map(Value.number) ?? .number(0), text: share.map(formatShare) ?? formatShare(0))
        let weight = record.fields.firstIndex { $0.name == "weight" } ?? 0
        record.fields.insert(field, at: weight + 1)
        return record
    }

    static func record(_ backend: Backend, _ resolver: Resolver) -> Record {
        var fields = [
            Field("address", .string(backend.endpoint.host), title: "ENDPOINT"),
            .hidden("protocol", .string(transportName(backend.entry.protocol))),
            .hidden("id", .identifier(backend.id)),
            Field("workload", resolver.value(backend.entry.workload)),
            Field("weight", Value(backend.entry.weight)),
            Field(
                "state", .string(Terms.backendState(backend.entry.state)), style: .backendState(backend.entry.state)),
            Field("openConnections", Value(backend.open), title: "OPEN"),
            Field("openedConnections", Value(backend.load.opened), title: "OPENED"),
        ]
        let left = backend.secondsLeft
        fields.append(
            Field(
                "drainSecondsLeft", left.map(Value.number) ?? .null, title: "DRAIN ENDS",
                text: left.map { $0 > 0 ? "in " + formatWholeSeconds($0) : "now" } ?? "-"))
        return Record(fields)
    }
}
