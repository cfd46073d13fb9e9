/// What Pods and Workloads have in common: something that listens, connects and has an identity.
struct Member {
    var key: ObjectKey
    var labels: [String: String]
    var serviceAccount: String
    var addresses: [IPAddress]
    var node: String
    var cgroup: String?
    /// Named ports, for services that target them by name.
    var ports: [MeshWorkloadPort]
    var weight: UInt16
    var state: EndpointState
    /// Whether every port of its addresses is its own.
    var ownsAddresses: Bool
    /// False for a Pod that has ended.
    var isLive: Bool
    var tunnel: Tunnel
    /// nil: as its namespace's TrafficPolicy says.
    var acceleration: Bool?

    /// Who says whether an agent takes HBONE for it.
    enum Tunnel {
        case declared(Bool)
        /// There is one where it is local; elsewhere its labels and its namespace's tell.
        case pod(PodResource)
    }

    func isLocal(_ options: MeshOptions) -> Bool { node.isEmpty || node == options.node }

    func claims(options: MeshOptions) -> [WorkloadClaim] {
        guard isLive else { return [] }
        var claims: [WorkloadClaim] = [.name(key.name)]
        if isLocal(options), let cgroup { claims.append(.cgroup(cgroup)) }
        for address in addresses {
            if ownsAddresses {
                claims.append(.address(address))
            } else {
                claims += ports.map { .endpoint(address, $0.port, $0.transport) }
            }
        }
        return claims
    }

    func workload(options: MeshOptions, namespaceLabels: [String: String]) -> MeshWorkload? {
        guard isLive else { return nil }
        let isLocal = isLocal(options)
        var workload = MeshWorkload(
            name: key.name, serviceAccount: serviceAccount, labels: labels,
            // Nothing is known to be its own at an address that it shares and declares no port of.
            addresses: ownsAddresses || !ports.isEmpty ? addresses : [],
            ports: ownsAddresses ? [] : ports,
            node: node.isEmpty ? options.node : node, isLocal: isLocal, cgroup: isLocal ? cgroup : nil)
        workload.takesTunnel =
            switch tunnel {
            case .declared(let takesTunnel): takesTunnel
            case .pod(let pod): isLocal || pod.takesTunnel(namespaceLabels: namespaceLabels)
            }
        workload.namedPorts = ports.filter { !$0.name.isEmpty }
        return workload
    }
}

extension MeshObject {
    var labels: [String: String] {
        switch resource {
        case .pod(let pod): pod.labels
        case .workload(let workload): workload.labels
        default: [:]
        }
    }

    var member: Member? {
        switch resource {
        case .pod(let pod):
            Member(
                key: key, labels: pod.labels, serviceAccount: pod.serviceAccount, addresses: pod.addresses,
                node: pod.node, cgroup: pod.cgroup, ports: pod.ports, weight: pod.weight, state: pod.state,
                ownsAddresses: !pod.usesHostNetwork, isLive: !pod.isFinished, tunnel: .pod(pod),
                acceleration: pod.acceleration)
        case .workload(let workload):
            Member(
                key: key, labels: workload.labels, serviceAccount: workload.serviceAccount,
                addresses: workload.addresses, node: workload.node, cgroup: workload.cgroup, ports: workload.ports,
                weight: workload.weight, state: .ready, ownsAddresses: workload.ports.isEmpty, isLive: true,
                tunnel: .declared(workload.takesTunnel), acceleration: workload.acceleration)
        default: nil
        }
    }
}
