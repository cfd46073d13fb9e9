import BPF
public import Mesh
import WeftABI

/// What could not be programmed, and for which object.
public struct ProgrammingFailure: Sendable, Equatable {
    /// `Service`, `Workload`, `AuthorizationPolicy` or `NetworkPolicy`.
    public var kind: String
    public var name: ObjectName
    /// Names the map, and its limit if it is full.
    public var message: String
}

/// Brings the agent-written maps to a snapshot by difference, in the order in which readers find no gap: what is pointed
/// to before what points to it, and the reverse for deletion.
struct MapReconciler: ~Copyable {
    let maps: PinnedMaps
    /// What each object has in the maps now: an object that failed keeps what it had.
    private var services: [ObjectName: CompiledService] = [:]
    private var workloads: [ObjectName: CompiledWorkload] = [:]
    private var policies: [UInt64: CompiledPolicy] = [:]
    private var captures: [UInt64: CompiledCapture] = [:]
    private var routes: [ABIBytes<weft_route_key>: ABIBytes<weft_route_step>] = [:]
    private var inboundPorts: [ABIBytes<weft_inbound_key>: CompiledWorkload.InboundPort] = [:]
    private var ownListeners: Set<ABIBytes<weft_endpoint_key>> = []
    private var sharedNames: [UInt64: CompiledName] = [:]
    /// Keys that were found in pinned maps and that nobody has claimed yet.
    private var inherited: Inherited?

    init(_ maps: consuming PinnedMaps) throws(BPFError) {
        self.maps = maps
        inherited = try Inherited(self.maps)
    }

    /// Applies a snapshot: policies, then the workloads that they guard and the processes that belong to them, then the
    /// services that lead to them; what is no longer wanted goes in the reverse order.
    ///
    /// - Parameter enrol: enrols processes; called when the workloads and policies are in their maps.
    /// - Returns: the objects that could not be programmed; everything else is.
    mutating func apply(
        _ compiled: borrowing CompiledMaps, enrol: (borrowing PinnedMaps) -> [ProgrammingFailure]
    ) -> [ProgrammingFailure] {
        var failures: [ProgrammingFailure] = []
        for (policy, reason) in compiled.failures {
            failures.append(ProgrammingFailure(kind: "AuthorizationPolicy", name: policy, message: reason))
        }
        for (policy, reason) in compiled.networkFailures {
            failures.append(ProgrammingFailure(kind: "NetworkPolicy", name: policy, message: reason))
        }
        applyNames(of: compiled)
        let unusable = addPolicies(compiled.policies)
        failures += addInboundPorts(compiled.workloads)
        failures += addWorkloads(compiled.workloads, unusablePolicies: unusable)
        failures += enrol(maps)
        failures += addCaptures(compiled)
        applyTemplates(compiled.templates)
        var refused = applyServices(compiled.services, generation: compiled.generation)
        removeCaptures(notIn: compiled)
        removeWorkloads(notIn: compiled.workloads)
        removeInboundPorts(notIn: compiled.inboundPorts)
        removePolicies(notIn: compiled.policies)
        if let leftovers = inherited {
            leftovers.removeAll(from: maps, keeping: compiled, ownListeners: ownListeners)
            inherited = nil
            // That may have made the room that was missing.
            if !refused.isEmpty { refused = applyServices(compiled.services, generation: compiled.generation) }
        }
        return failures + refused
    }

    // MARK: Services

    private mutating func applyServices(
        _ desired: [ObjectName: CompiledService], generation: UInt64
    ) -> [ProgrammingFailure] {
        var failures: [ProgrammingFailure] = []
        // Room first: what goes away makes place for what comes.
        for (name, old) in services where desired[name] == nil {
            replace(old, with: nil)
            services[name] = nil
        }
        var pending = desired.filter { services[$0.key] !== $0.value }
        while !pending.isEmpty {
            var refused: [ObjectName: CompiledService] = [:]
            failures = []
            for (name, new) in pending {
                let old = services[name]
                do throws(BPFError) {
                    try add(new, over: old, generation: generation)
                    replace(old, with: new)
                    services[name] = new
                } catch {
                    restore(old, insteadOf: new)
                    refused[name] = new
                    failures.append(ProgrammingFailure(kind: "Service", name: name, message: error.description))
                }
            }
            // Services that have shrunk make room too: as long as any is taken, the refused ones have another chance.
            if refused.count == pending.count { break }
            pending = refused
        }
        return failures
    }

