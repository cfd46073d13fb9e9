import Mesh
import WeftABI

/// What connect() has to know of a service in the proxy lane.
struct CompiledCapture: Sendable {
    var value = weft_capture()
    /// The objects whose rules demand the proxy, for people.
    var reason: String

    /// - Returns: nil when the requests may go to places under more different policies than the kernel can check. The
    ///   service has no entry then, and its connections are refused.
    init?(_ service: MeshService, _ port: MeshServicePort, destinations: [Destination]) {
        reason = port.proxyReasons.joined(separator: ", ")
        if service.failureMode == .open { value.flags |= WEFT_CAPTURE_FAIL_OPEN.rawValue }
        guard destinations.count <= Int(WEFT_CAPTURE_GUARDS) else { return nil }
        value.guard_count = UInt32(destinations.count)
        unsafe withUnsafeMutableBytes(of: &value.guards) { bytes in
            let guards = unsafe bytes.assumingMemoryBound(to: weft_capture_guard.self)
            for (index, destination) in destinations.enumerated() {
                unsafe guards[index].workload = destination.workload
                unsafe guards[index].address = destination.address.abi
                unsafe guards[index].port = destination.port.bigEndian
            }
        }
    }

    /// A place that requests may go to.
    struct Destination: Hashable {
        /// 0: of no known workload.
        var workload: UInt64
        var address: IPAddress
        var port: UInt16
    }
}

extension MeshSnapshot {
    /// The endpoints of a service's port, those of one subset only if one is named.
    func endpoints(of target: HTTPBackend.Target) -> [MeshEndpoint] {
        guard case .service(let name, let number, let subset) = target, let service = services[name],
            let port = service.ports.first(where: { $0.port == number && $0.transport == .tcp })
        else { return [] }
        guard let labels = service.subsets.first(where: { $0.name == subset })?.labels else { return port.endpoints }
        return port.endpoints.filter { endpoint in
            guard let workload = endpoint.workload.flatMap({ workloads[$0] }) else { return false }
            return labels.allSatisfy { workload.labels[$0.key] == $0.value }
        }
    }

    private func fallback(of target: HTTPBackend.Target) -> HTTPBackend.Target? {
        guard case .service(let name, let port, let subset) = target else { return nil }
        return services[name]?.traffic(port: port, subset: subset).fallback
    }

    /// What stands in the proxy lane, by the kernel's identifier of each address family of each port.
    ///
    /// - Parameter former: ports that stood there earlier: connections that were captured then may be open, and the sweep
    ///   asks what they are guarded by.
    func compiledCaptures(
        _ compiled: [ObjectName: CompiledWorkload], policies: [UInt64: CompiledPolicy], former: Set<CapturedPort>
    ) -> (captures: [UInt64: CompiledCapture], failures: [ObjectName]) {
        var captures: [UInt64: CompiledCapture] = [:]
        var failures: [ObjectName] = []
        let egress = EgressPolicies(compiled, policies)
        for service in services.values {
            for port in service.ports
            where port.isProxied || former.contains(CapturedPort(service: service.name, port: port.port)) {
                let targets = service.targets(of: port)
                // Where a target has no endpoint left, requests go to its fallback.
                let destinations = guarded(
                    (targets + targets.compactMap(fallback)).flatMap(endpoints), compiled, policies, egress: egress)
                guard let capture = CompiledCapture(service, port, destinations: destinations) else {
                    if port.isProxied { failures.append(service.name) }
                    continue
                }
                for isIPv4 in [true, false] where service.addresses.contains(where: { $0.isIPv4 == isIPv4 }) {
                    let id = Identifier.service(
                        service.name, port: port.port, transport: port.transport, isIPv4: isIPv4)
                    captures[id] = capture
                }
            }
        }
        return (captures, failures)
    }

    /// One destination for each different outcome that policies can have among the endpoints.
    private func guarded(
        _ endpoints: [MeshEndpoint], _ compiled: [ObjectName: CompiledWorkload], _ policies: [UInt64: CompiledPolicy],
        egress: EgressPolicies
    ) -> [CompiledCapture.Destination] {
        /// What policies can tell endpoints apart by.
        struct Kind: Hashable {
            var policy: UInt64
            var ingress: UInt64
            var peer: UInt64
            var port: UInt16
            var blocks: [IPBlock]
        }
        var seen: Set<Kind> = []
        var result: [CompiledCapture.Destination] = []
        for endpoint in endpoints {
            let workload = endpoint.workload.flatMap { compiled[$0] }
            let groups = [workload?.value.policy ?? 0, workload?.value.ingress ?? 0]
            guard groups != [0, 0] || egress.exist else { continue }
            let asksForPort =
                egress.askForPort
                || groups.contains { group in
                    policies[group].map { $0.header.flags & WEFT_POLICY_BY_PORT.rawValue != 0 } ?? (group != 0)
                }
            let kind = Kind(
                policy: groups[0], ingress: groups[1], peer: egress.exist ? workload?.value.peer ?? 0 : 0,
                port: asksForPort ? endpoint.port : 0,
                blocks: egress.blocks.filter { $0.contains(endpoint.address) })
            guard seen.insert(kind).inserted else { continue }
            result.append(
                CompiledCapture.Destination(
                    workload: workload?.id ?? 0, address: endpoint.address, port: endpoint.port))
        }
        return result
    }
}

/// What NetworkPolicies for connections of this node's workloads look at.
private struct EgressPolicies {
    var exist = false
    var askForPort = false
    var blocks: [IPBlock] = []

    init(_ compiled: [ObjectName: CompiledWorkload], _ policies: [UInt64: CompiledPolicy]) {
        var seen: Set<IPBlock> = []
        for group in Set(compiled.values.map(\.value.egress)) where group != 0 {
            exist = true
            guard let policy = policies[group] else { continue }
            if policy.header.flags & WEFT_POLICY_BY_PORT.rawValue != 0 { askForPort = true }
            for prefix in policy.prefixes {
                let words = prefix.key.address
                let address = IPAddress(
                    weft_address(
                        high: UInt64(words.0) | UInt64(words.1) << 32, low: UInt64(words.2) | UInt64(words.3) << 32))
                let length = UInt8(prefix.key.prefix_length - UInt32(WEFT_POLICY_PREFIX_BASE))
                seen.insert(IPBlock(address: address, prefixLength: length))
            }
        }
        blocks = Array(seen)
    }
}

/// A TCP port of a service whose connections the agent carries, or has carried.
struct CapturedPort: Hashable, Sendable {
    var service: ObjectName
    var port: UInt16
}

extension MeshSnapshot {
    /// The ports whose connections are carried by the agent.
    var capturedPorts: Set<CapturedPort> {
        Set(
            services.values.flatMap { service in
                service.ports.filter(\.isProxied).map { CapturedPort(service: service.name, port: $0.port) }
            })
    }
}

extension MeshServicePort {
    /// Whether its connections are carried by the agent.
    var isProxied: Bool { http != nil && transport == .tcp }
}
