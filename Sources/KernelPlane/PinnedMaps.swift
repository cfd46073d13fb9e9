public import BPF
public import WeftABI

/// Every pinned map with its types: what the agent writes and what it, and the CLI, reads.
///
/// The names and the meaning of each map are in bpf/maps.h.
public final class PinnedMaps: Sendable {
    public let services: Map<weft_service_key, weft_service>
    public let slots: Map<weft_slot_key, weft_slot>
    public let backends: Map<UInt64, weft_backend>
    public let maglev: MapOfMaps<UInt64>
    public let captures: Map<UInt64, weft_capture>
    public let proxy: Map<UInt32, weft_proxy>
    public let routes: Map<weft_route_key, weft_route_step>
    public let inboundPorts: Map<weft_inbound_key, weft_inbound_port>
    /// Written with descriptors, read as socket cookies.
    public let inboundSockets: Map<weft_inbound_socket_key, UInt64>
    public let workloads: Map<UInt64, weft_workload>
    public let addresses: Map<weft_endpoint_key, UInt64>
    public let cgroups: Map<UInt64, UInt64>
    public let policies: Map<UInt64, weft_policy>
    public let policyIdentities: Map<weft_policy_identity_key, weft_clauses>
    public let policyPorts: Map<weft_policy_port_key, weft_clauses>
    public let policyPrefixes: Map<weft_policy_address_key, weft_clauses>
    public let policyRanges: Map<weft_policy_range_key, weft_clauses>
    public let policyRules: Map<weft_policy_rule_key, UInt64>
    public let names: Map<UInt64, weft_name>
    public let settings: Map<UInt32, weft_settings>
    public let tap: Map<UInt32, weft_tap>

    public let listeners: Map<weft_listener_key, weft_listener>
    public let backendLoad: Map<UInt64, weft_backend_load>
    public let serviceState: Map<UInt64, weft_service_state>
    public let affinity: Map<weft_affinity_key, weft_affinity>
    public let cgroupCache: Map<UInt64, weft_cgroup_identity>
    public let traffic: PerCPUMap<weft_traffic_key, weft_traffic>
    public let requests: PerCPUMap<weft_requests_key, weft_requests>
    public let ruleCounters: PerCPUMap<weft_rule_key, UInt64>
    public let nodeCounters: PerCPUMap<UInt32, UInt64>
    public let pairs: Map<UInt32, weft_pair>
    public let conduct: Map<UInt64, weft_conduct>
    public let acceleration: PerCPUMap<weft_acceleration_key, weft_acceleration>
    public let tuples: Map<weft_tuple_key, weft_tuple>
    public let origins: Map<weft_tuple_key, weft_origin>

    /// The maps whose number of entries is bounded, and whose bound the agent can be given: for `--map-limit`, the
    /// pressure metrics and `weft map list`.
    public static let names: [String] = [
        "services", "slots", "backends", "maglev", "captures", "routes", "inbound_ports", "workloads", "addresses",
        "cgroups",
        "policies", "policy_ids",
        "policy_ports", "policy_prefixes", "policy_ranges", "policy_rules", "names", "backend_load", "service_state",
        "affinity",
        "listeners", "cgroup_cache", "traffic", "requests", "rule_counters", "conduct", "acceleration", "tuples",
        "origins",
    ]

    /// Opens the pins.
    ///
    /// - Throws: `BPFError` naming the map that is missing or of another layout.
    public init(_ directory: PinDirectory) throws(BPFError) {
        func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
            _ name: String
        ) throws(BPFError) -> Map<Key, Value> {
            try Map.openPinned(directory.map(name), name: name)
        }
        func perCPU<Key: BitwiseCopyable, Value: BitwiseCopyable>(
            _ name: String
        ) throws(BPFError) -> PerCPUMap<Key, Value> {
            try PerCPUMap.openPinned(directory.map(name), name: name)
        }
        services = try map("services")
        slots = try map("slots")
        backends = try map("backends")
        maglev = try MapOfMaps.openPinned(directory.map("maglev"), name: "maglev")
        captures = try map("captures")
        proxy = try map("proxy")
        routes = try map("routes")
        inboundPorts = try map("inbound_ports")
        inboundSockets = try map("inbound_socks")
        workloads = try map("workloads")
        addresses = try map("addresses")
        cgroups = try map("cgroups")
        policies = try map("policies")
        policyIdentities = try map("policy_ids")
        policyPorts = try map("policy_ports")
        policyPrefixes = try map("policy_prefixes")
        policyRanges = try map("policy_ranges")
        policyRules = try map("policy_rules")
        names = try map("names")
        settings = try map("settings")
        tap = try map("tap")
        listeners = try map("listeners")
        backendLoad = try map("backend_load")
        serviceState = try map("service_state")
        affinity = try map("affinity")
        cgroupCache = try map("cgroup_cache")
        traffic = try perCPU("traffic")
        requests = try perCPU("requests")
        ruleCounters = try perCPU("rule_counters")
        nodeCounters = try perCPU("node_counters")
        pairs = try map("pairs")
        conduct = try map("conduct")
        acceleration = try perCPU("acceleration")
        tuples = try map("tuples")
        origins = try map("origins")
    }
}