    /// Adds and changes: backends, then slots and table, then the header with its new count.
    private func add(_ new: CompiledService, over old: CompiledService?, generation: UInt64) throws(BPFError) {
        for frontend in new.frontends {
            let id = frontend.header.id
            let before = old?.frontends.first { $0.header.id == id }
            if before == nil {
                try? maps.names.set(id, CompiledName(id, WEFT_NAME_SERVICE, frontend.name).abi)
                try create(maps.serviceState, id, weft_service_state())
            }
            let known = Dictionary(uniqueKeysWithValues: (before?.backends ?? []).map { ($0.id, ABIBytes($0.value)) })
            // A backend that is to be spared is so last, when no slot leads to it any more.
            let changed = frontend.backends.filter { known[$0.id] != ABIBytes($0.value) }
            for backend in changed where backend.isActive || known[backend.id] == nil {
                try create(maps.backendLoad, backend.id, weft_backend_load())
                try maps.backends.set(backend.id, backend.value)
            }
            for (index, slot) in frontend.slots.enumerated() {
                if let before, index < before.slots.count, ABIBytes(before.slots[index]) == ABIBytes(slot) { continue }
                try maps.slots.set(Self.slotKey(id, index), slot)
            }
            if let table = frontend.maglev, table != before?.maglev { try maps.maglev.set(id, table: table) }

            var header = frontend.header
            header.generation = UInt32(truncatingIfNeeded: generation)
            for key in frontend.keys { try maps.services.set(key, header) }
            for backend in changed where !backend.isActive { try maps.backends.set(backend.id, backend.value) }
        }
    }

    /// Removes what `old` had and `new` has not. A header goes before what it points to.
    private func replace(_ old: CompiledService?, with new: CompiledService?) {
        for frontend in old?.frontends ?? [] {
            let id = frontend.header.id
            let after = new?.frontends.first { $0.header.id == id }
            let keys = Set((after?.keys ?? []).map { ABIBytes($0) })
            for key in frontend.keys where !keys.contains(ABIBytes(key)) {
                // Unless another service has taken the address over.
                if (try? maps.services.get(key))?.id == id { _ = try? maps.services.delete(key) }
            }
            for index in (after?.slots.count ?? 0)..<max(after?.slots.count ?? 0, frontend.slots.count) {
                _ = try? maps.slots.delete(Self.slotKey(id, index))
            }
            if frontend.maglev != nil && after?.maglev == nil { _ = try? maps.maglev.delete(id) }
            let backends = Set((after?.backends ?? []).map(\.id))
            for backend in frontend.backends where !backends.contains(backend.id) { removeBackend(backend.id) }
            if after == nil {
                _ = try? maps.serviceState.delete(id)
                _ = try? maps.names.delete(id)
            }
        }
    }

    /// Takes back a change that could not be completed.
    private func restore(_ old: CompiledService?, insteadOf new: CompiledService) {
        for frontend in old?.frontends ?? [] {
            for backend in frontend.backends { try? maps.backends.set(backend.id, backend.value) }
            for (index, slot) in frontend.slots.enumerated() {
                try? maps.slots.set(Self.slotKey(frontend.header.id, index), slot)
            }
            if let table = frontend.maglev { try? maps.maglev.set(frontend.header.id, table: table) }
            for key in frontend.keys { try? maps.services.set(key, frontend.header) }
        }
        replace(new, with: old)
    }

    /// Open connections still count down in `backend_load`, so that entry stays until there are none (`tidy`), and so
    /// does the backend itself if they have a deadline.
    private func removeBackend(_ id: UInt64) {
        if let backend = try? maps.backends.get(id), backend.drain_deadline_ns > 0,
            let load = try? maps.backendLoad.get(id), load.active > 0
        {
            return
        }
        _ = try? maps.backends.delete(id)
        if let load = try? maps.backendLoad.get(id), load.active <= 0 { _ = try? maps.backendLoad.delete(id) }
    }

    /// Removes backends that only had connections to wait for, and load counters of backends that are gone, once they
    /// have no connection left.
    func tidy() {
        guard let loads = try? maps.backendLoad.entries() else { return }
        let wanted = Set(services.values.flatMap { $0.frontends.flatMap { $0.backends.map(\.id) } })
        for (id, load) in loads where load.active <= 0 {
            if !wanted.contains(id) { _ = try? maps.backends.delete(id) }
            // Only what is certainly gone: an error is no answer.
            guard case .some(.none) = try? maps.backends.get(id) else { continue }
            _ = try? maps.backendLoad.delete(id)
        }
    }

    private static func slotKey(_ service: UInt64, _ index: Int) -> weft_slot_key {
        weft_slot_key(service: service, slot: UInt32(index), reserved: 0)
    }

    // MARK: Route templates

    /// A template that finds no room is no failure of its service: its requests count without one. A connection that goes on
    /// with templates that are gone has none.
    private mutating func applyTemplates(_ compiled: CompiledTemplates) {
        for entries in [compiled.steps, compiled.roots] {
            for (key, entry) in entries where routes[key] != ABIBytes(entry.value) {
                guard (try? maps.routes.set(entry.key, entry.value)) != nil else { continue }
                routes[key] = ABIBytes(entry.value)
            }
        }
        for key in routes.keys where !compiled.has(key.value) {
            _ = try? maps.routes.delete(key.value)
            routes[key] = nil
        }
    }

