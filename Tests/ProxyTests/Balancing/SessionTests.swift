import Mesh
import Testing

@testable import Proxy

@Suite("Session persistence")
struct SessionTests {
    private static func fixture(_ persistence: SessionPersistence) throws -> RouteFixture {
        var rule = HTTPRule.to("a")
        rule.persistence = persistence
        return try RouteFixture([rule])
    }

    private static func line(
        _ persistence: SessionPersistence, _ session: SessionToken? = nil, endpoint: UInt64 = 0xabc, wall: UInt32 = 1000
    ) throws -> String {
        let fixture = try fixture(persistence)
        var scratch = Scratch()
        fixture.table.writeSession(
            fixture.table.persistences[0], session, endpoint: endpoint, wall: wall, into: &scratch)
        return String(scratch.bytes)
    }

    private static func session(_ persistence: SessionPersistence, _ value: String, wall: UInt32 = 1000) throws
        -> SessionToken?
    {
        let fixture = try fixture(persistence)
        let request = SyntheticRequest(host: "a", headers: [("Cookie", "sid=\(value)"), ("X-Session", value)])
        return try request.withView { fixture.table.session(fixture.table.persistences[0], of: $0, wall: wall) }
    }

    static let token = "0000000000000abc000003e8000003e8"

    @Test func cookiesAreSetAsTheirKindSays() throws {
        let session = SessionPersistence(kind: .cookie(lifetime: nil), name: "sid")
        #expect(try Self.line(session) == "Set-Cookie: sid=\(Self.token); Path=/; HttpOnly\r\n")
        let permanent = SessionPersistence(kind: .cookie(lifetime: 60), name: "sid")
        #expect(try Self.line(permanent) == "Set-Cookie: sid=\(Self.token); Path=/; HttpOnly; Max-Age=60\r\n")
        let header = SessionPersistence(kind: .header, name: "X-Session")
        #expect(try Self.line(header) == "x-session: \(Self.token)\r\n")
    }

    @Test func whatTheClientKnowsIsNotRepeated() throws {
        var persistence = SessionPersistence(kind: .cookie(lifetime: nil), name: "sid")
        let known = SessionToken(endpoint: 0xabc, began: 900, used: 950)
        #expect(try Self.line(persistence, known).isEmpty)
        #expect(try Self.line(persistence, known, endpoint: 0xdef).contains("sid=0000000000000def000003e8000003e8"))
        // The session began when it began, but its idle time starts anew.
        persistence.idleTimeout = 60
        #expect(try Self.line(persistence, known).contains("sid=0000000000000abc00000384000003e8"))
    }

    @Test(arguments: [SessionPersistence.Kind.cookie(lifetime: nil), .header])
    func tokensAreReadBack(_ kind: SessionPersistence.Kind) throws {
        let persistence = SessionPersistence(kind: kind, name: kind == .header ? "X-Session" : "sid")
        #expect(
            try Self.session(persistence, Self.token) == SessionToken(endpoint: 0xabc, began: 1000, used: 1000))
        for wrong in ["", "abc", Self.token.uppercased(), Self.token + "0", "g" + Self.token.dropFirst()] {
            #expect(try Self.session(persistence, wrong) == nil, "\(wrong)")
        }
    }

    @Test func sessionsEnd() throws {
        var persistence = SessionPersistence(kind: .header, name: "x-session")
        persistence.absoluteTimeout = 100
        #expect(try Self.session(persistence, Self.token, wall: 1099) != nil)
        #expect(try Self.session(persistence, Self.token, wall: 1100) == nil)
        persistence.absoluteTimeout = nil
        persistence.idleTimeout = 10
        #expect(try Self.session(persistence, Self.token, wall: 1009) != nil)
        #expect(try Self.session(persistence, Self.token, wall: 1010) == nil)
        // The clock of another node may be behind.
        #expect(try Self.session(persistence, Self.token, wall: 990) != nil)
    }
}
