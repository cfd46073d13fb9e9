import Glibc
import Mesh
import Testing

@testable import Proxy

/// What a server's agent says of the connections that came to it through tunnels.
@Suite(.serialized) struct TunnelRecordTests {
    private struct Said: Equatable {
        var event: TunnelFlow.Event
        var source: UInt64
        var destination: UInt64
        var peer: String
        var rule: String
        var sent: UInt64 = 0
        var received: UInt64 = 0
        var error: Int32 = 0
    }

    private static let principal = "cluster.local/ns/shop/sa/web"

    private static func text(_ bytes: RawSpan) -> String {
        unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    private func flows(_ pair: TunnelPair, count: Int) -> [Said] {
        var said: [Said] = []
        _ = TestProxy.eventually {
            for queue in pair.server.flows {
                _ = queue.drain { entry in
                    let flow = entry.flow
                    said.append(
                        Said(
                            event: flow.event, source: flow.source, destination: flow.destination,
                            peer: Self.text(entry.peer), rule: Self.text(entry.rule), sent: flow.sent,
                            received: flow.received, error: flow.error))
                    #expect(flow.ended >= flow.started && flow.target.low == 0xffff_7f60_000a)
                }
            }
            return said.count >= count
        }
        return said
    }

    private func connections(_ engine: ProxyEngine) -> [WorkerStatistics.ConnectionReading] {
        engine.statistics.flatMap { worker in
            (0..<worker.connectionEntryCount).compactMap { worker.connections(at: $0) }
        }
    }

    @Test func whatEndsIsCountedAndRecorded() throws {
        let pair = try TunnelPair()
        pair.publish(server: { $0.policies = TunnelTrustTests.allowing(Self.principal) })
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("hello")
        #expect(socket.receive(count: 5) == "hello")
        let open = try #require(connections(pair.server).first)
        #expect(open.counts.opened == 1 && open.counts.closed == 0)
        socket.finishSending()
        #expect(socket.receiveAll().isEmpty)
        #expect(
            flows(pair, count: 1) == [
                Said(
                    event: .closed, source: 1, destination: 2, peer: Self.principal, rule: "shop/who[0]", sent: 5,
                    received: 5)
            ])
        let reading = try #require(connections(pair.server).first)
        #expect(connections(pair.server).count == 1)
        #expect(reading.key == WorkerStatistics.ConnectionKey(source: 1, service: 0, destination: 2, peer: 1))
        #expect(reading.counts.closed == 1 && reading.counts.sent == 5 && reading.counts.received == 5)
        let names = pair.server.peerNames.compactMap { $0.name(1) }
        #expect(names == [TunnelPair.webID])
        #expect(connections(pair.client).isEmpty)
        #expect(pair.server.policyCounts?.readings.map(\.key.rule) == ["shop/who[0]"])
    }

