public import Proxy
public import Telemetry

/// What `weftd run` is told by its flags and `WEFT_*` variables.
public struct AgentOptions: Sendable {
    /// The directory of the mesh's configuration.
    public var configDirectory = "/etc/weft/mesh.d"
    /// The cgroup that the programs are attached to; nil: the root of the cgroup v2 hierarchy.
    public var cgroup: String?
    public var pinDirectory: String
    public var stateDirectory = "/var/lib/weft"
    public var runDirectory = "/run/weft"
    /// This node's name.
    public var node: String
    public var trustDomain = "cluster.local"
    /// The namespace whose policies apply to the whole mesh.
    public var rootNamespace = "istio-system"
    public var adminListen = "127.0.0.1:15000"
    public var metricsListen = "127.0.0.1:15020"
    public var readyListen = "127.0.0.1:15021"
    /// Where names are answered.
    public var dnsListen = "127.0.0.1:15053"
    /// Resolvers for names that are not the mesh's; empty: those of the node's resolv.conf.
    public var dnsUpstreams: [String] = []
    /// Where captured connections go, in every network namespace.
    public var outboundListen = "127.0.0.1:15001"
    /// Where connections from outside of the mesh go.
    public var inboundListen = "127.0.0.1:15006"
    /// Where other nodes' tunnels arrive.
    public var tunnelListen = "0.0.0.0:15008"
    /// The socket of the SPIFFE Workload API, `unix:PATH`; empty: `workload.sock` in the run directory.
    public var workloadAPIListen = ""
    /// PEM of an authority that issues certificates to workloads, its key, and its roots; nil: the built-in CA.
    public var caCertificate: String?
    public var caKey: String?
    public var caBundle: String?
    /// Where nodes may join; nil: nowhere.
    public var caListen: String?
    /// The CA on another node, and the token by which this one joins it.
    public var joinAddress: String?
    public var joinToken: String?
    /// How often that CA is asked for roots and revocations: seconds.
    public var caRefresh: Int64 = 60
    /// Where another program keeps workloads' certificates; nil: nowhere.
    public var identityDirectory: String?
    /// Of workloads' certificates: seconds.
    public var certificateLifetime: Int64 = 86400
    /// Whether the kernel encrypts the records of tunnels.
    public enum KernelTLSUse: String, Sendable {
        /// If it can change their keys.
        case auto
        /// If it can.
        case on
        case off
    }
    public var kernelTLS = KernelTLSUse.auto
    /// Threads of the proxy; 0: one for each core.
    public var workers = 0
    /// Proxies in front of the mesh whose X-Forwarded-For is believed.
    public var trustedProxies = 0
    /// This node's address for other nodes; empty if there is none.
    public var nodeAddress = ""
    /// How long requests in progress may go on when the agent stops.
    public var drainTime = Duration.seconds(5)
    public var accessLog = AccessLogOptions()
    public var flowLog = FlowLogOptions()
    /// Whether the collector gets flow records.
    public var exportsFlows = false
    /// A collector of OpenTelemetry; nil: none.
    public var otlp: OTLPOptions?
    /// Which requests are traced, if there is a collector; nil: none.
    public var tracing: TracingOptions? = TracingOptions()
    /// Whether stopping removes the programs and maps from the kernel.
    public var detachOnExit = false
    /// Sizes of maps other than the defaults, by map name.
    public var mapLimits: [String: Int] = [:]
    /// Whether HTTP/1 is read in the kernel on connections that no proxy reads.
    public var readsHTTP = true
    public var acceleration = AccelerationOptions()
    /// Whether the kernel decides about requests whose rules it can decide, between accelerated workloads.
    public var takesShortcuts = true
    /// The most series that one group of metrics may have; the rest is counted in an overflow series.
    public var maxSeries = 5000
    /// Other meshes' names that metrics are shown under besides.
    public var metricsCompatibility: Set<MetricsCompatibility> = []

    public init(pinDirectory: String, node: String) {
        self.pinDirectory = pinDirectory
        self.node = node
    }
}

/// Why the agent could not start or go on: one sentence for people, with what to do about it.
public struct AgentError: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}
