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
                unsafe guards[index].port = destination.port.bigEndian
            }
        }
    }

    /// A workload, as far as policies can tell it from others.
    struct Destination: Hashable {
        var workload: UInt64
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
    func compiledCaptures(
        _ compiled: [ObjectName: CompiledWorkload], policies: [UInt64: CompiledPolicy]
    ) -> (captures: [UInt64: CompiledCapture], failures: [ObjectName]) {
        var captures: [UInt64: CompiledCapture] = [:]
        var failures: [ObjectName] = []
        for service in services.values {
            for port in service.ports where port.isProxied {
                let targets = service.targets(of: port)
                // Where a target has no endpoint left, requests go to its fallback.
                let destinations = guarded(
                    (targets + targets.compactMap(fallback)).flatMap(endpoints), compiled, policies)
                guard let capture = CompiledCapture(service, port, destinations: destinations) else {
                    failures.append(service.name)
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
        _ endpoints: [MeshEndpoint], _ compiled: [ObjectName: CompiledWorkload], _ policies: [UInt64: CompiledPolicy]
    ) -> [CompiledCapture.Destination] {
        var seen: Set<CompiledCapture.Destination> = []
        var result: [CompiledCapture.Destination] = []
        for endpoint in endpoints {
            guard let workload = endpoint.workload.flatMap({ compiled[$0] }), workload.value.policy != 0 else {
                continue
            }
            let asksForPort =
                policies[workload.value.policy].map { $0.header.flags & WEFT_POLICY_BY_PORT.rawValue != 0 } ?? true
            let kind = CompiledCapture.Destination(
                workload: workload.value.policy, port: asksForPort ? endpoint.port : 0)
            guard seen.insert(kind).inserted else { continue }
            result.append(CompiledCapture.Destination(workload: workload.id, port: endpoint.port))
        }
        return result
    }
}

extension MeshServicePort {
    /// Whether its connections are carried by the agent.
    var isProxied: Bool { http != nil && transport == .tcp }
}
