extension MeshBuilder {
    /// What holds for connections to a workload: at its ports in general, and at those where that differs.
    func mutualTLS(of workload: MeshWorkload) -> (MutualTLSMode, ports: [UInt16: MutualTLSMode]) {
        let namespace = workload.name.namespace
        let mesh = peerAuthentication(of: options.rootNamespace) { $0.selector.isEmpty }
        var own: PeerAuthenticationResource?
        var selected: PeerAuthenticationResource?
        if namespace != options.rootNamespace {
            own = peerAuthentication(of: namespace) { $0.selector.isEmpty }?.resource
            selected =
                peerAuthentication(of: namespace) { resource in
                    !resource.selector.isEmpty && resource.selector.allSatisfy { workload.labels[$0.key] == $0.value }
                }?.resource
        }
        let mode = selected?.mode ?? own?.mode ?? mesh?.resource.mode ?? .permissive
        return (mode, (selected?.portModes ?? [:]).filter { $0.value != mode })
    }

    /// The oldest of the namespace that suits.
    private func peerAuthentication(
        of namespace: String, where suits: (PeerAuthenticationResource) -> Bool
    ) -> (name: ObjectName, resource: PeerAuthenticationResource)? {
        var found: (name: ObjectName, resource: PeerAuthenticationResource)?
        for name in peerAuthentications[namespace] ?? [] {
            guard case .peerAuthentication(let resource)? = objects[ObjectKey(.peerAuthentication, name)]?.resource,
                suits(resource), found.map({ precedes(.peerAuthentication, name, $0.name) }) ?? true
            else { continue }
            found = (name, resource)
        }
        return found
    }

    /// Of the workloads in the namespaces whose PeerAuthentications have changed.
    mutating func rebuildMutualTLS(_ dirty: Dirty) {
        guard !dirty.peerAuthentications.isEmpty else { return }
        let isMeshWide = dirty.peerAuthentications.contains(options.rootNamespace)
        for (name, workload) in snapshot.workloads
        where isMeshWide || dirty.peerAuthentications.contains(name.namespace) {
            let (mode, ports) = mutualTLS(of: workload)
            guard mode != workload.mutualTLS || ports != workload.portMutualTLS else { continue }
            snapshot.workloads[name]?.mutualTLS = mode
            snapshot.workloads[name]?.portMutualTLS = ports
        }
    }

    func issues(of resource: PeerAuthenticationResource, _ name: ObjectName) -> [ConditionIssue] {
        guard resource.selector.isEmpty else {
            guard name.namespace == options.rootNamespace else { return [] }
            return [
                .unsupported(
                    .accepted,
                    "in the root namespace (\(name.namespace)) a selector chooses no workload: put it in theirs")
            ]
        }
        guard let first = peerAuthentication(of: name.namespace, where: { $0.selector.isEmpty }), first.name != name
        else { return [] }
        return [.conflict("\(ObjectKey(.peerAuthentication, first.name)) is in force for the same workloads")]
    }
}
