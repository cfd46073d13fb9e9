import Mesh
import Testing

@testable import Proxy

/// What a client gets of a backend's response.
@Suite struct ResponseHeadTests {
    private static let request = SyntheticRequest(host: "web")

    @Test func unchangedLinesKeepTheirOrderAndCase() throws {
        let response =
            "HTTP/1.1 200 Fine\r\nServer: x\r\nX-A:  1\r\nContent-Length: 3\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n"
        #expect(try RouteFixture([.to("a")]).returned(response, to: Self.request) == response)
    }

    @Test func fieldsOfTheConnectionAreRemoved() throws {
        let response = """
            HTTP/1.0 404 Gone\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n
            """
        let fixture = try RouteFixture([.to("a")])
        #expect(
            try fixture.returned(response, to: Self.request) == "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n")
        #expect(
            try fixture.returned(response, to: Self.request, connection: .close)
                == "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\nconnection: close\r\n\r\n")
        #expect(
            try fixture.returned(response, to: Self.request, connection: .keepAlive)
                == "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\nconnection: keep-alive\r\n\r\n")
    }

    /// HTTPRouteResponseHeaderModifier.
    @Test func modifiedHeaders() throws {
        let rule = HTTPRule.to("a").with { rule in
            rule.responseHeaders = HeaderModification(
                set: [.init(name: "X-Set", value: "rule")], add: [.init(name: "X-Add", value: "rule")],
                remove: ["Server"])
            guard case .forward(var backends) = rule.action else { return }
            backends[0].responseHeaders = HeaderModification(set: [.init(name: "x-add", value: "backend")])
            rule.action = .forward(backends)
        }
        let response = "HTTP/1.1 200 OK\r\nserver: x\r\nx-set: 1\r\nX-Set: 2\r\nx-add: 3\r\nContent-Length: 0\r\n\r\n"
        #expect(
            try RouteFixture([rule]).returned(response, to: Self.request, extra: "x-weft: 1\r\n") == """
                HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Set: rule\r\nx-add: backend\r\nx-weft: 1\r\n\r\n
                """)
        let interim = "HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: y\r\n\r\n"
        #expect(try RouteFixture([rule]).returned(interim, to: Self.request, extra: "x-weft: 1\r\n") == interim)
    }

    @Test(arguments: [
        ("200 OK\r\nTransfer-Encoding: chunked", BodyFraming.chunked, "200 OK\r\nTransfer-Encoding: chunked"),
        ("200 OK\r\nTransfer-Encoding: chunked", .untilClose, "200 OK"),
        ("200 OK\r\nX: y", .chunked, "200 OK\r\nX: y\r\ntransfer-encoding: chunked"),
        ("304 Not Modified\r\nContent-Length: 70", .none, "304 Not Modified\r\nContent-Length: 70"),
        ("204 No Content\r\nContent-Length: 0", .none, "204 No Content"),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x", .chunked,
            "200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x"
        ),
        ("200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x", .untilClose, "200 OK"),
    ])
    func framing(_ response: String, _ framing: BodyFraming, _ expected: String) throws {
        #expect(
            try RouteFixture([.to("a")]).returned("HTTP/1.1 \(response)\r\n\r\n", to: Self.request, framing: framing)
                == "HTTP/1.1 \(expected)\r\n\r\n")
    }

    @Test func answersToHeadKeepTheLengthOfWhatIsNotThere() throws {
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n"
        #expect(
            try RouteFixture([.to("a")]).returned(response, to: Self.request, method: .head, framing: BodyFraming.none)
                == response)
    }

    @Test func switchingProtocols() throws {
        let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        #expect(
            try RouteFixture([.to("a")]).returned(response, to: Self.request, connection: .upgrade)
                == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    }
}
