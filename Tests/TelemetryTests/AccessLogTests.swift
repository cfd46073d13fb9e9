import Foundation
import Proxy
import Testing

@testable import Telemetry

@Suite struct AccessLogTests {
    private let clock = WallClock(offset: 1_785_000_000_000_000_000)

    /// One request's way through a queue into a line.
    private func line(
        _ format: AccessLogOptions.Format, method: String = "GET", path: String = "/a", query: String? = nil,
        agent: String = "curl/8.0", understood: Bool = true, isTraced: Bool = false
    ) -> String {
        let queue = RequestLogQueue(capacity: 4, policy: .all)
        let client = ClientAddress(high: 0, low: 0xffff_0a00_0001, port: 40000)
        let local = ClientAddress(high: 0, low: 0xffff_7f60_000a, port: 80)
        var bytes: [UInt8] = []
        func slice(_ text: String) -> HeadSlice {
            defer { bytes += text.utf8 }
            return HeadSlice(start: UInt16(bytes.count), count: UInt16(text.utf8.count))
        }
        var head = RequestHead()
        head.methodText = slice(method)
        let pathSlice = slice(path)
        head.path = pathSlice
        if let query {
            head.query = slice(query)
            head.hasQuery = true
        }
        head.authority = slice("web.shop")
        let fields = [
            HeadField(name: .empty, value: slice(agent), line: .empty, known: .userAgent),
            HeadField(name: .empty, value: slice("id-7"), line: .empty, known: .xRequestID),
        ]
        var ticket = RequestLogQueue.Ticket.none
        if understood {
            let raw = unsafe bytes.span.bytes
            let view = RequestView(
                bytes: raw, head: head, fields: fields.span, path: raw.extracting(pathSlice.range),
                host: raw.extracting(0..<0), source: 1, client: client)
            var trace = TraceContext()
            if isTraced {
                trace.traceHigh = 0x4bf9_2f35_77b3_4da6
                trace.traceLow = 0xa3ce_929d_0e0e_4736
                trace.span = 0xf0_67aa_0ba9_02b7
            }
            ticket = queue.open(view, local: local, trace: trace)
            queue.upstream(
                ticket, address: ClientAddress(high: 0, low: 0xffff_0a00_0007, port: 8080),
                local: ClientAddress(high: 0, low: 0xffff_0a00_0001, port: 50000))
        }
        var record = RequestRecord()
        record.source = 1
        record.service = 101
        record.destination = 2
        record.rule = 301
        record.status = understood ? 503 : 400
        record.flags = understood ? [.upstreamConnectionFailure, .retryLimitExceeded] : [.downstreamProtocolError]
        record.detail = understood ? .retryLimit : .malformedRequest
        record.attempts = 3
        record.requestBody = 12
        record.responseBody = 345
        record.started = 1_500_000_000
        record.responded = understood ? 1_507_000_000 : 0
        record.ended = 1_512_999_999
        let principal: [UInt8] = understood ? Array("cluster.local/ns/shop/sa/client".utf8) : []
        queue.close(
            ticket, record, client: client, local: local, principal: unsafe principal.span.bytes)
        var directory = TestDirectory.shop
        directory.routes[301] = "HTTPRoute shop/web rule 0"
        let formatter = AccessLogFormatter(format, directory, clock: clock)
        var lines: [UInt8] = []
        #expect(queue.drain { formatter.append($0, to: &lines) } == 1)
        #expect(lines.last == UInt8(ascii: "\n"))
        return String(decoding: lines.dropLast(), as: UTF8.self)
    }

