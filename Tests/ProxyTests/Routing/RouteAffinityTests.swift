import Mesh
import Testing

@testable import Proxy

/// Session persistence (GEP-1619) and the keys of consistent hashing.
@Suite struct RouteAffinityTests {
    private func session(
        _ kind: SessionPersistence.Kind, absolute: UInt32? = nil, idle: UInt32? = nil
    ) throws -> RouteFixture {
        try RouteFixture([
            HTTPRule.to("a").with {
                var persistence = SessionPersistence(kind: kind, name: "Sticky")
                persistence.absoluteTimeout = absolute
                persistence.idleTimeout = idle
                $0.persistence = persistence
            }
        ])
    }

    private func field(_ fixture: RouteFixture, known: RouteSession? = nil, endpoint: UInt64, now: UInt32) -> String {
        var scratch = Scratch()
        fixture.table.writeSessionField(0, known: known, endpoint: endpoint, now: now, into: &scratch)
        return String(scratch.bytes)
    }

    private func read(_ fixture: RouteFixture, _ headers: [(name: String, value: String)], now: UInt32) throws
        -> RouteSession?
    {
        try SyntheticRequest(host: "web", headers: headers).withView { fixture.table.session(0, of: $0, now: now) }
    }

    @Test func cookiesComeBack() throws {
        let fixture = try session(.cookie(lifetime: nil))
        let line = field(fixture, endpoint: 0xdead_beef_0000_0001, now: 0x1000)
        #expect(line == "set-cookie: Sticky=deadbeef00000001-00001000-00001000; Path=/; HttpOnly\r\n")
        let value = "deadbeef00000001-00001000-00001000"
        let expected = RouteSession(endpoint: 0xdead_beef_0000_0001, now: 0x1000)
        for cookie in [
            "Sticky=\(value)", "a=b; Sticky=\(value); c=d", "a=Sticky;  Sticky=\(value)", "x;Sticky=\(value)",
        ] {
            #expect(try read(fixture, [("Cookie", cookie)], now: 0x2000) == expected)
        }
        #expect(try read(fixture, [("cookie", "a=b"), ("Cookie", "Sticky=\(value)")], now: 0) == expected)
        for cookie in [
            "sticky=\(value)", "Sticky=\(value)0", "Sticky=", "Sticky", "XSticky=\(value)",
            "Sticky=\(value.dropLast())g", "",
            "Sticky=deadbeef00000001_00001000-00001000", "Sticky=\"\(value)\"",
        ] {
            #expect(try read(fixture, [("Cookie", cookie)], now: 0x2000) == nil)
        }
        #expect(
            field(try session(.cookie(lifetime: 60)), endpoint: 1, now: 0).hasSuffix(
                "; Path=/; Max-Age=60; HttpOnly\r\n"))
    }

    @Test func headersComeBack() throws {
        let fixture = try session(.header)
        #expect(field(fixture, endpoint: 2, now: 3) == "sticky: 0000000000000002-00000003-00000003\r\n")
        #expect(
            try read(fixture, [("STICKY", "0000000000000002-00000003-00000003")], now: 9)
                == RouteSession(endpoint: 2, now: 3))
        #expect(try read(fixture, [("Cookie", "sticky=0000000000000002-00000003-00000003")], now: 9) == nil)
    }

    @Test func sessionsEnd() throws {
        let value = "0000000000000002-00000064-00000078"
        for (absolute, idle, now, isAlive) in [
            (nil, nil, .max, true), (10, nil, 109, true), (10, nil, 110, false), (nil, 10, 129, true),
            (nil, 10, 130, false), (50, 10, 130, false), (50, 100, 149, true), (50, 100, 150, false), (10, 10, 0, true),
        ] as [(UInt32?, UInt32?, UInt32, Bool)] {
            let fixture = try session(.header, absolute: absolute, idle: idle)
            #expect((try read(fixture, [("sticky", value)], now: now) != nil) == isAlive)
        }
    }

    @Test func sessionsAreWrittenWhenClientsHaveToLearnOfThem() throws {
        var known = RouteSession(endpoint: 2, now: 100)
        let lasting = try session(.header).table
        #expect(lasting.needsSessionField(0, known: nil, endpoint: 2, now: 100))
        #expect(!lasting.needsSessionField(0, known: known, endpoint: 2, now: 500))
        #expect(lasting.needsSessionField(0, known: known, endpoint: 3, now: 500))
        let idle = try session(.header, idle: 1000)
        #expect(idle.table.needsSessionField(0, known: known, endpoint: 2, now: 500))
        #expect(!idle.table.needsSessionField(0, known: known, endpoint: 2, now: 100))
        // The time of its making is kept, so that the absolute timeout cannot be outrun.
        #expect(field(idle, known: known, endpoint: 3, now: 0x500) == "sticky: 0000000000000003-00000064-00000500\r\n")
        known.seen = 7
        #expect(known.created == 100)
    }

    private func hashed(_ key: HTTPBalancer.HashKey?) throws -> RouteFixture {
        try RouteFixture([.to("a")]) { snapshot in
            snapshot.services[ObjectName(namespace: "shop", name: "a")]?.traffic.balancer.hashKey = key
        }
    }

    @Test func hashKeys() throws {
        func hash(_ key: HTTPBalancer.HashKey?, _ request: SyntheticRequest) throws -> UInt64? {
            let fixture = try hashed(key)
            let cluster = Int(try fixture.decide(request).cluster)
            return try request.withView { fixture.table.balancingHash(cluster, of: $0) }
        }
        func expected(_ text: String) -> UInt64 {
            let bytes = Array(text.utf8)
            return unsafe xxHash64(bytes.span.bytes)
        }
        let request = SyntheticRequest(
            target: "/?user=u1&x=", host: "web", headers: [("X-User", "u2"), ("Cookie", "a=b; user=u3")])
        #expect(try hash(nil, request) == nil)
        #expect(try hash(.header("x-USER"), request) == expected("u2"))
        #expect(try hash(.header("x-other"), request) == nil)
        #expect(try hash(.query("user"), request) == expected("u1"))
        #expect(try hash(.query("x"), request) == expected(""))
        #expect(try hash(.query("y"), request) == nil)
        #expect(try hash(.cookie(name: "user", path: "/", lifetime: 0), request) == expected("u3"))
        #expect(try hash(.cookie(name: "other", path: "/", lifetime: 0), request) == nil)
        #expect(try hash(.sourceAddress, request) != nil)
    }

    @Test func hashCookiesHaveTheHashThatTheyWillHave() throws {
        let fixture = try hashed(.cookie(name: "user", path: "/cart", lifetime: 9))
        let request = SyntheticRequest(host: "web")
        let cluster = Int(try fixture.decide(request).cluster)
        #expect(fixture.table.makesHashCookie(cluster))
        var scratch = Scratch()
        fixture.table.writeHashCookie(cluster, number: 0xabc, into: &scratch)
        #expect(String(scratch.bytes) == "set-cookie: user=0000000000000abc; Path=/cart; Max-Age=9; HttpOnly\r\n")
        let next = SyntheticRequest(host: "web", headers: [("cookie", "user=0000000000000abc")])
        #expect(
            try next.withView { fixture.table.balancingHash(cluster, of: $0) } == fixture.table.hash(ofCookie: 0xabc))
        let hostile = try hashed(.cookie(name: "a=b", path: "/", lifetime: 0))
        #expect(!hostile.table.makesHashCookie(cluster))
    }
}
