/// One behaviour that the Gateway API's conformance tests check: routes for the service `echo`, and what becomes of
/// requests. The services are `echo`, `echo-v1`, `echo-v2` and `echo-v3`, each with the ports 80 and 8080.
/// Source: https://github.com/kubernetes-sigs/gateway-api/tree/main/conformance/tests
struct ConformanceCase: Sendable, CustomStringConvertible {
    static let namespace = "gateway-conformance-mesh"

    /// The test's ShortName.
    var name: String
    /// Documents in YAML.
    var routes: String
    var exchanges: [ConformanceExchange]

    var description: String { name }

    init(_ name: String, _ routes: String, _ exchanges: [ConformanceExchange]) {
        self.name = name
        self.routes = routes
        self.exchanges = exchanges
    }

    /// An HTTPRoute whose parent is a service; `rules` is a YAML flow sequence without its brackets.
    static func route(
        _ rules: String, name: String = "route", parent: String = "echo", port: UInt16? = 80, more: String = "",
        namespace: String = Self.namespace
    ) -> String {
        let port = port.map { ", port: \($0)" } ?? ""
        return """
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: { name: \(name), namespace: \(namespace) }
            spec:
              parentRefs: [{ group: "", kind: Service, name: \(parent), namespace: \(Self.namespace)\(port) }]
              \(more)
              rules: [\(rules)]

            """
    }
}

/// A request and what is expected of it. A value of nil stands for a field that must not be there.
struct ConformanceExchange: Sendable {
    var method = "GET"
    var path = "/"
    var host = "echo"
    var headers: [String: String] = [:]
    /// The service that the client connects to, and its port.
    var service = "echo"
    var port: UInt16 = 80
    /// The client's namespace.
    var client = ConformanceCase.namespace

    var status: UInt16 = 200
    /// The service that answers; nil: the proxy itself.
    var backend: String?
    var location: String?
    /// What the backend gets.
    var forwardedPath: String?
    var forwardedHost: String?
    var forwardedHeaders: [String: String?] = [:]
    /// What the backend answers with.
    var backendHeaders: [String: String] = [:]
    var responseHeaders: [String: String?] = [:]

    init(_ path: String, to backend: String? = nil, _ edit: (inout ConformanceExchange) -> Void = { _ in }) {
        self.path = path
        self.backend = backend
        edit(&self)
    }

    /// A request that is redirected.
    init(_ path: String, redirectsTo location: String, _ status: UInt16 = 302) {
        self.path = path
        self.location = location
        self.status = status
    }

    /// A request that the proxy answers with an error.
    init(_ path: String, fails status: UInt16, _ edit: (inout ConformanceExchange) -> Void = { _ in }) {
        self.path = path
        self.status = status
        edit(&self)
    }
}
