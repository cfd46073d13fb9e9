import Mesh
import Testing

@testable import Identity

/// A CA for tests of timing: certificates are numbers, and it can be away.
private struct Clockwork {
    var now: Int64 = testNow * 1000
    var manager = IdentityManager(trustDomain: "cluster.local", random: SeededGenerator(state: 3))
    var isReachable = true
    var lifetime: Int64 = 86400
    var issued: [(id: String, at: Int64)] = []

    init(_ ids: String...) {
        _ = manager.setWanted(Set(ids.compactMap { SPIFFEID("spiffe://cluster.local/ns/a/sa/\($0)") }), now: now)
    }

    /// Lets time pass to each deadline until `end`; what was done at which time.
    mutating func run(until end: Int64) {
        while let next = manager.nextDeadline, next <= end {
            now = max(now, next)
            turn()
        }
        now = end
    }

    @discardableResult
    mutating func turn(limit: Int = .max) -> Bool {
        let (now, isReachable, lifetime) = (now, isReachable, lifetime)
        var issued: [(id: String, at: Int64)] = []
        let changed = manager.renewDue(now: now, limit: limit) { id throws(IdentityError) in
            issued.append((id.description, now))
            guard isReachable else { throw IdentityError(.unreachable, "away") }
            return WorkloadCertificate(
                spiffeID: id.description, chain: [[UInt8](now.description.utf8)], privateKey: [],
                notBefore: now / 1000 - 60, notAfter: now / 1000 + lifetime)
        }
        self.issued += issued
        return changed
    }

    var certificate: WorkloadCertificate? { manager.trust.identities.values.first }
}

@Suite("Rotation of certificates, on a clock of its own")
struct IdentityManagerTests {
    private static let hour: Int64 = 3_600_000