    @Test func refusalsSayWhoWasRefusedByWhich() throws {
        let pair = try TunnelPair()
        pair.publish(server: { $0.policies = TunnelTrustTests.allowing("cluster.local/ns/shop/sa/other") })
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1).isEmpty)
        #expect(
            flows(pair, count: 1) == [
                Said(
                    event: .denied, source: 1, destination: 2, peer: Self.principal,
                    rule: "shop/who (no rule matched)")
            ])
        #expect(connections(pair.server).isEmpty)
        let counted = try #require(pair.server.policyCounts?.readings.first)
        #expect(counted.key.rule == "shop/who (no rule matched)" && counted.key.verdict == .deny && counted.count == 1)
    }

    @Test func refusalsByNetworkPoliciesNameThem() throws {
        let pair = try TunnelPair()
        pair.publish(server: { snapshot in
            for name in ["b", "a"] {
                let name = ObjectName(namespace: "shop", name: name)
                snapshot.networkPolicies[name] = NetworkPolicy(name: name, podSelector: LabelSelector(), ingress: [])
            }
        })
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1).isEmpty)
        let said = try #require(flows(pair, count: 1).first)
        #expect(said.event == .denied && said.rule == "NetworkPolicy shop/a,shop/b (no rule matched)")
        let counted = try #require(pair.serverTunnels?.networkDenials.first)
        #expect(counted.key.rule == said.rule && counted.key.verdict == .deny && counted.count == 1)
        #expect(pair.server.policyCounts?.readings.isEmpty == true)

        // The counter goes on in the next configuration.
        pair.publish(server: { snapshot in
            for name in ["b", "a"] {
                let name = ObjectName(namespace: "shop", name: name)
                snapshot.networkPolicies[name] = NetworkPolicy(name: name, podSelector: LabelSelector(), ingress: [])
            }
            snapshot.generation += 1
        })
        let again = pair.connect(to: backend.port)
        again.send("x")
        #expect(again.receive(count: 1).isEmpty)
        #expect(pair.serverTunnels?.networkDenials.map(\.count) == [2])
    }

    @Test func policiesThatComeLaterAreNamedAsWell() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1) == "x")
        pair.publish(server: { $0.policies = TunnelTrustTests.allowing("cluster.local/ns/shop/sa/other") })
        let said = try #require(flows(pair, count: 1).first)
        #expect(said.event == .denied && said.rule == "shop/who (no rule matched)" && said.received == 1)
        #expect(connections(pair.server).first?.counts.closed == 1)
    }

    @Test func anApplicationThatIsNotThereIsAFailure() throws {
        let pair = try TunnelPair()
        let (descriptor, port) = TunnelPair.listen()
        close(descriptor)
        let socket = pair.connect(to: port)
        socket.send("x")
        #expect(socket.receive(count: 1).isEmpty)
        let said = try #require(flows(pair, count: 1).first)
        #expect(said.event == .failed && said.error == ECONNREFUSED && said.peer == Self.principal)
        #expect(connections(pair.server).isEmpty)
    }

    /// Requests of a stream that the engine reads are the server's end's to report, with the identity that was proved.
    @Test func requestsOfAStreamHaveTheClientsIdentity() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend { socket in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        }
        publishRequests(pair.server, tunnelPort: pair.tunnelPort, port: backend.port)
        for log in pair.server.requestLogs { log.set(.all) }
        // The first stream may come before the configuration.
        let isAnswered = TestProxy.eventually {
            let socket = pair.connect(to: backend.port)
            socket.send("GET / HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n")
            return socket.receiveAll().hasSuffix("ok")
        }
        #expect(isAnswered)
        var logged: [(record: RequestRecord, principal: String)] = []
        _ = TestProxy.eventually {
            for log in pair.server.requestLogs {
                _ = log.drain { logged.append(($0.record, Self.text($0.text(.principal)))) }
            }
            return !logged.isEmpty
        }
        let (record, principal) = try #require(logged.first)
        #expect(principal == Self.principal)
        #expect(record.isInbound && record.isFromTunnel && !record.isToTunnel)
        #expect(record.source == 1 && record.destination == 2 && record.peer == 1 && record.status == 200)
        let keys = pair.server.statistics.flatMap { worker in
            (0..<worker.entryCount).compactMap { worker.reading(at: $0)?.key }
        }
        #expect(keys.contains { $0.isInbound && $0.isFromTunnel && $0.peer == 1 })
    }

    private func publishRequests(_ engine: ProxyEngine, tunnelPort: UInt16, port: UInt16) {
        var snapshot = TunnelPair.snapshot(isServer: true)
        let name = ObjectName(namespace: "shop", name: "api")
        var servicePort = MeshServicePort(
            name: "http", port: port, transport: .tcp,
            endpoints: [MeshEndpoint(address: TunnelPair.address, port: port, workload: TunnelPair.api)])
        let itself = HTTPBackend(target: .service(name, port: port, subset: nil))
        servicePort.http = HTTPRouting(rules: [
            HTTPRule(origin: ObjectKey(.service, name), index: 0, action: .forward([itself]))
        ])
        snapshot.services[name] = MeshService(
            name: name, addresses: [], ports: [servicePort], balancing: Balancing())
        snapshot.workloads[TunnelPair.api]?.requestPorts = [port]
        snapshot.workloads[TunnelPair.api]?.inboundHTTP = [port: name]
        let identifiers = RouteIdentifiers(
            services: [RouteIdentifiers.ServicePort(service: name, port: port): [100]],
            workloads: [TunnelPair.web: 1, TunnelPair.api: 2])
        engine.publish(
            RouteTable(snapshot, identifiers: identifiers), AuthorizationTable(snapshot, identifiers: identifiers))
        engine.publish(TunnelTable(snapshot, identifiers: identifiers, tunnelPort: tunnelPort, ownPorts: [15_008]))
    }
}
