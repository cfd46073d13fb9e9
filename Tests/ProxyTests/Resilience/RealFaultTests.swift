import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// The whole engine in front of backends that fail for real, over loopback.
@Suite("Real faults", .serialized)
struct RealFaultTests {
    /// Requests at an even rate from a few clients, each on a connection of its own.
    ///
    /// - Returns: how often each status came; 0 for none.
    private static func load(_ proxy: TestProxy, perSecond: Int, milliseconds: Int, clients: Int = 4) -> [Int: Int] {
        let counts = Counts()
        let done = Counts()
        for client in 0..<clients {
            startThread {
                let start = MonotonicClock.now()
                var socket = proxy.connect()
                let spacing = UInt64(clients) * second / UInt64(perSecond)
                for number in 0..<perSecond * milliseconds / 1000 / clients {
                    let due = start + UInt64(number) * spacing + UInt64(client) * spacing / UInt64(clients)
                    let now = MonotonicClock.now()
                    if now < due { usleep(UInt32((due - now) / 1000)) }
                    socket.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                    let head = socket.receive(until: "\r\n\r\n")
                    let status = head.hasPrefix("HTTP/1.1 ") ? Int(head.dropFirst(9).prefix(3)) ?? 0 : 0
                    counts.add(status)
                    if let range = head.lowercased().split(separator: "content-length: ").dropFirst().first,
                        let length = Int(range.prefix { $0.isNumber }), length > 0
                    {
                        _ = socket.receive(count: length)
                    }
                    if status == 0 || head.lowercased().contains("connection: close") { socket = proxy.connect() }
                }
                done.add(1)
            }
        }
        while done.values[1] ?? 0 < clients { usleep(5000) }
        return counts.values
    }

    private final class Counts: Sendable {
        private let counts = Mutex<[Int: Int]>([:])
        func add(_ key: Int) { counts.withLock { $0[key, default: 0] += 1 } }
        var values: [Int: Int] { counts.withLock { $0 } }
    }

    private static func retries(_ conditions: RetryPolicy.Conditions, attempts: UInt32 = 2, perTry: UInt32? = nil)
        -> (inout HTTPRule) -> Void
    {
        { rule in
            var policy = RetryPolicy()
            policy.conditions = conditions
            policy.attempts = attempts
            policy.perTryTimeout = perTry
            rule.retry = policy
        }
    }

    private static func detection(_ configure: (inout OutlierDetection) -> Void = { _ in }) -> HTTPTraffic {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 50
        detection.interval = 250
        detection.baseEjection = 1000
        configure(&detection)
        var traffic = HTTPTraffic()
        traffic.outlier = detection
        return traffic
    }

    private static func isEjected(_ proxy: TestProxy, _ backend: FaultyBackend) -> Bool {
        proxy.engine.clusters?.clusters[0].endpoints
            .first { $0.config.port == backend.port }?.shared.reference.value.flags.contains(.ejected) ?? false
    }

    // MARK: - One of three

    static let faults: [FaultyBackend.Behaviour] = [.hang, .reset, .close, .garbage, .answer(500), .answer(503)]

    @Test(arguments: faults)
    func clientsDoNotNoticeThatOneOfThreeFails(_ fault: FaultyBackend.Behaviour) throws {
        let backends = try (0..<3).map { _ in try FaultyBackend(.answer(200)) }
        defer { for backend in backends { backend.kill() } }
        let proxy = try TestProxy(
            to: backends.map(\.port).sorted(), traffic: Self.detection(),
            rule: Self.retries([.serverError], perTry: 100))
        #expect(Self.load(proxy, perSecond: 200, milliseconds: 500) == [200: 100])
        backends[1].become(fault)
        let during = Self.load(proxy, perSecond: 200, milliseconds: 1000)
        #expect(during == [200: 200], "\(fault)")
    }

    @Test func clientsDoNotNoticeThatOneOfThreeIsKilled() throws {
        let backends = try (0..<3).map { _ in try FaultyBackend(.answer(200)) }
        defer { for backend in backends { backend.kill() } }
        let proxy = try TestProxy(
            to: backends.map(\.port).sorted(), traffic: Self.detection(),
            rule: Self.retries([.connectFailure, .reset]))
        #expect(Self.load(proxy, perSecond: 200, milliseconds: 500) == [200: 100])
        backends[0].kill()
        #expect(Self.load(proxy, perSecond: 200, milliseconds: 1000) == [200: 200])
    }

