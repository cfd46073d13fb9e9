import CLinux
import Mesh
import Proxy
import Synchronization
import Testing

/// An engine with one worker in front of the workloads `shop/web-0`, `shop/web-1`, ... of the service `shop/web`, each with
/// the label `app: web` and with its own name as `name`. Clients are who `source` says.
final class PolicyProxy: Sendable {
    static let web = ObjectName(namespace: "shop", name: "web")
    static let client = ObjectName(namespace: "shop", name: "client")
    static let stranger = ObjectName(namespace: "pay", name: "stranger")

    let engine: ProxyEngine
    let port: UInt16
    private let source: Source

    private final class Source: Sendable {
        let identifier = Mutex<UInt64>(2)
    }

    init(
        _ policies: [AuthorizationPolicy], to backends: [UInt16], options: ProxyOptions = ProxyOptions(),
        rule: (inout HTTPRule) -> Void = { _ in }, change: (inout MeshSnapshot) -> Void = { _ in }
    ) throws {
        let source = Source()
        self.source = source
        var options = options
        options.connectionsPerWorker = 1024
        engine = try ProxyEngine(options: options) { _ in
            ConnectionOrigin(
                destination: ClientAddress(high: 0, low: 0xffff_0a01_0001, port: 80), service: 100,
                source: source.identifier.withLock { $0 })
        }
        try engine.start()
        let (descriptor, port) = listen()
        self.port = port
        var changed = Self.rule
        rule(&changed)
        publish(policies, to: backends, rule: changed, change: change)
        _ = engine.addListener([descriptor], .captured)
    }

    deinit { engine.stop() }

    static var rule: HTTPRule {
        HTTPRule(
            origin: ObjectKey(.httpRoute, web), index: 0,
            action: .forward([HTTPBackend(target: .service(web, port: 80, subset: nil))]))
    }

    /// Clients whose connections are made from now on are this workload; nil: none of the mesh.
    func become(_ workload: ObjectName?) {
        source.identifier.withLock { $0 = workload == nil ? 0 : workload == Self.client ? 2 : 3 }
    }

    func publish(
        _ policies: [AuthorizationPolicy], to backends: [UInt16], rule: HTTPRule = PolicyProxy.rule,
        change: (inout MeshSnapshot) -> Void = { _ in }
    ) {
        let place = loopback(0)
        let address = IPAddress(high: place.high, low: place.low)
        var identifiers = RouteIdentifiers(
            services: [RouteIdentifiers.ServicePort(service: Self.web, port: 80): [100]],
            workloads: [Self.client: 2, Self.stranger: 3])
        var endpoints: [MeshEndpoint] = []
        var snapshot = MeshSnapshot(
            generation: 1,
            workloads: [
                Self.client: MeshWorkload(name: Self.client, serviceAccount: "client"),
                Self.stranger: MeshWorkload(name: Self.stranger, serviceAccount: "stranger"),
            ],
            policies: Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) }))
        for (number, backend) in backends.enumerated() {
            let name = ObjectName(namespace: "shop", name: "web-\(number)")
            snapshot.workloads[name] = MeshWorkload(
                name: name, serviceAccount: "web", labels: ["app": "web", "name": name.name])
            identifiers.workloads[name] = UInt64(10 + number)
            endpoints.append(MeshEndpoint(address: address, port: backend, workload: name))
        }
        var servicePort = MeshServicePort(name: "http", port: 80, transport: .tcp, endpoints: endpoints)
        servicePort.http = HTTPRouting(rules: [rule])
        snapshot.services[Self.web] = MeshService(
            name: Self.web, addresses: [], ports: [servicePort], balancing: Balancing())
        change(&snapshot)
        engine.publish(
            RouteTable(snapshot, identifiers: identifiers), AuthorizationTable(snapshot, identifiers: identifiers))
    }

    func connect() -> TestSocket { TestSocket(port: port) }

    /// The whole answer to bytes on a connection of their own; the request has to close it.
    func exchange(_ bytes: String) -> String {
        let client = connect()
        client.send(bytes)
        return client.receiveAll()
    }

    func get(_ target: String = "/", _ fields: String = "", method: String = "GET", host: String = "web") -> String {
        exchange("\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n\(fields)Connection: close\r\n\r\n")
    }

    /// What a rule was counted for, as `verdict mode`.
    func counts(_ rule: String) -> [String: UInt64] {
        var found: [String: UInt64] = [:]
        for (key, count) in engine.policyCounts?.readings ?? [] where key.rule == rule {
            found["\(key.verdict) \(key.mode)"] = count
        }
        return found
    }
}
