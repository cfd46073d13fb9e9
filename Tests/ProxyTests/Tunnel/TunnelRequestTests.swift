import CLinux
import Glibc
import Mesh
import Testing

@testable import Proxy

/// Requests through tunnels: the client's engine reads them and sends them on over HBONE; the server's engine may read
/// them again.
@Suite(.serialized) struct TunnelRequestTests {
    private static let service: UInt64 = 7
    private static let inbound: UInt64 = 8
    private static let store = ObjectName(namespace: "shop", name: "store")

    private static func service(_ name: ObjectName, _ port: UInt16) -> MeshService {
        var servicePort = MeshServicePort(
            name: "http", port: 80, transport: .tcp,
            endpoints: [MeshEndpoint(address: TunnelPair.address, port: port, workload: TunnelPair.api)])
        servicePort.http = HTTPRouting(rules: [
            HTTPRule(
                origin: ObjectKey(.service, name), index: 0,
                action: .forward([HTTPBackend(target: .service(name, port: 80, subset: nil))]))
        ])
        return MeshService(name: name, addresses: [], ports: [servicePort], balancing: Balancing())
    }

    /// A pair whose client's engine has a service with the backend as its only endpoint. Its port of the client's engine.
    private func serve(
        _ pair: TunnelPair, _ backend: UInt16, readsAtServer: Bool = false,
        policies: [ObjectName: AuthorizationPolicy] = [:]
    ) -> UInt16 {
        var identifiers = TunnelPair.identifiers
        identifiers.services[RouteIdentifiers.ServicePort(service: Self.store, port: 80)] = [Self.service]
        let own = ObjectName(namespace: "shop", name: "Workload/api")
        identifiers.services[RouteIdentifiers.ServicePort(service: own, port: 80)] = [Self.inbound]
        for (engine, isServer) in [(pair.server, true), (pair.client, false)] {
            var snapshot = TunnelPair.snapshot(isServer: isServer)
            snapshot.services[Self.store] = Self.service(Self.store, backend)
            if isServer {
                snapshot.policies = policies
                if readsAtServer {
                    snapshot.services[own] = Self.service(own, backend)
                    snapshot.workloads[TunnelPair.api]?.requestPorts = [backend]
                    snapshot.workloads[TunnelPair.api]?.inboundHTTP = [backend: own]
                }
            }
            engine.publish(
                RouteTable(snapshot, identifiers: identifiers), AuthorizationTable(snapshot, identifiers: identifiers))
            engine.publish(
                TunnelTable(snapshot, identifiers: identifiers, tunnelPort: pair.tunnelPort, ownPorts: [15_008]))
        }
        usleep(20_000)
        pair.lane(.proxy, service: Self.service)
        return pair.port
    }

    private static let answer: @Sendable (String) -> String = { request in
        let path = request.split(separator: " ")[1]
        return "HTTP/1.1 200 OK\r\nContent-Length: \(path.utf8.count)\r\n\r\n\(path)"
    }

    @Test func requestsGoThroughTunnelsThatStayForTheNext() throws {
        let pair = try TunnelPair()
        let backend = RequestBackend(Self.answer)
        let port = serve(pair, backend.port)
        let client = TestSocket(port: port)
        for number in 0..<20 {
            client.send("GET /n\(number) HTTP/1.1\r\nHost: store\r\n\r\n")
            let response = client.receive(until: "/n\(number)")
            #expect(response.hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
        #expect(TunnelPair.counter(pair.client, .tunnelStreamsOpened) == 1)
        #expect(TunnelPair.counter(pair.client, .upstreamReused) == 19)
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsOpened) == 1)
    }

    @Test func bodiesGoThroughInBothDirections() throws {
        let pair = try TunnelPair()
        let body = String(repeating: "0123456789abcdef", count: 100_000)
        let backend = RequestBackend { request in
            let isWhole = request.hasSuffix("\r\n\r\n\(body)")
            return "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\nX-Whole: \(isWhole)\r\n\r\n\(body)"
        }
        let client = TestSocket(port: serve(pair, backend.port))
        let sending = Joined {
            client.send("POST / HTTP/1.1\r\nHost: store\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
        let head = client.receive(until: "\r\n\r\n")
        #expect(head.contains("X-Whole: true\r\n"))
        #expect(client.receive(count: body.utf8.count) == body)
        sending.join()
    }

    /// A tunnel that cannot be made is a connection that was refused.
    @Test func withoutAPeerRequestsFailToConnect() throws {
        let pair = try TunnelPair()
        let backend = RequestBackend(Self.answer)
        let port = serve(pair, backend.port)
        pair.server.stop()
        let client = TestSocket(port: port)
        client.send("GET / HTTP/1.1\r\nHost: store\r\nConnection: close\r\n\r\n")
        let response = client.receiveAll()
        #expect(response.hasPrefix("HTTP/1.1 503 "))
        #expect(response.contains("upstream_connect_failure"))
    }

    /// The server's engine reads the requests as well, and knows who the peer is.
    @Test func requestsAreReadAtTheServerToo() throws {
        let pair = try TunnelPair()
        let backend = RequestBackend(Self.answer)
        let name = ObjectName(namespace: "shop", name: "paths")
        var source = AuthorizationPolicy.Source()
        source.principals = [.exact("cluster.local/ns/shop/sa/web")]
        var operation = AuthorizationPolicy.Operation()
        operation.paths = [.text(.prefix("/open"))]
        let rule = AuthorizationPolicy.Rule(sources: [source], operations: [operation])
        let port = serve(
            pair, backend.port, readsAtServer: true,
            policies: [name: AuthorizationPolicy(name: name, rules: [rule])])
        let client = TestSocket(port: port)
        client.send("GET /open/1 HTTP/1.1\r\nHost: store\r\n\r\n")
        #expect(client.receive(until: "/open/1").hasPrefix("HTTP/1.1 200 OK\r\n"))
        client.send("GET /shut HTTP/1.1\r\nHost: store\r\nConnection: close\r\n\r\n")
        let denied = client.receiveAll()
        #expect(denied.hasPrefix("HTTP/1.1 403 "))
        #expect(denied.contains("RBAC: access denied"))
        #expect(TunnelPair.counter(pair.server, .downstreamOpened) == 1)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelStreamsActive) <= 1 })
    }
}

/// A server of `api` for requests.
final class RequestBackend: Sendable {
    private let backend: TunnelBackend
    var port: UInt16 { backend.port }

    init(_ answer: @escaping @Sendable (String) -> String) {
        backend = TunnelBackend { socket in
            while let request = readRequest(socket) { socket.send(answer(request)) }
        }
    }
}
