import WeftABI

/// Reads one map. The commands work on these, so that what they compute can be tried on tables in memory as well.
struct MapReader<Key, Value> {
    /// For a longest-prefix map the entry that covers the key.
    var get: (Key) throws -> Value?
    var entries: () throws -> [(key: Key, value: Value)]
    var size: () throws -> MapSize
}

/// How large a map is, and how full.
struct MapSize: Equatable {
    /// The kernel's.
    var id: UInt32
    var type: String
    /// Nil for maps that are not read by key.
    var entries: Int?
    /// Bytes for a ring buffer; 0 for socket storage, which has no limit.
    var maxEntries: Int
    var keySize: Int
    var valueSize: Int
    var memoryBytes: Int?
}

/// The maps of a node that can be read by key (see bpf/maps.h for what each of them holds).
struct NodeMaps {
    var services: MapReader<weft_service_key, weft_service>
    var slots: MapReader<weft_slot_key, weft_slot>
    var backends: MapReader<UInt64, weft_backend>
    /// By service id: the table's backend ids, without the leading length.
    var maglev: MapReader<UInt64, [UInt64]>
    var captures: MapReader<UInt64, weft_capture>
    var proxy: MapReader<UInt32, weft_proxy>
    var routes: MapReader<weft_route_key, weft_route_step>
    var inboundPorts: MapReader<weft_inbound_key, weft_inbound_port>
    var listeners: MapReader<weft_listener_key, weft_listener>
    var workloads: MapReader<UInt64, weft_workload>
    var addresses: MapReader<weft_endpoint_key, UInt64>
    var cgroups: MapReader<UInt64, UInt64>
    var policies: MapReader<UInt64, weft_policy>
    var policyIdentities: MapReader<weft_policy_identity_key, weft_clauses>
    var policyPorts: MapReader<weft_policy_port_key, weft_clauses>
    var policyPrefixes: MapReader<weft_policy_address_key, weft_clauses>
    var policyRanges: MapReader<weft_policy_range_key, weft_clauses>
    var policyRules: MapReader<weft_policy_rule_key, UInt64>
    var names: MapReader<UInt64, weft_name>
    var settings: MapReader<UInt32, weft_settings>
    var backendLoad: MapReader<UInt64, weft_backend_load>
    var serviceState: MapReader<UInt64, weft_service_state>
    var affinity: MapReader<weft_affinity_key, weft_affinity>
    var cgroupCache: MapReader<UInt64, weft_cgroup_identity>
    /// Those that are in use.
    var pairs: MapReader<UInt32, weft_pair>
    var conduct: MapReader<UInt64, weft_conduct>
    /// Summed over the CPUs, as the three that follow.
    var acceleration: MapReader<weft_acceleration_key, weft_acceleration>
    var traffic: MapReader<weft_traffic_key, weft_traffic>
    var ruleCounters: MapReader<weft_rule_key, UInt64>
    var nodeCounters: MapReader<UInt32, UInt64>
    var tuples: MapReader<weft_tuple_key, weft_tuple>
    var origins: MapReader<weft_tuple_key, weft_origin>
}
