/// Computes snapshot and conditions from the objects of a configuration.
///
/// The result is a pure function of the objects and the options. It is kept up to date by differences: what a change
/// does not touch is not computed again and shares its storage with the snapshot before.
public struct MeshBuilder: Sendable {
    public let options: MeshOptions
    public private(set) var snapshot: MeshSnapshot
    public private(set) var statuses = StatusTable()

    var objects: [ObjectKey: MeshObject] = [:]
    var members = MemberIndex()
    var serviceClaims = Claims<ServiceClaim, ObjectName>()
    var workloadClaims = Claims<WorkloadClaim, ObjectKey>()
    /// By the service that they speak of, whether or not it exists.
    var slicesOfService: [ObjectName: Set<ObjectName>] = [:]
    var rulesOfService: [ObjectName: Set<ObjectName>] = [:]
    var policiesOfService: [ObjectName: Set<ObjectName>] = [:]
    var routesOfService: [ObjectName: Set<ObjectName>] = [:]
    var virtualServicesOfService: [ObjectName: Set<ObjectName>] = [:]
    /// The objects whose meaning depends on whether a service exists and which ports and subsets it has.
    var referrersOfService: [ObjectName: Set<ObjectKey>] = [:]

    /// What has to be computed again because of one change.
    private struct Dirty {
        var services: Set<ObjectName> = []
        /// Services whose rules for requests may be other ones: all of them are in `services` too.
        var routing: Set<ObjectName> = []
        /// Services that may have come or gone, or have other ports or subsets.
        var references: Set<ObjectName> = []
        var workloads: Set<ObjectKey> = []
        /// Addresses whose owner may be another one.
        var addresses: Set<IPAddress> = []
        var statuses: Set<ObjectKey> = []
    }

    public init(options: MeshOptions) {
        self.options = options
        snapshot = MeshSnapshot(trustDomain: options.trustDomain, node: options.node)
    }

    /// Applies a change; `time` (RFC 3339) is that of the conditions that change by it. The snapshot's generation grows
    /// if an object changed.
    public mutating func apply(_ change: MeshChange, time: String) {
        for (key, location) in change.moved { statuses.relocate(key, to: location) }
        var updated: [(object: MeshObject, location: SourceLocation)] = []
        for (object, location) in change.updated {
            if objects[object.key] == object {
                statuses.relocate(object.key, to: location)
            } else {
                updated.append((object, location))
            }
        }
        // The first configuration counts even if it is empty.
        guard !change.removed.isEmpty || !updated.isEmpty || snapshot.generation == 0 else { return }

        var dirty = Dirty()
        for key in change.removed {
            retract(key, &dirty)
            statuses.remove(key)
        }
        var locations: [ObjectKey: SourceLocation] = [:]
        // Services first: the index files workloads under the terms that services use.
        for isService in [true, false] {
            for (object, location) in updated where (object.declaredService != nil) == isService {
                retract(object.key, &dirty)
                insert(object, &dirty)
                locations[object.key] = location
            }
        }

        rebuildWorkloads(&dirty)
        markServices(withEndpointsAt: dirty.addresses, &dirty)
        let precedence = Precedence(objects: objects)
        let settled = serviceClaims.settle { precedence.holds($0.serviceKey, $1.serviceKey) }
        dirty.references.formUnion(settled)
        dirty.routing.formUnion(settled)
        for name in dirty.references {
            for key in referrersOfService[name] ?? [] {
                dirty.statuses.insert(key)
                dirty.routing.formUnion(objects[key]?.governed ?? [])
            }
        }
        dirty.services.formUnion(dirty.routing)
        for name in dirty.services {
            let isRouted = dirty.routing.contains(name)
            let service = buildService(name, isRouted: isRouted)
            if service != snapshot.services[name] { snapshot.services[name] = service }
            dirty.statuses.formUnion(dependents(of: name))
            if isRouted {
                for other in virtualServicesOfService[name] ?? [] {
                    dirty.statuses.insert(ObjectKey(.virtualService, other))
                }
            }
        }
        for key in dirty.statuses {
            guard let object = objects[key] else { continue }
            statuses.update(
                object, location: locations[key], issues: object.issues + issues(of: object), time: time)
        }
        snapshot.generation += 1
    }

