extension ApplicationProtocol {
    /// What a service's port declares: `appProtocol` if it is a protocol that is known, otherwise the name by Istio's
    /// convention (`http`, `http-admin`), otherwise a port number that is known to be no HTTP.
    /// Source: https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/, Kubernetes KEP-3726.
    public init(declared: String?, portName: String, port: UInt16) {
        if let known = declared.flatMap({ Self(name: $0.lowercased()) }) {
            self = known
        } else if let known = Self(name: portName.prefix { $0 != "-" }.lowercased())
            ?? Self(name: portName.lowercased())
        {
            self = known
        } else {
            self = Self.opaquePorts.contains(port) ? .opaque : .undeclared
        }
    }

    /// Linkerd's default opaque ports: SMTP, MySQL, Galera, PostgreSQL, Redis, Elasticsearch's transport, memcached.
    private static let opaquePorts: Set<UInt16> = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211]

    private init?(name: String) {
        switch name {
        case "http", "http1", "kubernetes.io/ws": self = .http
        case "http2", "grpc", "grpc-web", "kubernetes.io/h2c", "h2c": self = .http2
        case "https", "tls", "kubernetes.io/wss", "wss": self = .tls
        case "tcp", "udp", "mongo", "mysql", "redis", "postgres", "postgresql", "linkerd.io/opaque", "linkerd.io/tcp":
            self = .opaque
        default: return nil
        }
    }
}
