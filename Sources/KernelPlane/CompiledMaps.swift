public import Mesh
import WeftABI

/// What the kernel's maps have to hold for a snapshot: a pure function of it and of the drains ordered at run time.
public struct CompiledMaps: Sendable {
    var services: [ObjectName: CompiledService]
    var workloads: [ObjectName: CompiledWorkload]
    var policies: [UInt64: CompiledPolicy]
    /// By service identifier: what is in the proxy lane.
    var captures: [UInt64: CompiledCapture]
    var templates: CompiledTemplates
    /// Names of rules that no policy group has.
    var ruleNames: [CompiledName] = []
    /// Policies that the kernel cannot hold, with the reason.
    var failures: [ObjectName: String]
    /// The same for NetworkPolicies.
    var networkFailures: [ObjectName: String]
    /// Captured services whose connections the kernel refuses, because it cannot hold all that they may lead to.
    var captureFailures: [ObjectName]
    var generation: UInt64
    /// Whether anything speaks UDP: datagrams are counted packet by packet, so only then.
    var hasDatagrams: Bool

    /// With workloads' loopback addresses in the network namespaces that they are in.
    ///
    /// - Parameter namespaces: netns cookies by workload; those that are not in it are in `own`.
    func scoped(to namespaces: [UInt64: UInt64], own: UInt64) -> CompiledMaps {
        var scoped = self
        scoped.workloads = workloads.mapValues { workload in
            workload.hasLoopbackAddress ? workload.scoped(to: namespaces[workload.id] ?? own) : workload
        }
        return scoped
    }

    /// What `inbound_ports` holds.
    var inboundPorts: [CompiledWorkload.InboundPort] { workloads.values.flatMap(\.inboundPorts) }

    private let sources: [ObjectName: MeshService]
    private let drains: DrainDeadlines
    private let isCapturing: Bool
    /// Ports that are or were in the proxy lane.
    private let everCaptured: Set<CapturedPort>

    public static var empty: CompiledMaps { CompiledMaps(MeshSnapshot()) }

    /// - Parameters:
    ///   - isCapturing: whether there is an agent that takes connections of the proxy and tunnel lanes; without one all
    ///     services are in the kernel's.
    ///   - accelerated: workloads whose connections within the node may go from socket to socket.
    ///   - previous: an earlier result. It saves work: services that did not change are taken from it. And what was in the
    ///     proxy lane by it stays guarded.
    public init(
        _ snapshot: MeshSnapshot, drains: DrainDeadlines = [:], isCapturing: Bool = false,
        accelerated: Set<ObjectName> = [], previous: CompiledMaps? = nil
    ) {
        generation = snapshot.generation
        sources = snapshot.services
        self.drains = drains
        self.isCapturing = isCapturing

        var services: [ObjectName: CompiledService] = [:]
        services.reserveCapacity(snapshot.services.count)
        let reusable = previous.flatMap { $0.drains == drains && $0.isCapturing == isCapturing ? $0 : nil }
        for (name, service) in snapshot.services {
            if let reusable, reusable.sources[name] == service, let compiled = reusable.services[name] {
                services[name] = compiled
            } else {
                services[name] = CompiledService(service, drains: drains, isCapturing: isCapturing)
            }
        }
        self.services = services
        templates = CompiledTemplates(snapshot.services.values)

        var compiler = PolicyCompiler(snapshot)
        var networkCompiler = NetworkPolicyCompiler(snapshot)
        var workloads: [ObjectName: CompiledWorkload] = [:]
        let shared = CompiledWorkload.sharedAddresses(snapshot.workloads.values)
        for (name, workload) in snapshot.workloads {
            workloads[name] = CompiledWorkload(
                workload, trustDomain: snapshot.trustDomain, policy: compiler.group(for: workload),
                sharedAddresses: shared,
                network: CompiledWorkload.NetworkGroups(
                    peer: networkCompiler.peer(of: workload), ingress: networkCompiler.group(.ingress, of: workload),
                    egress: workload.isLocal ? networkCompiler.group(.egress, of: workload) : 0),
                inboundPorts: workload.inboundPorts(snapshot, isCapturing: isCapturing),
                isTunnelling: isCapturing, isAccelerated: accelerated.contains(name))
        }
        self.workloads = workloads
        policies = compiler.groups.merging(networkCompiler.groups) { first, _ in first }
        failures = compiler.failures
        networkFailures = networkCompiler.failures
        let former = (previous?.everCaptured ?? []).filter { snapshot.services[$0.service] != nil }
        everCaptured = isCapturing ? former.union(snapshot.capturedPorts) : []
        (captures, captureFailures) =
            isCapturing ? snapshot.compiledCaptures(workloads, policies: policies, former: former) : ([:], [])
        if workloads.values.contains(where: \.demandsMutualTLS) {
            ruleNames.append(CompiledName(Identifier.strictRule, WEFT_NAME_RULE, Identifier.strictRuleName))
        }
        hasDatagrams =
            snapshot.services.values.contains { $0.ports.contains { $0.transport == .udp } }
            || snapshot.workloads.values.contains { $0.ports.contains { $0.transport == .udp } }
    }
}
