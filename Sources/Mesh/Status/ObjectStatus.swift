/// An object with its conditions, encoded as `{apiVersion, kind, metadata, status: {conditions}}`; a route's status is
/// `{parents: [{parentRef, controllerName, conditions}]}` (Gateway API, RouteStatus).
public struct ObjectStatus: Sendable, Equatable {
    public var apiVersion: String
    public var kind: String
    /// The namespace is empty for a cluster-scoped object.
    public var name: ObjectName
    /// Encoded as the annotation `weft.dev/source`.
    public var source: SourceLocation
    /// Empty for a route.
    public var conditions: [Condition]
    /// Of a route.
    public var parents: [ParentStatus]

    public init(
        apiVersion: String, kind: String, name: ObjectName, source: SourceLocation, conditions: [Condition],
        parents: [ParentStatus] = []
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.source = source
        self.conditions = conditions
        self.parents = parents
    }

    /// The object's and its parents' conditions.
    public var allConditions: [Condition] { conditions + parents.flatMap(\.conditions) }

    /// The first condition of that type.
    public subscript(_ type: Condition.Kind) -> Condition? { allConditions.first { $0.type == type } }

    /// Whether its status is one for each parent.
    public var isRoute: Bool { kind == ResourceKind.httpRoute.rawValue }
}

/// What became of a route at one of its parents.
/// Source: https://gateway-api.sigs.k8s.io/reference/spec/#routeparentstatus
public struct ParentStatus: Sendable, Equatable, Codable {
    /// What the GatewayClass names too.
    public static let controller = "weft.dev/gateway-controller"

    public var parent: ParentReference
    public var controllerName: String
    public var conditions: [Condition]

    public init(parent: ParentReference, conditions: [Condition]) {
        self.parent = parent
        controllerName = Self.controller
        self.conditions = conditions
    }

    private enum CodingKeys: String, CodingKey {
        case parent = "parentRef"
        case controllerName, conditions
    }
}

extension ObjectStatus: Codable {
    private enum CodingKeys: String, CodingKey {
        case apiVersion, kind, metadata, status
    }

    private struct Metadata: Codable {
        var name: String
        var namespace: String?
        var annotations: [String: String]?
    }

    private struct Status: Codable {
        var conditions: [Condition]?
        var parents: [ParentStatus]?
    }

    private static let sourceAnnotation = "weft.dev/source"

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let metadata = try container.decode(Metadata.self, forKey: .metadata)
        let status = try container.decode(Status.self, forKey: .status)
        let source = metadata.annotations?[Self.sourceAnnotation] ?? ""
        let colon = source.lastIndex(of: ":")
        self.init(
            apiVersion: try container.decode(String.self, forKey: .apiVersion),
            kind: try container.decode(String.self, forKey: .kind),
            name: ObjectName(namespace: metadata.namespace ?? "", name: metadata.name),
            source: SourceLocation(
                file: String(source[..<(colon ?? source.endIndex)]),
                line: colon.flatMap { Int(source[source.index(after: $0)...]) } ?? 0),
            conditions: status.conditions ?? [], parents: status.parents ?? [])
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(apiVersion, forKey: .apiVersion)
        try container.encode(kind, forKey: .kind)
        let metadata = Metadata(
            name: name.name, namespace: name.namespace.isEmpty ? nil : name.namespace,
            annotations: [Self.sourceAnnotation: source.description])
        try container.encode(metadata, forKey: .metadata)
        try container.encode(
            isRoute ? Status(parents: parents) : Status(conditions: conditions), forKey: .status)
    }
}
