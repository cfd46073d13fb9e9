import ArgumentParser
import Mesh
import WeftABI

struct WorkloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workload", abstract: "Workloads: what has an identity and is subject to policies.",
        subcommands: [List.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List workloads with their identities, addresses, cgroups and policies.",
            discussion: """
                EXAMPLES
                  weft workload list
                  weft workload list -o json | jq -r '.[] | select(.cgroups == []) | .workload'
                """)

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let maps = try pins.open()
            let resolver = Resolver(maps)
            let cgroups = Dictionary(grouping: try maps.cgroups.entries(), by: \.value)
            let addresses = Dictionary(grouping: try maps.addresses.entries(), by: \.value)
            let records = try maps.workloads.entries().map { id, workload in
                Self.record(
                    id, workload, cgroups: (cgroups[id] ?? []).map(\.key), addresses: (addresses[id] ?? []).map(\.key),
                    resolver)
            }
            format.print(
                records.sorted { naturally($0.sortKey, $1.sortKey) }, empty: "no workloads on this node")
        }

        private static func record(
            _ id: UInt64, _ workload: weft_workload, cgroups: [UInt64], addresses: [weft_endpoint_key],
            _ resolver: Resolver
        ) -> Record {
            let endpoints = addresses.map { key in
                let endpoint = Endpoint(key.address, key.port, key.protocol)
                return key.port == 0 ? endpoint.address.description : endpoint.description
            }.sorted(by: naturally)
            let paths = cgroups.map { CgroupPaths.shared.path(of: $0) }
            let flags = [(WEFT_WORKLOAD_LOCAL, "local"), (WEFT_WORKLOAD_ACCELERATED, "accelerated")]
                .filter { workload.flags & $0.0.rawValue != 0 }.map(\.1)
            return Record([
                Field("workload", resolver.value(id), title: "NAME"),
                .hidden("id", .identifier(id)),
                Field("identity", resolver.value(workload.identity)),
                Field("addresses", .array(endpoints.map(Value.string))),
                Field(
                    "cgroups",
                    .array(zip(cgroups, paths).map { ["id": Value($0), "path": .optional($1)] }),
                    text: cgroups.isEmpty ? "-" : zip(cgroups, paths).map { $1 ?? "\($0)" }.joined(separator: ",")),
                Field("policies", resolver.value(workload.policy)),
                Field("flags", .array(flags.map(Value.string))),
            ])
        }
    }
}