    // MARK: The proxy lane

    /// The places at which the agent itself listens: nobody may connect to them, see `WEFT_WORKLOAD_AGENT`.
    mutating func setOwnListeners(_ keys: [weft_endpoint_key]) throws(BPFError) {
        let wanted = Set(keys.map { ABIBytes($0) })
        for key in keys where !ownListeners.contains(ABIBytes(key)) {
            try maps.addresses.set(key, WEFT_WORKLOAD_AGENT)
            ownListeners.insert(ABIBytes(key))
        }
        for key in ownListeners.subtracting(wanted) {
            removeAddress(key.value, of: WEFT_WORKLOAD_AGENT)
            ownListeners.remove(key)
        }
    }

    private mutating func addCaptures(_ compiled: borrowing CompiledMaps) -> [ProgrammingFailure] {
        var failures = compiled.captureFailures.map {
            ProgrammingFailure(
                kind: "Service", name: $0,
                message: "its requests may go to workloads under more than \(WEFT_CAPTURE_GUARDS) different sets of"
                    + " policies: its connections are refused")
        }
        for (id, new) in compiled.captures {
            let old = captures[id]
            do throws(BPFError) {
                if old.map({ ABIBytes($0.value) != ABIBytes(new.value) }) ?? true {
                    try maps.captures.set(id, new.value)
                }
                if old?.reason != new.reason {
                    let reason = Identifier.reason(service: id)
                    try? maps.names.set(reason, CompiledName(reason, WEFT_NAME_REASON, new.reason).abi)
                }
                captures[id] = new
            } catch {
                // Without an entry its connections are refused.
                let name = compiled.services.first { $0.value.frontends.contains { $0.header.id == id } }?.key
                if let name {
                    failures.append(ProgrammingFailure(kind: "Service", name: name, message: error.description))
                }
            }
        }
        return failures
    }

    private mutating func removeCaptures(notIn compiled: borrowing CompiledMaps) {
        for id in captures.keys where compiled.captures[id] == nil {
            _ = try? maps.captures.delete(id)
            _ = try? maps.names.delete(Identifier.reason(service: id))
            captures[id] = nil
        }
    }

    // MARK: Workloads

    private mutating func removeWorkloads(notIn desired: [ObjectName: CompiledWorkload]) {
        for (name, old) in workloads where desired[name] == nil {
            for endpoint in old.endpoints { removeAddress(endpoint, of: old.id) }
            _ = try? maps.workloads.delete(old.id)
            workloads[name] = nil
        }
    }

    /// Unless another workload has taken it over.
    private func removeAddress(_ endpoint: weft_endpoint_key, of workload: UInt64) {
        if (try? maps.addresses.get(endpoint)) == workload { _ = try? maps.addresses.delete(endpoint) }
    }

    private mutating func addWorkloads(
        _ desired: [ObjectName: CompiledWorkload], unusablePolicies: [UInt64: String]
    ) -> [ProgrammingFailure] {
        var failures: [ProgrammingFailure] = []
        for (name, new) in desired {
            let old = workloads[name]
            do throws(BPFError) {
                // A policy group that is not in its map denies (bpf/verdict.h), so the workload is programmed with it.
                if old.map({ ABIBytes($0.value) != ABIBytes(new.value) }) ?? true {
                    try maps.workloads.set(new.id, new.value)
                }
                let known = Set((old?.endpoints ?? []).map { ABIBytes($0) })
                for endpoint in new.endpoints where !known.contains(ABIBytes(endpoint)) {
                    try maps.addresses.set(endpoint, new.id)
                }
                let kept = Set(new.endpoints.map { ABIBytes($0) })
                for endpoint in old?.endpoints ?? [] where !kept.contains(ABIBytes(endpoint)) {
                    removeAddress(endpoint, of: new.id)
                }
                workloads[name] = new
                if let reason = unusablePolicies[new.value.policy] {
                    failures.append(
                        ProgrammingFailure(
                            kind: "Workload", name: name,
                            message: "its policies could not be programmed as they are: \(reason)"))
                }
            } catch {
                failures.append(ProgrammingFailure(kind: "Workload", name: name, message: error.description))
            }
        }
        return failures
    }

