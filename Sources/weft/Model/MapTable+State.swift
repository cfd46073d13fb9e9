import KernelPlane
import Mesh
import WeftABI

extension MapTable {
    static var stateTables: [MapTable] { [serviceState, affinity, cgroupCache, tuples] }

    private static let serviceState = MapTable(
        "service_state", "Turns of round robin", keyForm: "shop/web:80",
        reader: { $0.serviceState },
        parse: { text, _ in parseIdentifier(text) },
        key: { id, resolver in resolver.serviceName(id) },
        fields: { id, state, resolver in
            [resolver.serviceField(id), Field("roundRobin", Value(state.round_robin))]
        })

    private static let affinity = MapTable(
        "affinity", "Which backend a client came to", keyForm: "SERVICE<WORKLOAD%NETNS (as 'map watch' shows it)",
        reader: { $0.affinity },
        parse: { _, _ in nil },
        key: { key, resolver in
            let source = IPAddress(key.source)
            let client =
                "\(resolver.serviceName(key.service))<\(resolver.name(key.workload, none: "unknown"))%\(key.netns_cookie)"
            return source.high | source.low == 0 ? client : "\(client)%\(source)"
        },
        fields: { key, entry, resolver in
            let source = IPAddress(key.source)
            let age = secondsSince(entry.last_used_ns)
            return [
                resolver.serviceField(key.service),
                Field("client", resolver.value(key.workload), text: resolver.name(key.workload, none: "unknown")),
                Field("netnsCookie", Value(key.netns_cookie), title: "NETNS"),
                Field("source", source.high | source.low == 0 ? .null : .string("\(source)")),
                Field("backend", .string(resolver.backendName(entry.backend))),
                Field(
                    "lastUsedNanoseconds", Value(entry.last_used_ns), title: "LAST USED",
                    text: formatSeconds(age) + " ago"),
            ]
        })

    private static let cgroupCache = MapTable(
        "cgroup_cache", "Workloads found for cgroups", keyForm: "4711 (a cgroup id), /shop/web (its path)",
        reader: { $0.cgroupCache },
        parse: { text, _ in try parseCgroup(text) },
        key: { id, _ in "\(id)" },
        fields: { id, found, resolver in
            [
                Field("cgroup", Value(id)),
                Field("path", .optional(CgroupPaths.shared.path(of: id))),
                Field("workload", resolver.value(found.workload)),
                Field("generation", Value(found.generation)),
            ]
        })

    private static let tuples = MapTable(
        "tuples", "Local connections that wait for or have a server's end",
        keyForm: "CLIENT>SERVER/tcp (as 'map watch' shows it)",
        reader: { $0.tuples },
        parse: { _, _ in nil },
        key: { key, _ in
            let client = Endpoint(key.client_address, key.client_port, key.protocol)
            let server = Endpoint(key.server_address, key.server_port, key.protocol)
            return "\(client.host)>\(server)" + (key.scope == 0 ? "" : "%\(key.scope)")
        },
        fields: { key, tuple, resolver in
            [
                Field("client", .string(Endpoint(key.client_address, key.client_port, key.protocol).host)),
                Field("server", .string(Endpoint(key.server_address, key.server_port, key.protocol).host)),
                Field("protocol", .string(transportName(key.protocol)), title: "PROTO"),
                Field("netnsCookie", key.scope == 0 ? .null : Value(key.scope), title: "NETNS"),
                Field("source", resolver.value(tuple.source), text: resolver.name(tuple.source, none: "unknown")),
                resolver.serviceField(tuple.service),
                Field("destination", resolver.value(tuple.destination)),
            ]
        })
}