    @Test func aSlowBackendGetsLess() throws {
        let backends = try (0..<3).map { _ in try FaultyBackend(.answer(200)) }
        defer { for backend in backends { backend.kill() } }
        backends[2].become(.slow(30))
        let proxy = try TestProxy(to: backends.map(\.port).sorted())
        let statuses = Self.load(proxy, perSecond: 300, milliseconds: 2000)
        #expect(statuses == [200: 600])
        let slow = backends[2].requests.load(ordering: .relaxed)
        #expect(slow < 60, "\(slow) of 600 requests")
    }

    // MARK: - The budget

    @Test func theBudgetHoldsWhenEverythingFails() throws {
        let backends = try (0..<2).map { _ in try FaultyBackend(.answer(503)) }
        defer { for backend in backends { backend.kill() } }
        let proxy = try TestProxy(to: backends.map(\.port).sorted(), rule: Self.retries([.serverError], attempts: 5))
        let statuses = Self.load(proxy, perSecond: 300, milliseconds: 3000, clients: 8)
        let requests = statuses.values.reduce(0, +)
        let attempts = backends.reduce(0) { $0 + $1.requests.load(ordering: .relaxed) }
        #expect(requests == 896)
        #expect(statuses.keys.sorted() == [503])
        #expect(attempts <= requests * 12 / 10 + 30 + 10, "\(attempts) attempts of \(requests) requests")
        #expect(attempts >= requests * 11 / 10, "the budget is there to be used: \(attempts)")
    }

    // MARK: - Ejection

    @Test func anOutlierIsEjectedAndComesBack() throws {
        let backends = try (0..<2).map { _ in try FaultyBackend(.answer(200)) }
        defer { for backend in backends { backend.kill() } }
        // By turns, because peak EWMA avoids it after its first failure already.
        var traffic = Self.detection()
        traffic.balancer.algorithm = .roundRobin
        let proxy = try TestProxy(
            to: backends.map(\.port).sorted(), traffic: traffic, rule: Self.retries(.serverError))
        backends[0].become(.answer(500))
        let start = MonotonicClock.now()
        while !Self.isEjected(proxy, backends[0]), MonotonicClock.now() < start + 5 * second {
            _ = Self.load(proxy, perSecond: 400, milliseconds: 100)
        }
        #expect(Self.isEjected(proxy, backends[0]))
        let ejected = MonotonicClock.now()
        backends[0].become(.answer(200))
        let before = backends[0].requests.load(ordering: .relaxed)
        #expect(Self.load(proxy, perSecond: 200, milliseconds: 400) == [200: 80])
        #expect(backends[0].requests.load(ordering: .relaxed) == before, "it gets nothing while it is ejected")
        #expect(TestProxy.eventually { !Self.isEjected(proxy, backends[0]) })
        let time = MonotonicClock.now() - ejected
        // One second, seen by a sweep every quarter of one.
        #expect(time > 700 * millisecond && time < 2500 * millisecond, "\(time / millisecond) ms")
    }

    // MARK: - Limits

    @Test func aCircuitBreakerRefusesWhatIsTooMuch() throws {
        let backend = try FaultyBackend(.hang)
        defer { backend.kill() }
        var traffic = HTTPTraffic()
        traffic.limits.maxRequests = 2
        let proxy = try TestProxy(to: [backend.port], traffic: traffic)
        var waiting = (0..<2).map { _ in proxy.connect() }
        for client in waiting { client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n") }
        #expect(TestProxy.eventually { backend.requests.load(ordering: .relaxed) == 2 })
        let refused = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        #expect(refused.hasPrefix("HTTP/1.1 503 "))
        #expect(refused.contains("x-weft-reason: upstream_overflow"))
        waiting[0].reset()
        waiting.removeFirst()
        #expect(
            TestProxy.eventually {
                proxy.engine.clusters?.clusters[0].shared.reference.value.gauges.requests.load(ordering: .relaxed) == 1
            })
        #expect(backend.requests.load(ordering: .relaxed) == 2)
    }

