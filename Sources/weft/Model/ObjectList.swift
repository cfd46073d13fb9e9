import Mesh

/// Configuration objects with their conditions, as `status` and `validate` print them.
struct ObjectList {
    let objects: [ObjectStatus]

    /// - Parameter objects: in any order.
    init(_ objects: [ObjectStatus]) {
        self.objects = objects.sorted { naturally("\($0.kind)/\($0.title)", "\($1.kind)/\($1.title)") }
    }

    var value: Value { .array(objects.map(\.value)) }

    var isTroubled: Bool { objects.contains { $0.allConditions.contains(where: \.isTrouble) } }

    /// Each object with what is wrong, or with what is right.
    var records: [Record] {
        objects.map { object in
            let troubles = object.allConditions.filter(\.isTrouble)
            let shown = (troubles.isEmpty ? object.allConditions.filter { $0.status == .yes } : troubles)
                .reduce(into: [Condition]()) { list, new in
                    // Parents of one route mostly have the same.
                    if !list.contains(where: { $0.summary == new.summary }) { list.append(new) }
                }
            return Record([
                Field("kind", .string(object.kind)),
                Field("name", .string(object.title)),
                Field(
                    "conditions", .array(shown.map { .string($0.summary) }), style: troubles.isEmpty ? .good : .bad),
                Field("message", .string(troubles.map(\.message).filter { !$0.isEmpty }.joined(separator: "; "))),
            ])
        }
    }
}

extension ObjectStatus {
    /// `namespace/name`, or the name of a cluster-scoped object.
    var title: String { name.namespace.isEmpty ? name.name : name.description }

    var value: Value {
        var metadata: Value.Object = ["name": .string(name.name)]
        if !name.namespace.isEmpty { metadata["namespace"] = .string(name.namespace) }
        if !source.file.isEmpty { metadata["annotations"] = ["weft.dev/source": .string(source.description)] }
        return [
            "apiVersion": .string(apiVersion), "kind": .string(kind), "metadata": .object(metadata),
            "status": isRoute
                ? ["parents": .array(parents.map(\.value))] : ["conditions": .array(conditions.map(\.value))],
        ]
    }

    /// The conditions in full, for one object.
    var conditionRecords: [Record] {
        func record(_ condition: Condition, _ first: [Field]) -> Record {
            Record(
                first + [
                    Field("type", .string(condition.type.rawValue)),
                    Field("status", .string(condition.status.rawValue), style: condition.isTrouble ? .bad : .good),
                    Field("reason", .string(condition.reason)),
                    Field("since", .string(condition.lastTransitionTime)),
                    Field("message", .string(condition.message)),
                ])
        }
        return conditions.map { record($0, []) }
            + parents.flatMap { status in
                status.conditions.map { record($0, [Field("parent", .string(status.parent.title))]) }
            }
    }
}

extension ParentReference {
    /// `Service namespace/name:port`, as far as it says so.
    fileprivate var title: String {
        let place = port.map(String.init) ?? sectionName
        return "\(kind) \(namespace.map { "\($0)/" } ?? "")\(name)\(place.map { ":\($0)" } ?? "")"
    }

    fileprivate var value: Value {
        var object: Value.Object = ["group": .string(group), "kind": .string(kind), "name": .string(name)]
        if let namespace { object["namespace"] = .string(namespace) }
        if let sectionName { object["sectionName"] = .string(sectionName) }
        if let port { object["port"] = Value(Int64(port)) }
        return .object(object)
    }
}

extension ParentStatus {
    fileprivate var value: Value {
        [
            "parentRef": parent.value, "controllerName": .string(controllerName),
            "conditions": .array(conditions.map(\.value)),
        ]
    }
}

extension Condition {
    /// Every condition is good when it is True but the one that names a trouble.
    fileprivate var isTrouble: Bool {
        switch type {
        case .partiallyInvalid: status == .yes
        // What is not accelerated works as it did before.
        case .accelerated: false
        default: status == .no
        }
    }

    /// `Accepted`, or what is wrong: `ResolvedRefs=False(BackendNotFound)`.
    fileprivate var summary: String { isTrouble ? "\(type.rawValue)=\(status.rawValue)(\(reason))" : type.rawValue }

    fileprivate var value: Value {
        [
            "type": .string(type.rawValue), "status": .string(status.rawValue), "reason": .string(reason),
            "message": .string(message), "lastTransitionTime": .string(lastTransitionTime),
            "observedGeneration": Value(observedGeneration),
        ]
    }
}
