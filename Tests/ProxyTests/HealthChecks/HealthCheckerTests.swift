import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// The checker against real servers on loopback ports.
@Suite("Health checks", .serialized)
struct HealthCheckerTests {
    static let http = HealthCheck.Probe.http(path: "/healthz", host: "web.shop", statuses: [])

    private static func set(_ endpoints: [MeshEndpoint], _ probe: HealthCheck.Probe, timeout: UInt32 = 300)
        -> ClusterSet
    {
        var check = HealthCheck(probe: probe)
        check.interval = 50
        check.timeout = timeout
        check.unhealthyThreshold = 2
        check.healthyThreshold = 2
        return ClusterSet(from: [.test(endpoints: endpoints) { $0.healthCheck = check }], now: MonotonicClock.now())
    }

    /// A keeper that looks after clusters only.
    private final class Checker {
        private let keeper: ClusterKeeper

        init() throws {
            keeper = try #require(ClusterKeeper(TunnelDialer()))
            try keeper.start()
        }

        func update(_ set: ClusterSet) {
            let table = RouteTable(MeshSnapshot(), identifiers: RouteIdentifiers())
            let authorization = AuthorizationTable(MeshSnapshot(), identifiers: RouteIdentifiers())
            keeper.update(
                ProxyConfiguration(
                    table: table, clusters: set, limiters: RateLimiterSet([], quotas: QuotaRecords()),
                    authorization: authorization, policyCounts: PolicyCounts(authorization, previous: nil),
                    issuers: TokenIssuers([], previous: nil),
                    providers: ExternalProviders([], table, previous: nil)))
        }

        func stop() { keeper.stop() }
    }

    private static func flags(_ set: ClusterSet, _ place: Int = 0) -> EndpointShared.Flags {
        set.clusters[0].endpoints[place].shared.reference.value.flags
    }

    /// Waits at most five seconds.
    private static func eventually(_ condition: () -> Bool) -> Bool {
        let end = MonotonicClock.now() + 5 * second
        while MonotonicClock.now() < end {
            if condition() { return true }
            usleep(5000)
        }
        return condition()
    }

    static let outcomes: [(FaultyBackend.Behaviour, HealthCheck.Probe, Bool)] = [
        (.answer(200), http, true), (.answer(204), http, false), (.answer(503), http, false),
        (.answer(204), .http(path: "/", host: nil, statuses: [200...299]), true), (.hang, http, false),
        (.reset, http, false), (.garbage, http, false), (.trickle, http, true), (.hang, .tcp, true),
    ]

    @Test(arguments: outcomes)
    func theFirstCheckDecides(_ behaviour: FaultyBackend.Behaviour, _ probe: HealthCheck.Probe, isHealthy: Bool) throws
    {
        let backend = try FaultyBackend(behaviour)
        defer { backend.kill() }
        let checker = try Checker()
        defer { checker.stop() }
        let set = Self.set([backend.endpoint], probe, timeout: behaviour == .trickle ? 2000 : 300)
        #expect(Self.flags(set) == [.failedCheck, .awaitsCheck])
        checker.update(set)
        #expect(Self.eventually { !Self.flags(set).contains(.awaitsCheck) })
        #expect(Self.flags(set).contains(.failedCheck) != isHealthy)
    }

    @Test func followsAnEndpointThatFailsAndComesBack() throws {
        let backend = try FaultyBackend(.answer(200))
        defer { backend.kill() }
        let checker = try Checker()
        defer { checker.stop() }
        let set = Self.set([backend.endpoint], Self.http)
        checker.update(set)
        #expect(Self.eventually { Self.flags(set).isEmpty })
        for failure in [FaultyBackend.Behaviour.answer(500), .hang, .reset] {
            backend.become(failure)
            #expect(Self.eventually { Self.flags(set).contains(.failedCheck) }, "\(failure)")
            backend.become(.answer(200))
            #expect(Self.eventually { Self.flags(set).isEmpty }, "after \(failure)")
        }
    }

    @Test func noticesThatNobodyListens() throws {
        let backend = try FaultyBackend(.answer(200))
        let checker = try Checker()
        defer { checker.stop() }
        let set = Self.set([backend.endpoint], .tcp)
        checker.update(set)
        #expect(Self.eventually { Self.flags(set).isEmpty })
        let port = backend.port
        backend.kill()
        #expect(Self.eventually { Self.flags(set).contains(.failedCheck) })
        let again = try FaultyBackend(.answer(200), port: port)
        defer { again.kill() }
        #expect(Self.eventually { Self.flags(set).isEmpty })
    }

    @Test func hangingEndpointsDoNotKeepOthersFromBeingChecked() throws {
        let hanging = try (0..<8).map { _ in try FaultyBackend(.hang) }
        defer { for backend in hanging { backend.kill() } }
        let good = try FaultyBackend(.answer(200))
        defer { good.kill() }
        let checker = try Checker()
        defer { checker.stop() }
        let endpoints = (hanging.map(\.endpoint) + [good.endpoint]).sorted { $0.port < $1.port }
        let place = try #require(endpoints.firstIndex(of: good.endpoint))
        let set = Self.set(endpoints, Self.http, timeout: 10_000)
        checker.update(set)
        #expect(Self.eventually { Self.flags(set, place).isEmpty })
        #expect(Self.eventually { good.requests.load(ordering: .relaxed) >= 3 }, "and again, while the others hang")
    }

    @Test func stopsCheckingWhatIsGone() throws {
        let backend = try FaultyBackend(.answer(200))
        defer { backend.kill() }
        let checker = try Checker()
        defer { checker.stop() }
        let set = Self.set([backend.endpoint], Self.http)
        checker.update(set)
        #expect(Self.eventually { backend.requests.load(ordering: .relaxed) > 0 })
        checker.update(ClusterSet(from: [], previous: set, now: MonotonicClock.now()))
        usleep(100_000)
        let count = backend.requests.load(ordering: .relaxed)
        usleep(300_000)
        #expect(backend.requests.load(ordering: .relaxed) == count)
    }
}
