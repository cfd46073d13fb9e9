/// The conditions of every object. Times of transition are kept while a condition's status stays the same.
public struct StatusTable: Sendable {
    private struct Entry: Sendable {
        var apiVersion: String
        var location: SourceLocation
        /// Of a route: empty, because each parent has its own.
        var conditions: [Condition]
        var parents: [ParentStatus] = []
        /// nil for kinds of which the data plane has nothing of its own.
        var programmed: Condition?
    }

    private var entries: [ObjectKey: Entry] = [:]
    /// Objects whose `Programmed` the next report decides.
    private var unreported: Set<ObjectKey> = []
    private var failed: Set<ObjectKey> = []
    /// Conditions of the last object that had no issue: almost all are equal, and equal ones share their storage.
    private var flawless: [Condition] = []

    public init() {}

    public var count: Int { entries.count }

    /// Every object's status, by kind and name.
    public var statuses: [ObjectStatus] {
        entries.keys.sorted().compactMap { status(of: $0) }
    }

    public func status(of key: ObjectKey) -> ObjectStatus? {
        guard let entry = entries[key] else { return nil }
        return ObjectStatus(
            apiVersion: entry.apiVersion, kind: key.kind.rawValue, name: key.name, source: entry.location,
            conditions: entry.conditions + (entry.programmed.map { [$0] } ?? []), parents: entry.parents)
    }

    public func location(of key: ObjectKey) -> SourceLocation? { entries[key]?.location }

    mutating func remove(_ key: ObjectKey) {
        entries[key] = nil
        unreported.remove(key)
        failed.remove(key)
    }

    mutating func relocate(_ key: ObjectKey, to location: SourceLocation) {
        entries[key]?.location = location
    }

    /// Takes over what is known of an object; `time` is that of the conditions that change.
    mutating func update(_ object: MeshObject, location: SourceLocation?, issues: [ConditionIssue], time: String) {
        let old = entries[object.key]
        guard let location = location ?? old?.location else { return }
        if case .httpRoute(let route) = object.resource {
            entries[object.key] = Entry(
                apiVersion: object.apiVersion, location: location, conditions: [],
                parents: parents(route.parents, old?.parents ?? [], issues, object.generation, time))
            return
        }
        var conditions = Self.conditions(of: issues, old?.conditions ?? [], object.generation, time)
        if let old, old.conditions == conditions {
            conditions = old.conditions
        } else if issues.isEmpty {
            if flawless != conditions { flawless = conditions }
            conditions = flawless
        }
        var programmed = old?.programmed
        if object.key.kind.isProgrammed {
            if programmed == nil {
                programmed = Condition(
                    type: .programmed, status: .unknown, reason: "Pending", message: "not programmed yet",
                    lastTransitionTime: time)
            }
            unreported.insert(object.key)
        }
        programmed?.observedGeneration = object.generation
        entries[object.key] = Entry(
            apiVersion: object.apiVersion, location: location, conditions: conditions, programmed: programmed)
    }

    /// Records that the data plane has the newest snapshot, except for the objects in `failures`: each with what is
    /// wrong (for example which map is full).
    public mutating func recordProgramming(failures: [ObjectKey: String], time: String) {
        for key in unreported.union(failed).union(failures.keys) {
            guard let entry = entries[key], let old = entry.programmed else { continue }
            var new = old
            if let failure = failures[key] {
                (new.status, new.reason, new.message) = (.no, "ProgrammingFailed", failure)
            } else if entry.conditions.contains(where: { $0.type == .accepted && $0.status == .no }) {
                (new.status, new.reason, new.message) = (.no, "Invalid", "not accepted")
            } else {
                (new.status, new.reason, new.message) = (.yes, "Programmed", "")
            }
            if new.status != old.status { new.lastTransitionTime = time }
            if new != old { entries[key]?.programmed = new }
        }
        unreported.removeAll()
        failed = Set(failures.keys)
    }

    /// A route's status for each of its parents.
    private mutating func parents(
        _ parents: [ParentReference], _ old: [ParentStatus], _ issues: [ConditionIssue], _ generation: Int64,
        _ time: String
    ) -> [ParentStatus] {
        parents.enumerated().map { index, parent in
            let own = issues.filter { $0.parent == nil || $0.parent == index }
            let before = old.first { $0.parent == parent }?.conditions ?? []
            var conditions = Self.conditions(of: own, before, generation, time)
            if own.isEmpty {
                if flawless != conditions { flawless = conditions }
                conditions = flawless
            }
            return ParentStatus(parent: parent, conditions: conditions)
        }
    }

    /// With the times of transition of those conditions that had the same status before.
    private static func conditions(
        of issues: [ConditionIssue], _ old: [Condition], _ generation: Int64, _ time: String
    ) -> [Condition] {
        var conditions = conditions(of: issues, generation: generation, time: time)
        for index in conditions.indices {
            let before = old.first { $0.type == conditions[index].type }
            if let before, before.status == conditions[index].status {
                conditions[index].lastTransitionTime = before.lastTransitionTime
            }
        }
        return conditions
    }

    private static func conditions(of issues: [ConditionIssue], generation: Int64, time: String) -> [Condition] {
        var conditions = [
            Condition(
                type: .accepted, status: .yes, reason: "Accepted", observedGeneration: generation,
                lastTransitionTime: time),
            Condition(
                type: .resolvedRefs, status: .yes, reason: "ResolvedRefs", observedGeneration: generation,
                lastTransitionTime: time),
        ]
        for issue in issues {
            let status: Condition.Status = issue.type == .partiallyInvalid ? .yes : .no
            let index = conditions.firstIndex { $0.type == issue.type }
            if let index, conditions[index].status == status {
                conditions[index].message += "; \(issue.message)"
                continue
            }
            let condition = Condition(
                type: issue.type, status: status, reason: issue.reason, message: issue.message,
                observedGeneration: generation, lastTransitionTime: time)
            if let index { conditions[index] = condition } else { conditions.append(condition) }
        }
        return conditions
    }
}

extension ResourceKind {
    /// Whether the data plane holds something for each object of this kind.
    var isProgrammed: Bool {
        switch self {
        case .service, .pod, .workload, .authorizationPolicy, .networkPolicy: true
        case .endpointSlice, .namespace, .trafficPolicy, .destinationRule, .httpRoute, .virtualService, .serviceEntry,
            .peerAuthentication, .requestAuthentication, .extensionProvider, .gatewayClass, .gateway, .grpcRoute,
            .tcpRoute,
            .tlsRoute, .referenceGrant, .backendTLSPolicy:
            false
        }
    }
}
