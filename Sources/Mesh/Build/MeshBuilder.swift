/// Computes snapshot and conditions from the objects of a configuration.
///
/// The result is a pure function of the objects and the options. It is kept up to date by differences: what a change
/// does not touch is not computed again and shares its storage with the snapshot before.
public struct MeshBuilder: Sendable {
    public let options: MeshOptions
    public internal(set) var snapshot: MeshSnapshot
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

    /// The TrafficPolicies that set what holds for a namespace's workloads, by namespace.
    var accelerationPolicies: [String: Set<ObjectName>] = [:]
    /// By namespace.
    var peerAuthentications: [String: Set<ObjectName>] = [:]
    var requests = RequestIndex()

    /// What has to be computed again because of one change.
    struct Dirty {
        var services: Set<ObjectName> = []
        /// Services whose rules for requests may be other ones: all of them are in `services` too.
        var routing: Set<ObjectName> = []
        /// Services that may have come or gone, or have other ports or subsets.
        var references: Set<ObjectName> = []
        var workloads: Set<ObjectKey> = []
        /// Addresses whose owner may be another one.
        var addresses: Set<IPAddress> = []
        var statuses: Set<ObjectKey> = []
        /// Addresses that services have or had.
        var frontends: Set<IPAddress> = []
        /// Namespaces whose PeerAuthentications have changed.
        var peerAuthentications: Set<String> = []
        /// Of rules about requests that have come or gone.
        var scopes: [RuleScope] = []
        /// Workloads for which a service was an endpoint otherwise before.
        var exposed: Set<ObjectName> = []
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
        // A host can be written that names no service but the address of a workload.
        for name in dirty.services where name.workloadOfService == nil {
            let isRouted = dirty.routing.contains(name)
            let service = buildService(name, isRouted: isRouted)
            let old = snapshot.services[name]
            if service != old {
                snapshot.services[name] = service
                requests.replace(old, by: service, name, exposed: &dirty.exposed)
            }
            dirty.statuses.formUnion(dependents(of: name))
            if isRouted {
                for other in virtualServicesOfService[name] ?? [] {
                    dirty.statuses.insert(ObjectKey(.virtualService, other))
                }
            }
        }
        for name in settled {
            dirty.frontends.formUnion(objects[name.serviceKey]?.declaredService?.service.addresses ?? [])
        }
        rebuildRequestRules(dirty)
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
