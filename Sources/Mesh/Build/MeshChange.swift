/// The difference between two sets of objects.
public struct MeshChange: Sendable {
    public var removed: [ObjectKey] = []
    /// New objects, and objects with other contents.
    public var updated: [(object: MeshObject, location: SourceLocation)] = []
    /// Objects that only moved in their file.
    public var moved: [(key: ObjectKey, location: SourceLocation)] = []

    public init() {}

    public var isEmpty: Bool { removed.isEmpty && updated.isEmpty && moved.isEmpty }
}