    @Test func aRateLimitRefusesAndSaysUntilWhen() throws {
        let backend = try FaultyBackend(.answer(200))
        defer { backend.kill() }
        let proxy = try TestProxy(to: [backend.port]) { rule in
            rule.rateLimits = [
                RateLimit(name: "each", requests: 2, window: .bucket(milliseconds: 60_000), key: .header("X-User"))
            ]
        }
        func get(_ user: String) -> String {
            proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\nX-User: \(user)\r\nConnection: close\r\n\r\n")
        }
        for remaining in [1, 0] {
            let answer = get("ann")
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
            #expect(answer.contains("\r\nX-RateLimit-Limit: 2, 2;w=60\r\nX-RateLimit-Remaining: \(remaining)\r\n"))
        }
        let refused = get("ann")
        #expect(refused.hasPrefix("HTTP/1.1 429 "))
        #expect(refused.contains("\r\nx-weft-reason: request_rate_limited\r\n"))
        #expect(refused.contains("\r\nRetry-After: 30\r\n"))
        #expect(get("bob").hasPrefix("HTTP/1.1 200 "))
        #expect(backend.requests.load(ordering: .relaxed) == 3)
    }

    @Test func aQuotaSurvivesARestart() throws {
        let backend = try FaultyBackend(.answer(200))
        defer { backend.kill() }
        var options = ProxyOptions()
        options.quotaPath = "/tmp/weft-quotas-\(getpid())"
        defer { unsafe unlink("/tmp/weft-quotas-\(getpid())") }
        for expected in ["200", "429"] {
            let proxy = try TestProxy(to: [backend.port], options: options) { rule in
                rule.rateLimits = [RateLimit(name: "monthly", requests: 1, window: .month)]
            }
            let answer = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 \(expected) "))
            #expect(proxy.engine.quotaProblem == nil)
            if expected == "429" { #expect(answer.contains("x-weft-reason: quota_exceeded")) }
            proxy.engine.stop()
        }
    }

    // MARK: - Affinity

    @Test func aSessionStaysAndMovesWhenItsEndpointGoes() throws {
        let backends = try (0..<4).map { _ in try FaultyBackend(.answer(200)) }
        defer { for backend in backends { backend.kill() } }
        var rule = TestProxy.rule
        rule.persistence = SessionPersistence(kind: .cookie(lifetime: nil), name: "sid")
        let proxy = try TestProxy(to: backends.map(\.port).sorted()) { $0 = rule }
        func get(_ cookie: String?) -> String {
            let line = cookie.map { "Cookie: a=b; sid=\($0)\r\n" } ?? ""
            return proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\n\(line)Connection: close\r\n\r\n")
        }
        func cookie(_ answer: String) -> String? {
            answer.components(after: "Set-Cookie: sid=").map { String($0.prefix(32)) }
        }
        let first = try #require(cookie(get(nil)))
        let home = try #require(backends.first { $0.requests.load(ordering: .relaxed) == 1 })
        for _ in 0..<20 { #expect(cookie(get(first)) == nil, "it knows its session") }
        #expect(home.requests.load(ordering: .relaxed) == 21)
        proxy.publish(
            to: backends.map(\.port).filter { $0 != home.port }.sorted(), rules: [rule], generation: 2)
        let moved = try #require(cookie(get(first)))
        #expect(moved.prefix(16) != first.prefix(16))
        #expect(home.requests.load(ordering: .relaxed) == 21)
    }

    @Test func aHeaderHashStays() throws {
        let backends = try (0..<4).map { _ in try FaultyBackend(.answer(200)) }
        defer { for backend in backends { backend.kill() } }
        var traffic = HTTPTraffic()
        traffic.balancer.algorithm = .maglev
        traffic.balancer.hashKey = .header("X-User")
        let proxy = try TestProxy(to: backends.map(\.port).sorted(), traffic: traffic)
        for _ in 0..<10 {
            let answer = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\nX-User: ann\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
        }
        #expect(backends.map { $0.requests.load(ordering: .relaxed) }.sorted() == [0, 0, 0, 10])
    }
}

extension String {
    /// What follows the first place where `text` stands.
    fileprivate func components(after text: String) -> Substring? {
        var rest = self[...]
        while !rest.isEmpty {
            if rest.hasPrefix(text) { return rest.dropFirst(text.count) }
            rest = rest.dropFirst()
        }
        return nil
    }
}
