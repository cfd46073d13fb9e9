import ArgumentParser
import Testing

@testable import weft

@Suite struct TapTests {
    private let request = """
        {"event":"request","id":"77:3","time":"2026-11-21T04:22:05.006802Z","lane":"kernel","direction":"outbound",\
        "from":"shop/client","source_principal":null,"to":"shop/web:80","destination":"shop/web-1",\
        "source_address":"10.0.0.1:40000","destination_address":"10.0.0.2:8080","method":"GET","authority":null,\
        "path":"/cart","status":null,"outcome":null,"flags":null,"duration_us":null,"first_byte_us":null,\
        "request_bytes":null,"response_bytes":null}
        """

    private var response: String {
        request.replacing("\"event\":\"request\"", with: "\"event\":\"response\"")
            .replacing("\"status\":null", with: "\"status\":503")
            .replacing("\"outcome\":null", with: "\"outcome\":\"server_ended\"")
            .replacing("\"duration_us\":null", with: "\"duration_us\":1500")
            .replacing("\"first_byte_us\":null", with: "\"first_byte_us\":1200")
            .replacing("\"request_bytes\":null", with: "\"request_bytes\":0")
            .replacing("\"response_bytes\":null", with: "\"response_bytes\":42")
    }

    private func text(_ line: String, isWide: Bool = false) throws -> String? {
        try TapLine(Array(line.utf8)).text(isWide: isWide)
    }

    @Test func linesAreLinkerds() throws {
        #expect(
            try text(request)
                == "req id=77:3 proxy=out lane=kernel src=10.0.0.1:40000 dst=10.0.0.2:8080 :method=GET :path=/cart")
        #expect(
            try text(response, isWide: true)
                == "rsp id=77:3 proxy=out lane=kernel src=10.0.0.1:40000 dst=10.0.0.2:8080 src_res=shop/client "
                + "dst_res=shop/web-1 dst_svc=shop/web:80 :method=GET :path=/cart :status=503 latency=1200µs "
                + "duration=1500µs request-length=0B response-length=42B outcome=server_ended")
    }

    /// What a client writes into its path stays in its place.
    @Test(arguments: [
        (#"/a\u001b[31mred"#, #"/a\x1b[31mred"#), (#"/ :status=200"#, #"/\x20:status=200"#),
        (#"/a\nreq id=1"#, #"/a\x0areq\x20id=1"#), (#"/\\x1b"#, #"/\\x1b"#), (#"/\u009b31m"#, #"/\x9b31m"#),
        (#"/\u202eevil"#, #"/\x202eevil"#), ("/ü", "/ü"),
    ])
    func hostilePathsAreEscaped(path: String, shown: String) throws {
        let line = try #require(try text(request.replacing("/cart", with: path)))
        #expect(line.hasSuffix(" :path=\(shown)"), "\(line)")
        #expect(line.split(separator: " ").count == 8)
    }

    @Test func lossesAreNoRequests() throws {
        let dropped = try TapLine(Array(#"{"event":"dropped","over_rate":5,"lost":0}"#.utf8))
        #expect(dropped.overRate == 5 && dropped.lost == 0 && dropped.text(isWide: true) == nil)
        #expect(throws: Failure.self) { try TapLine(Array("{}".utf8)) }
        #expect { try TapLine(Array(#"{"error":"the reader is too slow"}"#.utf8)) } throws: {
            ($0 as? Failure)?.description == "the reader is too slow"
        }
    }

    @Test func asksTheAgentForWhatWasAsked() throws {
        let tap = try Tap.parse([
            "shop/web", "--from", "shop/a b", "--method", "post", "--path", "/x?y", "--status", "5xx", "--lane",
            "proxy",
            "-n", "shop", "--max-rps", "7", "-o", "json",
        ])
        #expect(
            tap.target
                == "/v1/tap?max_rps=7&resource=shop%2Fweb&from=shop%2Fa%20b&namespace=shop&method=post&path=%2Fx%3Fy"
                + "&status=5xx&lane=proxy")
        #expect(throws: (any Error).self) { try Tap.parse(["--status", "5x"]) }
        #expect(throws: (any Error).self) { try Tap.parse(["--max-rps", "0"]) }
        #expect(throws: (any Error).self) { try Tap.parse(["--lane", "fast"]) }
    }
}
