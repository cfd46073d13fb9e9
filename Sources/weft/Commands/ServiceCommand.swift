import ArgumentParser
import WeftABI

struct ServiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service", abstract: "Services and how their connections are balanced.",
        discussion: """
            EXAMPLES
              weft service list
              weft service show shop/web
            """,
        subcommands: [List.self, Show.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the addresses that connections are balanced for.",
            discussion: """
                BACKENDS counts active and, after a slash, draining ones. OPEN are the connections of now, OPENED all \
                that were ever given to the present backends.

                EXAMPLES
                  weft service list
                  weft service list -o json | jq '.[] | select(.backends.active == 0)'
                """)

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let maps = try pins.open()
            let resolver = Resolver(maps)
            let backends = try maps.backendsByService()
            let records = try maps.services.entries()
                .map { key, service in
                    Self.record(
                        Endpoint(key.address, key.port, key.protocol), service, backends[service.id] ?? [], resolver)
                }
            format.print(
                records.sorted { naturally($0.sortKey, $1.sortKey) }, empty: "no services on this node")
        }

        static func record(
            _ address: Endpoint, _ service: weft_service, _ backends: [Backend], _ resolver: Resolver
        ) -> Record {
            let draining = backends.count { $0.isDraining }
            let active = backends.count {
                UInt32($0.entry.state) == WEFT_BACKEND_ACTIVE.rawValue && $0.entry.weight > 0
            }
            let open = backends.reduce(0) { $0 + $1.open }
            let opened = backends.reduce(0) { $0 &+ $1.load.opened }
            return Record([
                Field("service", resolver.value(service.id), title: "NAME"),
                Field("address", .string(address.description)),
                Field("lane", .string(Terms.lane(service.lane))),
                Field("algorithm", .string(Terms.algorithm(service.algorithm))),
                Field(
                    "affinitySeconds", Value(service.affinity_seconds), title: "AFFINITY",
                    text: service.affinity_seconds == 0 ? "-" : formatWholeSeconds(Double(service.affinity_seconds))),
                Field(
                    "backends", ["active": Value(active), "draining": Value(draining)],
                    text: draining == 0 ? "\(active)" : "\(active)/\(draining)", style: active == 0 ? .bad : .plain),
                .hidden("connections", ["open": Value(open), "opened": Value(opened)]),
                .column("OPEN", open),
                .column("OPENED", opened),
            ])
        }
    }
}

extension Record {
    /// What a list is sorted by: its first two columns.
    var sortKey: String { fields.lazy.filter { $0.title != nil }.prefix(2).map(\.text).joined(separator: "\t") }
}
