import Mesh
import WeftABI

/// One workload as the maps hold it.
struct CompiledWorkload: Sendable {
    var id: UInt64
    var value: weft_workload
    /// The addresses and ports at which it is found. A loopback address belongs to one network namespace: its `scope` is
    /// set by `scoped(to:)`, when that is known.
    var endpoints: [weft_endpoint_key]
    /// Path of its cgroup below the cgroup v2 mount; nil for a remote workload.
    var cgroup: String?
    var names: [CompiledName]
    /// What `inbound_ports` holds of it.
    var inboundPorts: [InboundPort]

    /// What NetworkPolicies mean for it; see `weft_workload`.
    struct NetworkGroups {
        var peer: UInt64 = 0
        var ingress: UInt64 = 0
        var egress: UInt64 = 0
    }

    typealias InboundPort = (key: weft_inbound_key, value: weft_inbound_port)

    /// - Parameters:
    ///   - sharedAddresses: those that several workloads have; they are found by port only.
    ///   - inboundPorts: see `MeshWorkload.inboundPorts(_:isCapturing:)`.
    ///   - isTunnelling: whether this node's agent takes connections that go through tunnels.
    ///   - isAccelerated: whether its connections within the node may go from socket to socket.
    init(
        _ workload: MeshWorkload, trustDomain: String, policy: UInt64, sharedAddresses: Set<IPAddress>,
        network: NetworkGroups = NetworkGroups(), inboundPorts: [InboundPort] = [], isTunnelling: Bool = false,
        isAccelerated: Bool = false
    ) {
        self.inboundPorts = inboundPorts
        let spiffeID = workload.spiffeID(trustDomain: trustDomain)
        id = Identifier.workload(workload.name)
        let identity = Identifier.identity(spiffeID)
        names = [
            CompiledName(id, WEFT_NAME_WORKLOAD, workload.name.description),
            CompiledName(identity, WEFT_NAME_IDENTITY, spiffeID),
        ]
        value = weft_workload()
        value.identity = identity
        value.policy = policy
        value.peer = network.peer
        value.ingress = network.ingress
        value.egress = network.egress
        value.address = workload.addresses.first { !$0.isLoopback }?.abi ?? weft_address()
        value.flags = workload.isLocal ? WEFT_WORKLOAD_LOCAL.rawValue : 0
        if workload.isLocal && workload.mutualTLS == .strict { value.flags |= WEFT_WORKLOAD_STRICT.rawValue }
        if !inboundPorts.isEmpty { value.flags |= WEFT_WORKLOAD_INBOUND.rawValue }
        if isTunnelling && workload.isTunnelled { value.flags |= WEFT_WORKLOAD_TUNNEL.rawValue }
        if isAccelerated && workload.isLocal { value.flags |= WEFT_WORKLOAD_ACCELERATED.rawValue }
        cgroup = workload.isLocal ? workload.cgroup : nil

        endpoints = []
        for address in workload.addresses {
            for port in workload.ports {
                var key = weft_endpoint_key()
                key.address = address.abi
                key.port = port.port.bigEndian
                key.protocol = port.transport.number
                endpoints.append(key)
            }
            // An address that nobody else has is the workload's at every port.
            if !sharedAddresses.contains(address) && (workload.ports.isEmpty || !address.isLoopback) {
                var key = weft_endpoint_key()
                key.address = address.abi
                endpoints.append(key)
            }
        }
    }

    /// With its loopback addresses valid in the network namespace of that cookie only.
    func scoped(to namespace: UInt64) -> CompiledWorkload {
        var scoped = self
        for index in endpoints.indices where IPAddress(endpoints[index].address).isLoopback {
            scoped.endpoints[index].scope = namespace
        }
        return scoped
    }

    /// Whether plaintext from outside of the node is refused at some port.
    var demandsMutualTLS: Bool {
        value.flags & WEFT_WORKLOAD_STRICT.rawValue != 0
            || inboundPorts.contains { UInt32($0.value.tls) == WEFT_PORT_TLS_STRICT.rawValue }
    }

    /// Whether connections that no hook of this node has decided meet rules at it.
    var hasInboundRules: Bool {
        value.flags & WEFT_WORKLOAD_LOCAL.rawValue != 0
            && (value.policy != 0 || value.ingress != 0
                || value.flags & (WEFT_WORKLOAD_INBOUND.rawValue | WEFT_WORKLOAD_STRICT.rawValue) != 0)
    }

    var hasLoopbackAddress: Bool { endpoints.contains { IPAddress($0.address).isLoopback } }

    static func sharedAddresses(_ workloads: some Collection<MeshWorkload>) -> Set<IPAddress> {
        var seen: Set<IPAddress> = []
        var shared: Set<IPAddress> = []
        for workload in workloads {
            for address in Set(workload.addresses) where !seen.insert(address).inserted { shared.insert(address) }
        }
        return shared
    }
}

extension MeshWorkload {
    /// Whether connections of this node to it go through a tunnel, at ports without a mode of their own.
    var isTunnelled: Bool { !isLocal && takesTunnel && mutualTLS != .disable }
}
