import BPF
import WeftABI

/// What an earlier agent left in the pinned maps: entries that the first snapshot does not claim are removed after it has
/// been programmed, so that nothing that is still wanted is ever missing.
struct Inherited: Sendable {
    private var services: [weft_service_key]
    private var slots: [weft_slot_key]
    private var backends: [UInt64]
    private var maglev: [UInt64]
    private var captures: [UInt64]
    private var routes: [weft_route_key]
    private var inboundPorts: [weft_inbound_key]
    private var workloads: [UInt64]
    private var addresses: [weft_endpoint_key]
    private var policies: [UInt64]
    private var policyIdentities: [weft_policy_identity_key]
    private var policyPorts: [weft_policy_port_key]
    private var policyPrefixes: [weft_policy_address_key]
    private var policyRanges: [weft_policy_range_key]
    private var policyRules: [weft_policy_rule_key]

    init(_ maps: borrowing PinnedMaps) throws(BPFError) {
        services = try maps.services.keys()
        slots = try maps.slots.keys()
        backends = try maps.backends.keys()
        maglev = try maps.maglev.keys()
        captures = try maps.captures.keys()
        routes = try maps.routes.keys()
        inboundPorts = try maps.inboundPorts.keys()
        workloads = try maps.workloads.keys()
        addresses = try maps.addresses.keys()
        policies = try maps.policies.keys()
        policyIdentities = try maps.policyIdentities.keys()
        policyPorts = try maps.policyPorts.keys()
        policyPrefixes = try maps.policyPrefixes.keys()
        policyRanges = try maps.policyRanges.keys()
        policyRules = try maps.policyRules.keys()
    }

    /// - Parameter ownListeners: what the agent itself has in `addresses`.
    func removeAll(
        from maps: borrowing PinnedMaps, keeping compiled: borrowing CompiledMaps,
        ownListeners: Set<ABIBytes<weft_endpoint_key>>
    ) {
        var keptServices: Set<ABIBytes<weft_service_key>> = []
        var keptSlots: Set<ABIBytes<weft_slot_key>> = []
        var keptBackends: Set<UInt64> = []
        var keptTables: Set<UInt64> = []
        for frontend in compiled.services.values.flatMap(\.frontends) {
            let id = frontend.header.id
            keptServices.formUnion(frontend.keys.map { ABIBytes($0) })
            keptBackends.formUnion(frontend.backends.map(\.id))
            for index in frontend.slots.indices {
                keptSlots.insert(ABIBytes(weft_slot_key(service: id, slot: UInt32(index), reserved: 0)))
            }
            if frontend.maglev != nil { keptTables.insert(id) }
        }
        for key in services where !keptServices.contains(ABIBytes(key)) { _ = try? maps.services.delete(key) }
        for key in slots where !keptSlots.contains(ABIBytes(key)) { _ = try? maps.slots.delete(key) }
        for key in backends where !keptBackends.contains(key) {
            // One that is drained waits for its connections' deadline.
            if let backend = try? maps.backends.get(key), backend.drain_deadline_ns > 0,
                let load = try? maps.backendLoad.get(key), load.active > 0
            {
                continue
            }
            _ = try? maps.backends.delete(key)
        }
        for key in maglev where !keptTables.contains(key) { _ = try? maps.maglev.delete(key) }
        for key in captures where compiled.captures[key] == nil {
            _ = try? maps.captures.delete(key)
            _ = try? maps.names.delete(Identifier.reason(service: key))
        }
        for key in routes where !compiled.templates.has(key) { _ = try? maps.routes.delete(key) }
        let keptPorts = Set(compiled.inboundPorts.map { ABIBytes($0.key) })
        for key in inboundPorts where !keptPorts.contains(ABIBytes(key)) { _ = try? maps.inboundPorts.delete(key) }

        let keptWorkloads = Set(compiled.workloads.values.map(\.id))
        let keptAddresses = ownListeners.union(compiled.workloads.values.flatMap(\.endpoints).map { ABIBytes($0) })
        for key in addresses where !keptAddresses.contains(ABIBytes(key)) {
            _ = try? maps.addresses.delete(key)
        }
        for key in workloads where !keptWorkloads.contains(key) { _ = try? maps.workloads.delete(key) }

        for key in policies where compiled.policies[key] == nil { _ = try? maps.policies.delete(key) }
        // A group that is kept has the same content, as its identifier is made from it; only identities and
        // addresses of workloads may differ.
        var keptIdentities: Set<ABIBytes<weft_policy_identity_key>> = []
        for policy in compiled.policies.values {
            keptIdentities.formUnion(policy.identities.map { ABIBytes($0.key) })
        }
        for key in policyIdentities where !keptIdentities.contains(ABIBytes(key)) {
            _ = try? maps.policyIdentities.delete(key)
        }
        for key in policyPorts where compiled.policies[key.policy] == nil { _ = try? maps.policyPorts.delete(key) }
        for key in policyRules where compiled.policies[key.policy] == nil { _ = try? maps.policyRules.delete(key) }
        let keptPrefixes = Set(compiled.policies.values.flatMap { $0.prefixes.map { ABIBytes($0.key) } })
        for key in policyPrefixes where !keptPrefixes.contains(ABIBytes(key)) {
            _ = try? maps.policyPrefixes.delete(key)
        }
        for key in policyRanges {
            let policy = UInt64(key.policy_words.0) | UInt64(key.policy_words.1) << 32
            if compiled.policies[policy] == nil { _ = try? maps.policyRanges.delete(key) }
        }
    }
}
