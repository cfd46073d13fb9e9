/// An object with its conditions, encoded as `{apiVersion, kind, metadata, status: {conditions}}`.
public struct ObjectStatus: Sendable, Equatable {
    public var apiVersion: String
    public var kind: String
    /// The namespace is empty for a cluster-scoped object.
    public var name: ObjectName
    /// Encoded as the annotation `weft.dev/source`.
    public var source: SourceLocation
    public var conditions: [Condition]

    public init(
        apiVersion: String, kind: String, name: ObjectName, source: SourceLocation, conditions: [Condition]
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.source = source
        self.conditions = conditions
    }

    /// The condition of that type.
    public subscript(_ type: Condition.Kind) -> Condition? { conditions.first { $0.type == type } }
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
        var conditions: [Condition]
    }

    private static let sourceAnnotation = "weft.dev/source"

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let metadata = try container.decode(Metadata.self, forKey: .metadata)
        let source = metadata.annotations?[Self.sourceAnnotation] ?? ""
        let colon = source.lastIndex(of: ":")
        self.init(
            apiVersion: try container.decode(String.self, forKey: .apiVersion),
            kind: try container.decode(String.self, forKey: .kind),
            name: ObjectName(namespace: metadata.namespace ?? "", name: metadata.name),
            source: SourceLocation(
                file: String(source[..<(colon ?? source.endIndex)]),
                line: colon.flatMap { Int(source[source.index(after: $0)...]) } ?? 0),
            conditions: try container.decode(Status.self, forKey: .status).conditions)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(apiVersion, forKey: .apiVersion)
        try container.encode(kind, forKey: .kind)
        let metadata = Metadata(
            name: name.name, namespace: name.namespace.isEmpty ? nil : name.namespace,
            annotations: [Self.sourceAnnotation: source.description])
        try container.encode(metadata, forKey: .metadata)
        try container.encode(Status(conditions: conditions), forKey: .status)
    }
}
