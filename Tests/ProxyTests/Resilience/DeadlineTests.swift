import Mesh
import Testing

@testable import Proxy

@Suite("Deadlines")
struct DeadlineTests {
    @Test(
        arguments: [
            ("1H", 3_600_000), ("2M", 120_000), ("3S", 3000), ("4m", 4), ("99999999m", 99_999_999), ("1500u", 2),
            ("1n", 1), ("0m", 0), ("123456789m", nil), ("m", nil), ("1", nil), ("1x", nil), ("-1m", nil), ("1 m", nil),
            ("", nil),
        ] as [(String, UInt64?)])
    func readsGRPCTimeouts(text: String, milliseconds: UInt64?) {
        #expect(unsafe RequestDeadline.grpc(Array(text.utf8).span.bytes) == milliseconds)
    }

    @Test(
        arguments: [
            ([("grpc-timeout", "5S"), ("X-Envoy-Expected-Rq-Timeout-Ms", "300")], 300),
            ([("Grpc-Timeout", "5S")], 5000),
            ([("x-envoy-expected-rq-timeout-ms", "0300")], 300), ([("x-envoy-expected-rq-timeout-ms", "1.5")], nil),
            ([("x-envoy-expected-rq-timeout-ms", "9999999999999")], nil), ([], nil),
        ] as [([(String, String)], UInt64?)])
    func takesTheShortest(headers: [(String, String)], milliseconds: UInt64?) throws {
        let request = SyntheticRequest(host: "a", headers: headers)
        #expect(try request.withView { RequestDeadline.milliseconds($0) } == milliseconds)
    }

    @Test(arguments: [(250, "250m"), (99_999_999, "99999999m"), (100_000_000, "100000S")] as [(UInt64, String)])
    func writesWhatIsLeft(milliseconds: UInt64, text: String) {
        var scratch = Scratch()
        RequestDeadline.write(milliseconds: milliseconds, isGRPC: true, into: &scratch)
        #expect(
            String(scratch.bytes)
                == "x-envoy-expected-rq-timeout-ms: \(milliseconds)\r\ngrpc-timeout: \(text)\r\n")
    }

    /// A backend that answers with the deadline that it was given.
    @Test func theNextHopGetsWhatIsLeft() throws {
        let backend = TestBackend(answering: { request in
            let lines = request.split(separator: "\r\n").filter { $0.lowercased().contains("timeout") }
            let body = lines.joined(separator: "|")
            return "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        })
        let proxy = try TestProxy(to: [backend.port]) { $0.timeouts.request = 10_000 }
        func ask(_ field: String) throws -> [String] {
            let answer = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\n\(field)Connection: close\r\n\r\n")
            let body = try #require(answer.split(separator: "\r\n\r\n").dropFirst().first)
            return body.split(separator: "|").map(String.init)
        }
        func milliseconds(_ line: String) -> Int { Int(line.filter(\.isNumber)) ?? 0 }
        let own = try ask("")
        #expect(own.count == 1 && (9000...10_000).contains(milliseconds(own[0])))
        let shorter = try ask("X-Envoy-Expected-Rq-Timeout-Ms: 2000\r\n")
        #expect(shorter.count == 1 && (1000...2000).contains(milliseconds(shorter[0])))
        let longer = try ask("grpc-timeout: 1H\r\n")
        #expect(longer.count == 2 && (9000...10_000).contains(milliseconds(longer[0])))
        #expect(longer.last?.hasPrefix("grpc-timeout: ") ?? false && longer.last?.hasSuffix("m") ?? false)
    }

    @Test func aDeadlineOfTheCallerEndsTheRequest() throws {
        let backend = try FaultyBackend(.hang)
        defer { backend.kill() }
        let proxy = try TestProxy(to: [backend.port])
        let answer = proxy.exchange(
            "GET / HTTP/1.1\r\nHost: web\r\nx-envoy-expected-rq-timeout-ms: 100\r\nConnection: close\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 504 "))
        #expect(answer.contains("x-weft-reason: response_timeout"))
    }
}

@Suite("Locality")
struct LocalityTests {
    private static func workload(_ name: String, _ region: String?, _ zone: String?, isLocal: Bool = false)
        -> MeshWorkload
    {
        var labels: [String: String] = [:]
        if let region { labels["topology.kubernetes.io/region"] = region }
        if let zone { labels["topology.kubernetes.io/zone"] = zone }
        return MeshWorkload(
            name: ObjectName(namespace: "shop", name: name), serviceAccount: "a", labels: labels, isLocal: isLocal)
    }

    private static func distances(_ workloads: [MeshWorkload]) -> [UInt8] {
        var snapshot = MeshSnapshot()
        for workload in workloads { snapshot.workloads[workload.name] = workload }
        let localities = LocalityDistances(snapshot)
        return workloads.map { localities.distance(to: $0) } + [localities.distance(to: nil)]
    }

    @Test func distanceIsByZoneAndRegion() {
        let workloads = [
            Self.workload("here", "eu", "a", isLocal: true), Self.workload("near", "eu", "a"),
            Self.workload("region", "eu", "b"), Self.workload("far", "us", "a"), Self.workload("nowhere", nil, nil),
        ]
        #expect(Self.distances(workloads) == [0, 0, 1, 2, 3, 3])
    }

    @Test func withoutAPlaceTheNodeItselfIsNear() {
        let workloads = [Self.workload("here", nil, nil, isLocal: true), Self.workload("far", "us", "a")]
        #expect(Self.distances(workloads) == [0, 1, 3])
    }

    @Test(arguments: [true, false])
    func nearEndpointsAreUsedUntilTheyFail(prefersLocality: Bool) {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        var config = ClusterConfig.test(endpoints: 4) {
            $0.balancer.prefersLocality = prefersLocality
            $0.outlier = detection
        }
        config.distances = [2, 0, 0, 1]
        let cluster = TestCluster(config)
        guard prefersLocality else {
            #expect(cluster.shares(of: 1000).allSatisfy { $0 > 100 })
            return
        }
        let shares = cluster.shares(of: 1000)
        #expect(shares[0] == 0 && shares[3] == 0)
        for place in [1, 2] { cluster.serve(place, status: 500, times: 5) }
        #expect(cluster.shares(of: 1000) == [0, 0, 0, 1000])
        cluster.serve(3, status: 500, times: 5)
        #expect(cluster.shares(of: 1000) == [1000, 0, 0, 0])
    }
}
