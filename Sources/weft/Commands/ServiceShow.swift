import ArgumentParser
import KernelPlane
import WeftABI

extension ServiceCommand {
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a service's endpoints, their shares of its connections, and who uses it.",
            discussion: """
                SHARE is the part of new connections that an endpoint gets: exact for weights and Maglev tables; for \
                least connections the chance at the loads of this moment.

                EXAMPLES
                  weft service show shop/web            every port of the service
                  weft service show shop/web:80       one port
                  weft service show shop/web -o yaml
                """)

        @Argument(help: "NAMESPACE/NAME, or NAMESPACE/NAME:PORT as 'weft service list' shows it.")
        var service: String

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let maps = try pins.open()
            let resolver = Resolver(maps)
            let named = Set(try resolver.serviceIDs(service))
            let addresses = try maps.services.entries().filter { named.contains($0.value.id) }
            let backends = try maps.backendsByService()
            // Names outlive what they named.
            let ids = named.filter { id in backends[id] != nil || addresses.contains { $0.value.id == id } }
            guard !ids.isEmpty else { throw Failure.no("the service '\(service)' has been removed from this node") }
            let traffic = try maps.traffic.entries().filter { ids.contains($0.key.service) }

            let ports = try ids.sorted { naturally(resolver.serviceName($0), resolver.serviceName($1)) }.map { id in
                try ServicePort(
                    id: id,
                    addresses: addresses.filter { $0.value.id == id }
                        .map { Endpoint($0.key.address, $0.key.port, $0.key.protocol) },
                    service: addresses.first { $0.value.id == id }?.value,
                    backends: backends[id] ?? [],
                    traffic: traffic.filter { $0.key.service == id },
                    maps: maps, resolver: resolver)
            }
            format.print(.array(ports.map(\.value))) { terminal in
                ports.map { $0.page(terminal) }.joined(separator: "\n")
            }
        }
    }
}

/// One port of a service with everything that the maps know of it.
private struct ServicePort {
    private let facts: Record
    private let endpoints: [Record]
    private let clients: [Record]

    init(
        id: UInt64, addresses: [Endpoint], service: weft_service?, backends: [Backend],
        traffic: [(key: weft_traffic_key, value: weft_traffic)], maps: NodeMaps, resolver: Resolver
    ) throws {
        let shares = try service.map { try maps.shares(of: $0) } ?? [:]
        let affinity = service?.affinity_seconds ?? 0
        facts = Record([
            resolver.serviceField(id), .hidden("id", .identifier(id)),
            Field("addresses", .array(addresses.map(\.description).sorted(by: naturally).map(Value.string))),
            Field("lane", service.map { .string(Terms.lane($0.lane)) } ?? .null),
            Field("proxyReason", .optional(resolver.text(Identifier.reason(service: id))), title: "LANE DEMANDED BY"),
            Field("algorithm", service.map { .string(Terms.algorithm($0.algorithm)) } ?? .null),
            Field(
                "affinitySeconds", Value(affinity), title: "AFFINITY",
                text: affinity == 0 ? "none" : formatWholeSeconds(Double(affinity)) + " since the last connection"),
        ])
        endpoints = backends.map { EndpointCommand.record($0, share: shares[$0.id], resolver) }
        clients = traffic.map { key, traffic in
            Record(
                [
                    Field("source", resolver.value(key.source), text: resolver.name(key.source, none: "unknown")),
                    Field("destination", resolver.value(key.destination)),
                    Field("lane", .string(Terms.lane(key.lane))),
                    Field("reporter", .string(Terms.reporter(key.reporter))),
                ] + MapTable.fields(of: traffic))
        }.sorted { naturally($0.sortKey, $1.sortKey) }
    }

    var value: Value {
        guard case .object(var object) = facts.value else { return facts.value }
        object["endpoints"] = .array(endpoints.map(\.value))
        object["traffic"] = .array(clients.map(\.value))
        return .object(object)
    }

    func page(_ terminal: Terminal) -> String {
        var page = Page(terminal)
        page.facts(facts.fields.filter { $0.title != nil }.map { (($0.title ?? $0.name).capitalizedFirst, $0.text) })
        if endpoints.isEmpty {
            page.blank()
            page.line("No endpoints: connections are refused.", .caution)
        }
        page.table("Endpoints", endpoints)
        page.table("Traffic", clients)
        return page.text
    }
}

extension String {
    /// `AFFINITY` → `Affinity`.
    fileprivate var capitalizedFirst: String { prefix(1) + dropFirst().lowercased() }
}
