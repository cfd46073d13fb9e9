extension MeshBuilder {
    mutating func rebuildWorkloads(_ dirty: inout Dirty) {
        let precedence = Precedence(objects: objects)
        for key in workloadClaims.settle(by: { precedence.holds($0, $1) }) {
            dirty.statuses.insert(key)
            if let member = objects[key]?.member { mark(member, &dirty) }
        }
        // Losers first: a Pod and a Workload may want the same name.
        let rebuilt = dirty.workloads.sorted { isLive($1) && !isLive($0) }
        for key in rebuilt {
            let workload = isLive(key) ? workload(key) : nil
            let other = ObjectKey(key.kind == .pod ? .workload : .pod, key.name)
            if workload == nil, isLive(other) { continue }
            if workload != snapshot.workloads[key.name] { snapshot.workloads[key.name] = workload }
        }
        rebuildMutualTLS(dirty)
    }

    private func workload(_ key: ObjectKey) -> MeshWorkload? {
        guard let member = objects[key]?.member,
            var workload = member.workload(
                options: options, namespaceLabels: snapshot.namespaceLabels[key.name.namespace] ?? [:])
        else { return nil }
        workload.isAccelerated = member.acceleration ?? accelerationPolicy(of: key.name.namespace)?.isOn ?? false
        (workload.mutualTLS, workload.portMutualTLS) = mutualTLS(of: workload)
        // What rules about requests make of it is computed later, because that depends on services.
        if let old = snapshot.workloads[key.name] {
            (workload.requestPorts, workload.inboundHTTP) = (old.requestPorts, old.inboundHTTP)
        }
        return workload
    }

    /// The TrafficPolicy that says what holds for workloads of a namespace which do not say it themselves: the oldest.
    func accelerationPolicy(of namespace: String) -> (name: ObjectName, isOn: Bool)? {
        guard
            let first = (accelerationPolicies[namespace] ?? []).min(by: { precedes(.trafficPolicy, $0, $1) }),
            case .trafficPolicy(let policy)? = objects[ObjectKey(.trafficPolicy, first)]?.resource,
            let isOn = policy.acceleration
        else { return nil }
        return (first, isOn)
    }

    func isLive(_ key: ObjectKey) -> Bool {
        guard workloadClaims.losses[key] == nil, let member = objects[key]?.member else { return false }
        return member.isLive
    }

    /// Their endpoints may belong to another workload now.
    func markServices(withEndpointsAt addresses: Set<IPAddress>, _ dirty: inout Dirty) {
        guard !addresses.isEmpty else { return }
        for (name, service) in snapshot.services
        where !dirty.services.contains(name) && name.workloadOfService == nil {
            let isTouched = service.ports.contains { $0.endpoints.contains { addresses.contains($0.address) } }
            if isTouched { dirty.services.insert(name) }
        }
    }
}
