/// What the meaning of a configuration depends on besides the configuration.
public struct MeshOptions: Sendable, Equatable {
    /// The SPIFFE trust domain of the mesh.
    public var trustDomain: String
    /// This node's name: workloads that name it, or no node, are local.
    public var node: String
    /// The namespace whose policies apply to the whole mesh.
    public var rootNamespace: String

    public init(trustDomain: String = "cluster.local", node: String, rootNamespace: String = "istio-system") {
        self.trustDomain = trustDomain
        self.node = node
        self.rootNamespace = rootNamespace
    }
}