    /// Takes over what became of the newest snapshot in the data plane (see `StatusTable`).
    public mutating func recordProgramming(failures: [ObjectKey: String], time: String) {
        statuses.recordProgramming(failures: failures, time: time)
    }

    // MARK: - Objects and indices

    private mutating func insert(_ object: MeshObject, _ dirty: inout Dirty) {
        let name = object.key.name
        objects[object.key] = object
        dirty.statuses.insert(object.key)
        for service in object.references { referrersOfService[service, default: []].insert(object.key) }
        dirty.routing.formUnion(object.governed)
        switch object.resource {
        case .service, .serviceEntry:
            guard let (name, service) = object.declaredService else { return }
            let objects = objects
            members.add(service: name, selector: service.selector) { objects[$0]?.labels ?? [:] }
            for claim in service.claims { serviceClaims.add(claim, for: name) }
            dirty.routing.insert(name)
            dirty.references.insert(name)
        case .endpointSlice(let slice):
            link(\.slicesOfService, name, slice.service.map { ObjectName(namespace: name.namespace, name: $0) }, &dirty)
        case .destinationRule:
            for service in object.governed { link(\.rulesOfService, name, service, &dirty) }
            dirty.references.formUnion(object.governed)
        case .trafficPolicy:
            for service in object.governed { link(\.policiesOfService, name, service, &dirty) }
        case .httpRoute:
            for service in object.governed { link(\.routesOfService, name, service, &dirty) }
        case .virtualService:
            for service in object.governed { link(\.virtualServicesOfService, name, service, &dirty) }
        case .authorizationPolicy(let resource):
            snapshot.policies[name] = resource.compiled(options: options)
        case .requestAuthentication(let resource):
            snapshot.requestAuthentications[name] = resource.compiled(options: options)
        case .extensionProvider(let authorizer):
            snapshot.authorizers[authorizer.name] = authorizer
            markPolicies(of: authorizer.name, &dirty)
        case .networkPolicy(let policy):
            snapshot.networkPolicies[name] = policy
        case .peerAuthentication:
            break
        case .pod, .workload:
            guard let member = object.member else { return }
            members.add(member: object.key, labels: member.labels)
            for claim in member.claims(options: options) { workloadClaims.add(claim, for: object.key) }
            mark(member, &dirty)
        case .namespace(let labels):
            snapshot.namespaceLabels[name.name] = labels.merging([MeshSnapshot.namespaceNameLabel: name.name]) { $1 }
            dirty.workloads.formUnion(members.members(namespace: name.name))
        }
    }

    private mutating func retract(_ key: ObjectKey, _ dirty: inout Dirty) {
        guard let object = objects.removeValue(forKey: key) else { return }
        let name = key.name
        for service in object.references {
            referrersOfService[service]?.remove(key)
            if referrersOfService[service]?.isEmpty == true { referrersOfService[service] = nil }
        }
        dirty.routing.formUnion(object.governed)
        switch object.resource {
        case .service, .serviceEntry:
            guard let (name, service) = object.declaredService else { return }
            members.remove(service: name, selector: service.selector)
            for claim in service.claims { serviceClaims.remove(claim, for: name) }
            dirty.routing.insert(name)
            dirty.references.insert(name)
        case .endpointSlice(let slice):
            unlink(
                \.slicesOfService, name, slice.service.map { ObjectName(namespace: name.namespace, name: $0) }, &dirty)
        case .destinationRule:
            for service in object.governed { unlink(\.rulesOfService, name, service, &dirty) }
            dirty.references.formUnion(object.governed)
        case .trafficPolicy:
            for service in object.governed { unlink(\.policiesOfService, name, service, &dirty) }
        case .httpRoute:
            for service in object.governed { unlink(\.routesOfService, name, service, &dirty) }
        case .virtualService:
            for service in object.governed { unlink(\.virtualServicesOfService, name, service, &dirty) }
        case .authorizationPolicy:
            snapshot.policies[name] = nil
        case .requestAuthentication:
            snapshot.requestAuthentications[name] = nil
        case .extensionProvider:
            snapshot.authorizers[name.name] = nil
            markPolicies(of: name.name, &dirty)
        case .networkPolicy:
            snapshot.networkPolicies[name] = nil
        case .peerAuthentication:
            break
        case .pod, .workload:
            guard let member = object.member else { return }
            members.remove(member: key, labels: member.labels)
            for claim in member.claims(options: options) { workloadClaims.remove(claim, for: key) }
            mark(member, &dirty)
        case .namespace:
            snapshot.namespaceLabels[name.name] = nil
            dirty.workloads.formUnion(members.members(namespace: name.name))
        }
    }

