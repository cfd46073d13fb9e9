import Mesh

/// Configuration objects with their conditions, as `status` and `validate` print them.
struct ObjectList {
    let objects: [ObjectStatus]

    /// - Parameter objects: in any order.
    init(_ objects: [ObjectStatus]) {
        self.objects = objects.sorted { naturally("\($0.kind)/\($0.title)", "\($1.kind)/\($1.title)") }
    }

    var value: Value { .array(objects.map(\.value)) }

    var isTroubled: Bool { objects.contains { $0.conditions.contains(where: \.isTrouble) } }

    /// Each object with what is wrong, or with what is right.
    var records: [Record] {
        objects.map { object in
            let troubles = object.conditions.filter(\.isTrouble)
            let shown = troubles.isEmpty ? object.conditions.filter { $0.status == .yes } : troubles
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
            "status": ["conditions": .array(conditions.map(\.value))],
        ]
    }

    /// The conditions in full, for one object.
    var conditionRecords: [Record] {
        conditions.map { condition in
            Record([
                Field("type", .string(condition.type.rawValue)),
                Field("status", .string(condition.status.rawValue), style: condition.isTrouble ? .bad : .good),
                Field("reason", .string(condition.reason)),
                Field("since", .string(condition.lastTransitionTime)),
                Field("message", .string(condition.message)),
            ])
        }
    }
}

extension Condition {
    /// Every condition is good when it is True but the one that names a trouble.
    fileprivate var isTrouble: Bool { type == .partiallyInvalid ? status == .yes : status == .no }

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