    @Test("what is wanted is issued at once, what is not is dropped, and each change is one generation")
    func wanted() throws {
        var clock = Clockwork("web", "db")
        #expect(clock.manager.trust.generation == 0 && clock.manager.trust.identities.isEmpty)
        #expect(clock.manager.nextDeadline == clock.now)
        #expect(clock.turn() == true)
        #expect(clock.manager.trust.generation == 1)
        #expect(
            Set(clock.manager.trust.identities.keys) == [
                "spiffe://cluster.local/ns/a/sa/web", "spiffe://cluster.local/ns/a/sa/db",
            ])
        #expect(clock.turn() == false && clock.manager.trust.generation == 1)
        let web = try #require(SPIFFEID("spiffe://cluster.local/ns/a/sa/web"))
        #expect(clock.manager.setWanted([web], now: clock.now) == true)
        #expect(Array(clock.manager.trust.identities.keys) == [web.description])
        #expect(clock.manager.trust.generation == 2)
        #expect(clock.manager.setWanted([web], now: clock.now) == false)
        #expect(clock.issued.count == 2)
    }

    @Test("a certificate is renewed in the middle of its life, give or take a hundredth, and not all at the same time")
    func halfLife() throws {
        var manager = IdentityManager(trustDomain: "cluster.local", random: SeededGenerator(state: 5))
        let ids = (0..<500).compactMap { SPIFFEID("spiffe://cluster.local/ns/a/sa/s\($0)") }
        let now = testNow * 1000
        _ = manager.setWanted(Set(ids), now: now)
        _ = manager.renewDue(now: now) { id in
            WorkloadCertificate(
                spiffeID: id.description, chain: [[1]], privateKey: [], notBefore: testNow, notAfter: testNow + 86400)
        }
        let times = manager.entries.values.map { $0.renewAt - now }
        #expect(times.allSatisfy { $0 >= 42_336_000 && $0 <= 44_064_000 })  // 24 h × 0.49 … 0.51
        #expect((times.max() ?? 0) - (times.min() ?? 0) > 1_500_000)
        #expect(Set(times).count > 450)
    }

    @Test("over a week each renewal comes in time, and no moment is without a valid certificate")
    func week() {
        var clock = Clockwork("web")
        clock.run(until: clock.now + 7 * 24 * Self.hour)
        #expect((13...15).contains(clock.issued.count), "\(clock.issued.count)")
        #expect(clock.manager.renewals == UInt64(clock.issued.count))
        for (earlier, later) in zip(clock.issued, clock.issued.dropFirst()) {
            #expect((later.at - earlier.at) < 13 * Self.hour)
        }
    }

    @Test("the CA unreachable for longer than half of a lifetime: the certificate is kept until it expires")
    func unreachable() throws {
        var clock = Clockwork("web")
        clock.turn()
        let start = clock.now
        let first = try #require(clock.certificate)
        clock.isReachable = false
        clock.run(until: start + 24 * Self.hour - 1)
        #expect(clock.certificate === first)
        #expect(clock.manager.trust.generation == 1)
        let entry = try #require(clock.manager.entries.values.first)
        #expect(entry.problem?.cause == .unreachable && entry.failures > 200)
        // Afterwards there is none: an expired certificate proves nothing.
        clock.run(until: start + 24 * Self.hour)
        #expect(clock.certificate == nil && clock.manager.trust.generation == 2)
        // And it comes back by itself within the longest pause.
        clock.isReachable = true
        clock.run(until: clock.now + IdentityManager.lastRetry)
        #expect(clock.certificate != nil && clock.manager.trust.generation == 3)
        #expect(clock.manager.entries.values.first?.problem == nil)
    }

    @Test("attempts that fail come after 1 s, 2 s, 4 s, and at last every 150 s")
    func backOff() {
        var clock = Clockwork("web")
        clock.isReachable = false
        clock.run(until: clock.now + Self.hour)
        let pauses = zip(clock.issued, clock.issued.dropFirst()).map { $1.at - $0.at }
        for (pause, expected) in zip(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150] as [Int64]) {
            #expect(pause >= expected * 900 && pause <= min(expected * 1100, 150_000))
        }
        #expect(pauses.count > 20)
        #expect(clock.manager.failures == [.unreachable: UInt64(clock.issued.count)])
    }

    @Test("a success ends the back-off")
    func recovery() {
        var clock = Clockwork("web")
        clock.isReachable = false
        clock.run(until: clock.now + 60_000)
        clock.isReachable = true
        clock.run(until: clock.now + 60_000)
        clock.isReachable = false
        let before = clock.issued.count
        clock.manager.renew(now: clock.now)
        clock.turn()
        #expect(clock.issued.count == before + 1)
        #expect(clock.manager.entries.values.first.map { $0.renewAt - clock.now <= 1100 } == true)
    }

    @Test("a new authority renews everything, those without a certificate first, within the limit of each turn")
    func limit() throws {
        var clock = Clockwork("a", "b", "c", "d")
        clock.turn()
        var wanted = Set(clock.manager.entries.values.map(\.id))
        wanted.insert(try #require(SPIFFEID("spiffe://cluster.local/ns/a/sa/new")))
        _ = clock.manager.setWanted(wanted, now: clock.now)
        clock.manager.renew(now: clock.now)
        clock.now += 1
        clock.turn(limit: 2)
        #expect(clock.issued[4].id.hasSuffix("new") && clock.issued.count == 6)
        #expect(clock.manager.nextDeadline.map { $0 <= clock.now } == true)
        clock.turn(limit: 2)
        clock.turn(limit: 2)
        #expect(clock.issued.count == 9 && clock.manager.trust.generation == 4)
        let none = clock.manager.renew("spiffe://cluster.local/ns/a/sa/none", now: clock.now)
        #expect(none == 0)
    }

    @Test("a clock that jumps forward renews and expires; one that jumps back breaks nothing")
    func jumps() {
        var clock = Clockwork("web")
        clock.turn()
        clock.now += 30 * 24 * Self.hour
        clock.turn()
        #expect(clock.certificate.map { $0.notAfter * 1000 > clock.now } == true)
        clock.now -= 40 * 24 * Self.hour
        #expect(clock.turn() == false && clock.certificate != nil)
    }

    @Test("short lives are renewed no more than once in a second")
    func shortLife() {
        var clock = Clockwork("web")
        clock.lifetime = 2
        clock.run(until: clock.now + 10_000)
        #expect((9...12).contains(clock.issued.count), "\(clock.issued.count)")
    }
}
