/// What an object with rules about requests applies to.
struct RuleScope: Equatable, Sendable {
    var key: ObjectKey
    var isMeshWide: Bool
    var selector: [String: String]
    /// Services of its namespace; empty: `selector` decides.
    var targetServices: [String]

    /// nil for a policy that connections decide alone.
    init?(_ policy: AuthorizationPolicy) {
        guard policy.concernsRequests else { return nil }
        key = ObjectKey(.authorizationPolicy, policy.name)
        (isMeshWide, selector, targetServices) = (policy.isMeshWide, policy.selector, policy.targetServices)
    }

    /// nil for one without rules.
    init?(_ authentication: RequestAuthentication) {
        guard !authentication.rules.isEmpty else { return nil }
        key = ObjectKey(.requestAuthentication, authentication.name)
        isMeshWide = authentication.isMeshWide
        selector = authentication.selector
        targetServices = authentication.targetServices
    }

    func selects(_ workload: MeshWorkload) -> Bool {
        targetServices.isEmpty && (isMeshWide || workload.name.namespace == key.name.namespace)
            && selector.allSatisfy { workload.labels[$0.key] == $0.value }
    }

    func names(_ service: ObjectName) -> Bool {
        service.namespace == key.name.namespace && targetServices.contains(service.name)
    }
}

/// Where rules about requests apply.
struct RequestIndex: Sendable {
    /// What they mean for one workload.
    struct Rules: Equatable, Sendable {
        /// Ports at which requests are read, each with the objects that need it.
        var ports: [UInt16: [String]]
        /// Whether this node's proxy decides for it; otherwise the agent of its own node does.
        var isEnforcedHere: Bool
    }

    /// By namespace.
    private(set) var scopes: [String: [ObjectKey: RuleScope]] = [:]
    /// Of workloads that have any.
    var rules: [ObjectName: Rules] = [:]
    /// Ports of services that requests have to be read at because of their endpoints, with the objects that need it.
    var lanes: [ObjectName: [UInt16: [String]]] = [:]
    /// Names of the services that stand for a workload's own addresses.
    var captures: [ObjectName: [ObjectName]] = [:]
    /// The services that have a workload as an endpoint; nil while there are no scopes, because nobody asks.
    private(set) var servicesOfWorkload: [ObjectName: Set<ObjectName>]?

    var isEmpty: Bool { scopes.isEmpty && rules.isEmpty && lanes.isEmpty }

    mutating func add(_ scope: RuleScope, _ dirty: inout MeshBuilder.Dirty) {
        scopes[scope.key.name.namespace, default: [:]][scope.key] = scope
        dirty.scopes.append(scope)
    }

    mutating func remove(_ key: ObjectKey, _ dirty: inout MeshBuilder.Dirty) {
        guard let scope = scopes[key.name.namespace]?.removeValue(forKey: key) else { return }
        if scopes[key.name.namespace]?.isEmpty == true { scopes[key.name.namespace] = nil }
        dirty.scopes.append(scope)
    }

    func services(of workload: ObjectName) -> Set<ObjectName> { servicesOfWorkload?[workload] ?? [] }

    /// Begins or ends to look after `servicesOfWorkload`.
    mutating func settle(_ services: [ObjectName: MeshService]) {
        guard scopes.isEmpty != (servicesOfWorkload == nil) else { return }
        servicesOfWorkload = scopes.isEmpty ? nil : [:]
        guard !scopes.isEmpty else { return }
        for (name, service) in services where name.workloadOfService == nil {
            for workload in service.workloads { servicesOfWorkload?[workload, default: []].insert(name) }
        }
    }

    /// Notes a service's new endpoints, and adds those workloads to `exposed` for which they are other ones.
    mutating func replace(
        _ old: MeshService?, by new: MeshService?, _ name: ObjectName, exposed: inout Set<ObjectName>
    ) {
        guard servicesOfWorkload != nil else { return }
        let (before, after) = (old?.exposures ?? [], new?.exposures ?? [])
        guard before != after else { return }
        exposed.formUnion(before.symmetricDifference(after).map(\.workload))
        let (gone, come) = (old?.workloads ?? [], new?.workloads ?? [])
        for workload in gone.subtracting(come) {
            servicesOfWorkload?[workload]?.remove(name)
            if servicesOfWorkload?[workload]?.isEmpty == true { servicesOfWorkload?[workload] = nil }
        }
        for workload in come.subtracting(gone) { servicesOfWorkload?[workload, default: []].insert(name) }
    }
}

/// A workload as an endpoint of one service.
private struct Exposure: Hashable {
    var workload: ObjectName
    var port: UInt16
    var application: ApplicationProtocol
}

extension MeshService {
    fileprivate var workloads: Set<ObjectName> {
        ports.reduce(into: []) { found, port in
            for endpoint in port.endpoints {
                if let workload = endpoint.workload { found.insert(workload) }
            }
        }
    }

    fileprivate var exposures: Set<Exposure> {
        ports.reduce(into: []) { found, port in
            guard port.transport == .tcp else { return }
            for endpoint in port.endpoints {
                guard let workload = endpoint.workload else { continue }
                found.insert(Exposure(workload: workload, port: endpoint.port, application: port.application))
            }
        }
    }
}