    private func object(_ line: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    @Test func jsonHasIstiosKeys() throws {
        let found = try object(line(.json, query: "x=1&y=2"))
        let texts: [String: String] = [
            "start_time": "2026-07-25T17:20:01.500Z", "method": "GET", "path": "/a?x=1&y=2", "protocol": "HTTP/1.1",
            "response_flags": "UF,URX", "response_code_details": "upstream_retry_limit_exceeded",
            "user_agent": "curl/8.0", "request_id": "id-7", "authority": "web.shop", "upstream_host": "10.0.0.7:8080",
            "upstream_cluster": "outbound|80||web.shop.svc.cluster.local", "upstream_local_address": "10.0.0.1:50000",
            "downstream_local_address": "127.96.0.10:80", "downstream_remote_address": "10.0.0.1:40000",
            "route_name": "HTTPRoute shop/web rule 0", "source_workload": "shop/client",
            "destination_workload": "shop/web-1",
            "downstream_peer_uri_san": "spiffe://cluster.local/ns/shop/sa/client",
        ]
        for (key, value) in texts { #expect(found[key] as? String == value, "\(key)") }
        let numbers = [
            "response_code": 503, "bytes_received": 12, "bytes_sent": 345, "duration": 12, "upstream_service_time": 7,
            "attempts": 3,
        ]
        for (key, value) in numbers { #expect(found[key] as? Int == value, "\(key)") }
        let empty = [
            "x_forwarded_for", "connection_termination_details", "upstream_transport_failure_reason",
            "requested_server_name", "trace_id", "span_id",
        ]
        for key in empty { #expect(found[key] is NSNull, "\(key)") }
        #expect(found.count == texts.count + numbers.count + empty.count)
        let traced = try object(line(.json, isTraced: true))
        #expect(traced["trace_id"] as? String == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(traced["span_id"] as? String == "00f067aa0ba902b7")
    }

    @Test func istiosDefaultFormatHasItsFields() {
        #expect(
            line(.istio, query: "x=1") == """
                [2026-07-25T17:20:01.500Z] "GET /a?x=1 HTTP/1.1" 503 UF,URX upstream_retry_limit_exceeded - "-" 12 345 \
                12 7 "-" "curl/8.0" "id-7" "web.shop" "10.0.0.7:8080" outbound|80||web.shop.svc.cluster.local \
                10.0.0.1:50000 127.96.0.10:80 10.0.0.1:40000 - HTTPRoute_shop/web_rule_0
                """)
        #expect(
            line(.istio, understood: false) == """
                [2026-07-25T17:20:01.500Z] "- - -" 400 DPE http1.codec_error - "-" 12 345 12 - "-" "-" "-" "-" "-" \
                outbound|80||web.shop.svc.cluster.local - 127.96.0.10:80 10.0.0.1:40000 - HTTPRoute_shop/web_rule_0
                """)
    }

    @Test func textIsEnvoysDefaultFormat() {
        #expect(
            line(.text) == """
                [2026-07-25T17:20:01.500Z] "GET /a HTTP/1.1" 503 UF,URX 12 345 12 7 "-" "curl/8.0" "id-7" "web.shop" \
                "10.0.0.7:8080" "spiffe://cluster.local/ns/shop/sa/client"
                """)
        #expect(
            line(.text, understood: false) == """
                [2026-07-25T17:20:01.500Z] "- - -" 400 DPE 12 345 12 - "-" "-" "-" "-" "-" "-"
                """)
    }

    /// What a client writes cannot make a second line, end a quote or break an object.
    @Test(arguments: ["\"", "\\", "\n", "\r\n{}", "\u{0}", "\u{7f}", "ü", "\u{1b}[31m", "a\"} {\"b"])
    func hostileTextStaysInItsPlace(text: String) throws {
        let json = line(.json, path: "/" + text, agent: text)
        #expect(!json.contains("\n"))
        #expect(try object(json)["user_agent"] as? String == text)
        #expect(try object(json)["path"] as? String == "/" + text)
        let plain = line(.text, agent: text)
        #expect(plain.utf8.allSatisfy { (0x20...0x7e).contains($0) })
        #expect(plain.hasSuffix("\"web.shop\" \"10.0.0.7:8080\" \"spiffe://cluster.local/ns/shop/sa/client\""))
    }

    @Test(
        arguments: [
            ("off", .off), ("errors", .errors), ("all", .all), ("sampled", .sampled(10)), ("sampled=50", .sampled(500)),
            ("sampled=0.1", .sampled(1)), ("sampled=100", .sampled(1000)), ("sampled=0", nil), ("sampled=101", nil),
            ("sampled=x", nil), ("", nil), ("ALL", nil), ("sampled=nan", nil),
        ] as [(String, RequestLogQueue.Policy?)])
    func policiesAreParsed(text: String, expected: RequestLogQueue.Policy?) {
        #expect(AccessLogOptions.policy(text) == expected)
    }
}
