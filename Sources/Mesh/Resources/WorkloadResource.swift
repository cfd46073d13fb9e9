/// Weft's `Workload`: binds processes, or a remote address, to a name, labels and a service account.
///
/// ```yaml
/// apiVersion: weft.dev/v1alpha1
/// kind: Workload
/// metadata: { name: web-1, namespace: shop, labels: { app: web } }
/// spec:
///   serviceAccount: web          # "default" when omitted
///   addresses: [10.0.0.7]
///   node: node-a                 # this node when omitted
///   match: { cgroup: /system.slice/web.service }  # or { systemdUnit: web.service }, or none
///   ports: [{ name: http, port: 8080, protocol: TCP }]
///   weight: 90                   # 0...65535, 1 when omitted; its share where a service selects it
///   acceleration: On             # or Off: whether its connections within the node may go around the TCP stack where that
///                                # is proved right; its namespace's TrafficPolicy decides when omitted, else Off
///   tunnel: HBONE                # or None: connections to it from other nodes are left as they are. HBONE when omitted:
///                                # for a workload of another node that means that an agent runs there
/// ```
public struct WorkloadResource: Sendable, Equatable {
    public var labels: [String: String] = [:]
    public var serviceAccount = "default"
    public var addresses: [IPAddress] = []
    /// Empty: this node.
    public var node = ""
    /// Path below the cgroup v2 root, with a leading slash; nil for none.
    public var cgroup: String?
    public var ports: [MeshWorkloadPort] = []
    public var weight: UInt16 = 1
    /// nil: as its namespace's TrafficPolicy says.
    public var acceleration: Bool?
    /// Whether it takes HBONE, wherever it is.
    public var takesTunnel = true

    public init() {}
}

/// A Kubernetes `Pod`.
/// Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
public struct PodResource: Sendable, Equatable {
    public var labels: [String: String] = [:]
    public var serviceAccount = "default"
    public var addresses: [IPAddress] = []
    public var node = ""
    /// The annotation `weft.dev/cgroup`.
    public var cgroup: String?
    /// Of all its containers.
    public var ports: [MeshWorkloadPort] = []
    /// The annotation `weft.dev/weight`.
    public var weight: UInt16 = 1
    /// The annotation `weft.dev/acceleration`; nil: as its namespace's TrafficPolicy says.
    public var acceleration: Bool?
    /// It has the node's addresses, so only its declared ports are its own.
    public var usesHostNetwork = false
    /// `status.phase` is Succeeded or Failed: its addresses may be another Pod's by now.
    public var isFinished = false
    public var state = EndpointState.ready
    /// The annotation `ambient.istio.io/redirection: enabled`: an agent of its node takes HBONE for it.
    public var isRedirected = false

    public init() {}

    static let modeLabel = "istio.io/dataplane-mode"

    /// Whether an agent of its node, which is another one, takes HBONE for it: it says so itself, or its namespace does.
    func takesTunnel(namespaceLabels: [String: String]) -> Bool {
        if isRedirected { return true }
        // Istio leaves Pods with the addresses of their node alone.
        guard !usesHostNetwork else { return false }
        return (labels[Self.modeLabel] ?? namespaceLabels[Self.modeLabel]) == "ambient"
    }
}