    /// Before the workloads whose flags lead to them.
    private mutating func addInboundPorts(_ desired: [ObjectName: CompiledWorkload]) -> [ProgrammingFailure] {
        var failures: [ProgrammingFailure] = []
        for (name, workload) in desired {
            for entry in workload.inboundPorts {
                let bytes = ABIBytes(entry.key)
                if let known = inboundPorts[bytes], ABIBytes(known.value) == ABIBytes(entry.value) { continue }
                do throws(BPFError) {
                    try maps.inboundPorts.set(entry.key, entry.value)
                    inboundPorts[bytes] = entry
                } catch {
                    failures.append(ProgrammingFailure(kind: "Workload", name: name, message: error.description))
                }
            }
        }
        return failures
    }

    private mutating func removeInboundPorts(notIn desired: [CompiledWorkload.InboundPort]) {
        let kept = Set(desired.map { ABIBytes($0.key) })
        for (bytes, entry) in inboundPorts where !kept.contains(bytes) {
            _ = try? maps.inboundPorts.delete(entry.key)
            inboundPorts[bytes] = nil
        }
    }

    // MARK: Policies

    /// Adds groups and refreshes their identities: bitmaps and rules first, the header last.
    ///
    /// - Returns: groups that could not be programmed, with the reason.
    private mutating func addPolicies(_ desired: [UInt64: CompiledPolicy]) -> [UInt64: String] {
        var unusable: [UInt64: String] = [:]
        for (id, new) in desired {
            let old = policies[id]
            do throws(BPFError) {
                let known = Dictionary(
                    uniqueKeysWithValues: (old?.identities ?? []).map { ($0.key.identity, $0.value.array) })
                for entry in new.identities where known[entry.key.identity] != entry.value.array {
                    try maps.policyIdentities.set(entry.key, entry.value)
                }
                let kept = Set(new.identities.map(\.key.identity))
                for entry in old?.identities ?? [] where !kept.contains(entry.key.identity) {
                    _ = try? maps.policyIdentities.delete(entry.key)
                }
                try refreshPrefixes(of: new, over: old)
                if old == nil {
                    for entry in new.ports { try maps.policyPorts.set(entry.key, entry.value) }
                    for entry in new.ranges { try maps.policyRanges.set(entry.key, entry.value) }
                    for entry in new.rules { try maps.policyRules.set(entry.key, entry.value) }
                    try maps.policies.set(id, new.header)
                }
                policies[id] = new
            } catch {
                // A group that was in force stays so: only the identities that found no room are unknown to it.
                if old == nil {
                    remove(new)
                    policies[id] = nil
                }
                unusable[id] = error.description
            }
        }
        return unusable
    }

    /// Addresses of workloads come and go with them.
    private func refreshPrefixes(of new: CompiledPolicy, over old: CompiledPolicy?) throws(BPFError) {
        let known = Dictionary(
            uniqueKeysWithValues: (old?.prefixes ?? []).map { (ABIBytes($0.key), $0.value.array) })
        for entry in new.prefixes where known[ABIBytes(entry.key)] != entry.value.array {
            try maps.policyPrefixes.set(entry.key, entry.value)
        }
        let kept = Set(new.prefixes.map { ABIBytes($0.key) })
        for entry in old?.prefixes ?? [] where !kept.contains(ABIBytes(entry.key)) {
            _ = try? maps.policyPrefixes.delete(entry.key)
        }
    }

    private mutating func removePolicies(notIn desired: [UInt64: CompiledPolicy]) {
        for (id, old) in policies where desired[id] == nil {
            remove(old)
            policies[id] = nil
        }
    }

    private func remove(_ policy: CompiledPolicy) {
        _ = try? maps.policies.delete(policy.id)
        for entry in policy.identities { _ = try? maps.policyIdentities.delete(entry.key) }
        for entry in policy.ports { _ = try? maps.policyPorts.delete(entry.key) }
        for entry in policy.prefixes { _ = try? maps.policyPrefixes.delete(entry.key) }
        for entry in policy.ranges { _ = try? maps.policyRanges.delete(entry.key) }
        for entry in policy.rules { _ = try? maps.policyRules.delete(entry.key) }
    }

    // MARK: Names

    /// Names are for people: one that finds no room is no failure of its object. Names of rules stay for as long as the
    /// agent runs, because their counters do.
    private mutating func applyNames(of compiled: borrowing CompiledMaps) {
        var desired: [UInt64: CompiledName] = [:]
        for workload in compiled.workloads.values {
            for name in workload.names { desired[name.id] = name }
        }
        for policy in compiled.policies.values {
            for name in policy.names { desired[name.id] = name }
        }
        for name in compiled.ruleNames { desired[name.id] = name }
        for (id, name) in desired where sharedNames[id] != name {
            try? maps.names.set(id, name.abi)
            sharedNames[id] = name
        }
    }

    private func create<Value>(
        _ map: borrowing Map<UInt64, Value>, _ key: UInt64, _ value: Value
    ) throws(BPFError) {
        if try map.get(key) == nil { try map.set(key, value) }
    }
}