    /// What is to be said of policies depends on whether their provider exists.
    private func markPolicies(of provider: String, _ dirty: inout Dirty) {
        for policy in snapshot.policies.values where policy.provider == provider {
            dirty.statuses.insert(ObjectKey(.authorizationPolicy, policy.name))
        }
    }

    private typealias Links = WritableKeyPath<MeshBuilder, [ObjectName: Set<ObjectName>]>

    private mutating func link(_ links: Links, _ name: ObjectName, _ service: ObjectName?, _ dirty: inout Dirty) {
        guard let service else { return }
        self[keyPath: links][service, default: []].insert(name)
        dirty.services.insert(service)
    }

    private mutating func unlink(_ links: Links, _ name: ObjectName, _ service: ObjectName?, _ dirty: inout Dirty) {
        guard let service else { return }
        self[keyPath: links][service]?.remove(name)
        if self[keyPath: links][service]?.isEmpty == true { self[keyPath: links][service] = nil }
        dirty.services.insert(service)
    }

    private func mark(_ member: Member, _ dirty: inout Dirty) {
        dirty.workloads.insert(member.key)
        dirty.addresses.formUnion(member.addresses)
        dirty.services.formUnion(members.services(namespace: member.key.name.namespace, labels: member.labels))
    }

    // MARK: - Workloads

    private mutating func rebuildWorkloads(_ dirty: inout Dirty) {
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
    }

    private func workload(_ key: ObjectKey) -> MeshWorkload? {
        guard let member = objects[key]?.member else { return nil }
        return member.workload(options: options, namespaceLabels: snapshot.namespaceLabels[key.name.namespace] ?? [:])
    }

    private func isLive(_ key: ObjectKey) -> Bool {
        guard workloadClaims.losses[key] == nil, let member = objects[key]?.member else { return false }
        return member.isLive
    }

    /// Their endpoints may belong to another workload now.
    private func markServices(withEndpointsAt addresses: Set<IPAddress>, _ dirty: inout Dirty) {
        guard !addresses.isEmpty else { return }
        for (name, service) in snapshot.services where !dirty.services.contains(name) {
            let isTouched = service.ports.contains { $0.endpoints.contains { addresses.contains($0.address) } }
            if isTouched { dirty.services.insert(name) }
        }
    }

    func precedes(_ kind: ResourceKind, _ a: ObjectName, _ b: ObjectName) -> Bool {
        Precedence(objects: objects).holds(kind, a, b)
    }
}

/// The order in which objects get what only one can have: the older first, then by name.
struct Precedence {
    /// A time that nobody wrote is later than any that somebody did.
    static let unknownTime = "~"

    var objects: [ObjectKey: MeshObject]

    /// Whether `a` is before `b`.
    func holds(_ a: ObjectKey, _ b: ObjectKey) -> Bool {
        let (first, second) = (objects[a]?.created ?? Self.unknownTime, objects[b]?.created ?? Self.unknownTime)
        return first == second ? (a.name, a.kind.rawValue) < (b.name, b.kind.rawValue) : first < second
    }

    func holds(_ kind: ResourceKind, _ a: ObjectName, _ b: ObjectName) -> Bool {
        holds(ObjectKey(kind, a), ObjectKey(kind, b))
    }
}
