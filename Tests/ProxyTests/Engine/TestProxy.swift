import CLinux
import Glibc
import Mesh
import Proxy

/// An engine with one worker and one service, whose endpoints are ports of 127.0.0.1.
final class TestProxy: Sendable {
    let engine: ProxyEngine
    let port: UInt16
    static let service: UInt64 = 7

    init(
        to backends: [UInt16], options: ProxyOptions = ProxyOptions(), traffic: HTTPTraffic = HTTPTraffic(),
        rule: (inout HTTPRule) -> Void = { _ in }
    ) throws {
        var options = options
        options.connectionsPerWorker = min(options.connectionsPerWorker, 4_096)
        engine = try ProxyEngine(options: options)
        try engine.start()
        let (descriptor, port) = listen()
        self.port = port
        var changed = Self.rule
        rule(&changed)
        publish(to: backends, rules: [changed], traffic: traffic)
        _ = engine.addListener([descriptor], .service(Self.service))
    }

    deinit { engine.stop() }

    static let name = ObjectName(namespace: "shop", name: "web")

    static var rule: HTTPRule {
        HTTPRule(
            origin: ObjectKey(.httpRoute, name), index: 0,
            action: .forward([HTTPBackend(target: .service(name, port: 80, subset: nil))]))
    }

    func publish(to backends: [UInt16], rules: [HTTPRule], traffic: HTTPTraffic = HTTPTraffic(), generation: UInt64 = 1)
    {
        let place = loopback(0)
        var servicePort = MeshServicePort(
            name: "http", port: 80, transport: .tcp,
            endpoints: backends.map {
                MeshEndpoint(address: IPAddress(high: place.high, low: place.low), port: $0)
            })
        servicePort.http = HTTPRouting(rules: rules)
        var service = MeshService(name: Self.name, addresses: [], ports: [servicePort], balancing: Balancing())
        service.traffic = traffic
        let snapshot = MeshSnapshot(generation: generation, services: [Self.name: service])
        let identifiers = RouteIdentifiers(
            services: [RouteIdentifiers.ServicePort(service: Self.name, port: 80): [Self.service]])
        engine.publish(
            RouteTable(snapshot, identifiers: identifiers), AuthorizationTable(snapshot, identifiers: identifiers))
    }

    /// Requests go to `backends`, and copies of them to a service of its own.
    func publish(to backends: [UInt16], mirror: UInt16) {
        let place = loopback(0)
        let address = IPAddress(high: place.high, low: place.low)
        let copies = ObjectName(namespace: "shop", name: "copies")
        let mirrorPort = MeshServicePort(
            name: "http", port: 80, transport: .tcp, endpoints: [MeshEndpoint(address: address, port: mirror)])
        var servicePort = MeshServicePort(
            name: "http", port: 80, transport: .tcp,
            endpoints: backends.map { MeshEndpoint(address: address, port: $0) })
        var rule = Self.rule
        rule.mirrors = [HTTPMirror(target: .service(copies, port: 80, subset: nil))]
        servicePort.http = HTTPRouting(rules: [rule])
        let snapshot = MeshSnapshot(
            generation: 2,
            services: [
                Self.name: MeshService(name: Self.name, addresses: [], ports: [servicePort], balancing: Balancing()),
                copies: MeshService(name: copies, addresses: [], ports: [mirrorPort], balancing: Balancing()),
            ])
        let identifiers = RouteIdentifiers(
            services: [RouteIdentifiers.ServicePort(service: Self.name, port: 80): [Self.service]])
        engine.publish(
            RouteTable(snapshot, identifiers: identifiers), AuthorizationTable(snapshot, identifiers: identifiers))
    }

    func connect() -> TestSocket { TestSocket(port: port) }

    /// Sends bytes on a connection of their own, and gives what comes back until it ends.
    func exchange(_ bytes: String) -> String {
        let client = connect()
        client.send(bytes)
        return client.receiveAll()
    }

    func counter(_ counter: ProxyCounter) -> UInt64 {
        engine.statistics.map { $0.value(counter) }.reduce(0, &+)
    }

    /// What was counted of requests with this status.
    func requests(status: UInt16) -> (count: UInt64, flags: ResponseFlags) {
        var count: UInt64 = 0
        var flags: ResponseFlags = []
        for statistics in engine.statistics {
            for position in 0..<statistics.entryCount {
                guard let reading = statistics.reading(at: position), reading.key.status == status else { continue }
                count += reading.requests.count
                flags.formUnion(reading.key.flags)
            }
        }
        return (count, flags)
    }

    /// Waits until it holds, at most three seconds.
    static func eventually(within seconds: Int = 3, _ condition: () -> Bool) -> Bool {
        for _ in 0..<seconds * 100 {
            if condition() { return true }
            usleep(10_000)
        }
        return condition()
    }
}
