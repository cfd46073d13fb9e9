import KernelPlane
import Mesh
import WeftABI

extension MapTable {
    static var workloadTables: [MapTable] { [workloads, addresses, cgroups, names, settings] }

    private static let workloads = MapTable(
        "workloads", "Workloads and the identities that policies speak of", keyForm: "shop/web-1",
        reader: { $0.workloads },
        parse: { text, resolver in try resolver.id(text, .workload) },
        key: { id, resolver in resolver.name(id) },
        fields: { id, workload, resolver in
            let isLocal = workload.flags & WEFT_WORKLOAD_LOCAL.rawValue != 0
            let address = IPAddress(workload.address)
            return [
                Field("workload", resolver.value(id)),
                .hidden("id", .identifier(id)),
                Field("identity", resolver.value(workload.identity)),
                Field("policy", resolver.value(workload.policy)),
                Field("ingress", resolver.value(workload.ingress)),
                Field("egress", resolver.value(workload.egress)),
                .hidden("tunnel", .bool(workload.flags & WEFT_WORKLOAD_TUNNEL.rawValue != 0)),
                .hidden("strict", .bool(workload.flags & WEFT_WORKLOAD_STRICT.rawValue != 0)),
                Field("address", address.isUnspecified ? .null : .string("\(address)")),
                Field("local", .bool(isLocal)),
            ]
        })

    private static let addresses = MapTable(
        "addresses", "Whose address and port that is", keyForm: "10.0.0.7:8080/tcp, 10.0.0.7 (every port)",
        reader: { $0.addresses },
        parse: { text, _ in
            if let address = IPAddress(text) {
                return weft_endpoint_key(Endpoint(address: address, port: 0, transport: 0))
            }
            return Endpoint(text).map { weft_endpoint_key($0) }
        },
        key: { key, _ in
            let endpoint = Endpoint(key.address, key.port, key.protocol)
            let text = key.port == 0 ? endpoint.address.description : endpoint.description
            return key.scope == 0 ? text : "\(text)%\(key.scope)"
        },
        fields: { key, workload, resolver in
            [
                Field("address", .string(IPAddress(key.address).description)),
                Field(
                    "port", key.port == 0 ? .null : Value(UInt16(bigEndian: key.port)),
                    text: key.port == 0 ? "any" : nil),
                Field("protocol", key.port == 0 ? .null : .string(transportName(key.protocol))),
                Field("netnsCookie", key.scope == 0 ? .null : Value(key.scope), title: "NETNS"),
                Field("workload", resolver.value(workload)),
            ]
        })

    private static let cgroups = MapTable(
        "cgroups", "Cgroups whose processes belong to a workload", keyForm: "4711 (a cgroup id), /shop/web (its path)",
        reader: { $0.cgroups },
        parse: { text, _ in try parseCgroup(text) },
        key: { id, _ in "\(id)" },
        fields: { id, workload, resolver in
            [
                Field("cgroup", Value(id)),
                Field("path", .optional(CgroupPaths.shared.path(of: id))),
                Field("workload", resolver.value(workload)),
            ]
        })

    private static let names = MapTable(
        "names", "Names of the identifiers in all maps", keyForm: "0x0123456789abcdef, or a name",
        reader: { $0.names },
        parse: { text, resolver in
            if let id = parseIdentifier(text) { return id }
            return Resolver.Kind.allCases.map { identifier(of: text, $0) }.first { resolver.text($0) == text }
        },
        key: { id, _ in hexadecimal(id) },
        fields: { id, name, _ in
            [
                Field("kind", .string(Terms.nameKind(name.kind))),
                Field("name", .string(name.string)),
                Field("id", .identifier(id)),
            ]
        })

    private static let settings = MapTable(
        "settings", "What the programs know about the node", keyForm: "0",
        reader: { $0.settings },
        parse: { text, _ in UInt32(text) },
        key: { index, _ in "\(index)" },
        fields: { _, settings, _ in
            [
                Field("generation", Value(settings.generation)),
                Field("agentPID", settings.agent_pid == 0 ? .null : Value(settings.agent_pid), title: "AGENT PID"),
                Field("attachedCgroup", Value(settings.attached_cgroup)),
                .hidden("attachedCgroupPath", .optional(CgroupPaths.shared.path(of: settings.attached_cgroup))),
                Field("identityGeneration", Value(settings.identity_generation)),
                .hidden("agentStartedNanoseconds", Value(settings.agent_started_ns)),
                Field("flowWakeupBytes", Value(settings.flow_wakeup_bytes)),
            ]
        })
}

extension weft_endpoint_key {
    init(_ endpoint: Endpoint, scope: UInt64 = 0) {
        self.init()
        self.scope = scope
        address = weft_address(endpoint.address)
        port = endpoint.port.bigEndian
        `protocol` = endpoint.transport
    }
}
