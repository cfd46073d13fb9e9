import Mesh
import Testing

@testable import Proxy

@Suite("Balancing: what is hashed")
struct RequestHashTests {
    private static func hash(_ key: HTTPBalancer.HashKey, _ request: SyntheticRequest) throws -> RequestHash {
        let cluster = TestCluster(
            .test(endpoints: 3) {
                $0.balancer.algorithm = .maglev
                $0.balancer.hashKey = key
            })
        return try request.withView { cluster.workers[0].hash(of: $0) }
    }

    private static func hash(of text: String) -> RequestHash {
        .hash(unsafe xxHash64(Array(text.utf8).span.bytes))
    }

    @Test func hashesAHeader() throws {
        let key = HTTPBalancer.HashKey.header("X-User")
        #expect(try Self.hash(key, SyntheticRequest(host: "a", headers: [("x-USER", "ann")])) == Self.hash(of: "ann"))
        #expect(try Self.hash(key, SyntheticRequest(host: "a", headers: [("x-users", "ann")])) == .none)
        // There, though empty.
        #expect(try Self.hash(key, SyntheticRequest(host: "a", headers: [("x-user", "")])) == Self.hash(of: ""))
    }

    @Test(arguments: [
        ("/?user=ann", "ann"), ("/?a=b&user=ann&c", "ann"), ("/?users=x&user=", ""), ("/?user=a&user=b", "a"),
        ("/?user", nil), ("/?User=ann", nil), ("/user=ann", nil), ("/?xuser=ann", nil), ("/?a=user=ann", nil),
    ])
    func hashesAQueryParameter(target: String, value: String?) throws {
        let expected = value.map { Self.hash(of: $0) } ?? .none
        #expect(try Self.hash(.query("user"), SyntheticRequest(target: target, host: "a")) == expected)
    }

    @Test(arguments: [
        (["user=ann"], "ann"), (["a=b; user=ann; c=d"], "ann"), (["a=b", "user=ann"], "ann"), (["a=b;user=ann"], "ann"),
        (["user=\"ann\""], "ann"), (["user=a=b"], "a=b"), (["xuser=ann"], nil), (["user"], nil),
        (["; ;user = ann"], nil),
        ([], nil), (["USER=ann"], nil),
    ])
    func hashesACookie(cookies: [String], value: String?) throws {
        let request = SyntheticRequest(host: "a", headers: cookies.map { ("Cookie", $0) })
        let expected = value.map { Self.hash(of: $0) } ?? .needsCookie
        #expect(try Self.hash(.cookie(name: "user", path: "/", lifetime: 60), request) == expected)
    }

    @Test func aNewCookieLeadsWhereItWasSentFrom() throws {
        let cluster = TestCluster(
            .test(endpoints: 3) {
                $0.balancer.algorithm = .ringHash(minimumSize: 1024)
                $0.balancer.hashKey = .cookie(name: "lb", path: "/shop", lifetime: 3600)
            })
        for random in [0, 1, UInt64.max, 0x0123_4567_89ab_cdef] {
            var scratch = Scratch()
            cluster.workers[0].hashSource.writeCookie(random, into: &scratch)
            let line = String(scratch.bytes)
            let value = try #require(line.split(separator: "=", maxSplits: 1).last?.prefix(16))
            #expect(line == "Set-Cookie: lb=\(value); Path=/shop; Max-Age=3600; HttpOnly\r\n")
            let request = SyntheticRequest(host: "a", headers: [("cookie", "lb=\(value)")])
            let hash = try request.withView { cluster.workers[0].hash(of: $0) }
            #expect(hash == .hash(RequestHash.hashOfCookie(random)))
        }
    }
}
