/// A condition in the form of Kubernetes' `metav1.Condition`.
/// Source: https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#condition-v1-meta
public struct Condition: Sendable, Equatable, Codable {
    /// Positive in meaning, except `PartiallyInvalid`.
    public enum Kind: String, Sendable, Codable {
        /// The object is valid and has its effect.
        case accepted = "Accepted"
        /// Part of the object has no effect; the rest works (Gateway API).
        case partiallyInvalid = "PartiallyInvalid"
        /// Everything that it refers to exists.
        case resolvedRefs = "ResolvedRefs"
        /// Of a workload that opted in: its connections with others like it go around the TCP stack.
        case accelerated = "Accelerated"
        /// The data plane of this node has it.
        case programmed = "Programmed"
    }

    public enum Status: String, Sendable, Codable {
        case yes = "True"
        case no = "False"
        case unknown = "Unknown"
    }

    public var type: Kind
    public var status: Status
    /// CamelCase, for programs.
    public var reason: String
    /// For people.
    public var message: String
    /// The `metadata.generation` that this speaks of; 0 where the object has none.
    public var observedGeneration: Int64
    /// When `status` last changed (RFC 3339, UTC).
    public var lastTransitionTime: String

    public init(
        type: Kind, status: Status, reason: String, message: String = "", observedGeneration: Int64 = 0,
        lastTransitionTime: String = ""
    ) {
        self.type = type
        self.status = status
        self.reason = reason
        self.message = message
        self.observedGeneration = observedGeneration
        self.lastTransitionTime = lastTransitionTime
    }
}

/// Why an object does not have the effect that its text asks for.
public struct ConditionIssue: Sendable, Equatable {
    /// `accepted` and `resolvedRefs` become False by it, `partiallyInvalid` True.
    public var type: Condition.Kind
    public var reason: String
    public var message: String
    /// Of a route: which of its parents it speaks of, counted from 0; nil: of all.
    public var parent: Int?

    public init(_ type: Condition.Kind, reason: String, message: String, parent: Int? = nil) {
        self.type = type
        self.reason = reason
        self.message = message
        self.parent = parent
    }

    /// The object, or the part that `type` speaks of, uses what Weft does not support.
    public static func unsupported(_ type: Condition.Kind, _ message: String) -> Self {
        Self(type, reason: "UnsupportedValue", message: message)
    }

    /// Part of the object uses what Weft does not support.
    public static func unsupported(_ message: String) -> Self { unsupported(.partiallyInvalid, message) }
}
