import CLinux
import Mesh

@testable import Proxy

/// A proxy whose requests an authorizer decides about.
struct CheckProxy {
    let proxy: TestProxy
    /// Answers with what it was sent.
    let backend = TestBackend(answering: { request in
        "HTTP/1.1 200 OK\r\nContent-Length: \(request.utf8.count)\r\n\r\n\(request)"
    })
    static let authorizers = ObjectName(namespace: "auth", name: "checks")

    /// - Parameters:
    ///   - port: of the authorizer at 127.0.0.1; nil: its service does not exist.
    ///   - paths: those that it is asked about; empty: all.
    init(
        _ api: ExternalAuthorizer.API, port: UInt16?, paths: [String] = [], timeout: UInt32 = 2_000,
        failsOpen: Bool = false, statusOnError: UInt16 = 403, isTraced: Bool = false
    ) throws {
        var options = ProxyOptions()
        if isTraced { options.tracing = TracingOptions() }
        proxy = try TestProxy(to: [backend.port], options: options)
        let address = IPAddress(high: loopback(0).high, low: loopback(0).low)
        var web = MeshServicePort(
            name: "http", port: 80, transport: .tcp, endpoints: [MeshEndpoint(address: address, port: backend.port)])
        web.http = HTTPRouting(rules: [TestProxy.rule])
        var snapshot = MeshSnapshot(
            generation: 2,
            services: [
                TestProxy.name: MeshService(
                    name: TestProxy.name, addresses: [], ports: [web], balancing: Balancing())
            ])
        if let port {
            let checks = MeshServicePort(
                name: "http", port: 9000, transport: .tcp, endpoints: [MeshEndpoint(address: address, port: port)])
            snapshot.services[Self.authorizers] = MeshService(
                name: Self.authorizers, addresses: [], ports: [checks], balancing: Balancing())
        }
        var authorizer = ExternalAuthorizer(name: "checker", api: api, service: Self.authorizers, port: 9000)
        authorizer.timeout = timeout
        authorizer.failsOpen = failsOpen
        authorizer.statusOnError = statusOnError
        snapshot.authorizers["checker"] = authorizer
        let name = ObjectName(namespace: TestProxy.name.namespace, name: "ask")
        var rule = AuthorizationPolicy.Rule()
        if !paths.isEmpty {
            var operation = AuthorizationPolicy.Operation()
            operation.paths = paths.map { .text(.exact($0)) }
            rule.operations = [operation]
        }
        var policy = AuthorizationPolicy(name: name, action: .custom, rules: [rule])
        policy.targetServices = [TestProxy.name.name]
        policy.provider = "checker"
        snapshot.policies[name] = policy
        let identifiers = RouteIdentifiers(
            services: [RouteIdentifiers.ServicePort(service: TestProxy.name, port: 80): [TestProxy.service]])
        proxy.engine.publish(
            RouteTable(snapshot, identifiers: identifiers), AuthorizationTable(snapshot, identifiers: identifiers))
    }

    func send(_ target: String = "/", _ fields: [String] = [], method: String = "GET", body: String = "") -> String {
        var lines = ["\(method) \(target) HTTP/1.1", "Host: web", "Connection: close"] + fields
        if !body.isEmpty { lines.append("Content-Length: \(body.utf8.count)") }
        return proxy.exchange(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    var counts: AuthorizerReading? { proxy.engine.authorizers.first }
}
