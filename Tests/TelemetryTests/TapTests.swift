import Proxy
import Testing
import WeftABI

@testable import Telemetry

@Suite struct TapTests {
    private func event(
        _ kind: TapEvent.Kind = .request, _ number: UInt64 = 1, path: String = "/cart", status: UInt16? = nil
    ) -> TapEvent {
        var event = TapEvent(kind, TapEvent.ID(connection: 7, number: number))
        event.lane = "kernel"
        event.from = "shop/client"
        event.sourcePrincipal = "spiffe://cluster.local/ns/shop/sa/client"
        event.to = "shop/web:80"
        event.destination = "shop/web-1"
        event.status = status
        if kind == .request {
            event.method = "GET"
            event.path = path
        }
        return event
    }

    private func json(_ event: TapEvent) -> String {
        var bytes: [UInt8] = []
        event.writeJSON(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: What the kernel tells

    private func kernelEvent(_ kind: weft_tap_kind, line: String = "") -> [UInt8] {
        var event = weft_tap_event()
        event.at_ns = 2_000_000
        event.cookie = 77
        event.number = 3
        event.source = 1
        event.service = 101
        event.destination = 2
        event.client_address = weft_address_v4(UInt32(0x0a00_0001).bigEndian)
        event.client_port = UInt16(40000).bigEndian
        event.server_address = weft_address_v4(UInt32(0x0a00_0002).bigEndian)
        event.server_port = UInt16(8080).bigEndian
        event.kind = UInt8(kind.rawValue)
        event.lane = UInt8(WEFT_LANE_KERNEL.rawValue)
        event.reporter = UInt8(WEFT_REPORTER_BOTH.rawValue)
        if kind == WEFT_TAP_RESPONSE {
            event.status = 503
            event.outcome = UInt8(WEFT_REQUEST_SERVER_ENDED.rawValue)
            event.duration_us = 1500
            event.first_byte_us = 1200
            event.request_bytes = 5
            event.response_bytes = 42
        }
        event.line_length = UInt8(clamping: line.utf8.count)
        unsafe withUnsafeMutableBytes(of: &event.line) { unsafe $0.copyBytes(from: line.utf8.prefix(128)) }
        return unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
    }

    private func read(_ bytes: [UInt8]) -> TapEvent? {
        unsafe TapEvent(kernel: bytes.span.bytes, directory: TestDirectory.shop, clock: WallClock(offset: 0))
    }

    @Test func kernelEventsHaveNamesAndStableKeys() throws {
        let request = try #require(read(kernelEvent(WEFT_TAP_REQUEST, line: "GET /cart?id=1 HTTP/1.1")))
        #expect(
            json(request)
                == #"{"event":"request","id":"77:3","time":"1970-01-01T00:00:00.002000Z","lane":"kernel","#
                + #""direction":"outbound","from":"shop/client","#
                + #""source_principal":"spiffe://cluster.local/ns/shop/sa/client","to":"shop/web:80","#
                + #""destination":"shop/web-1","source_address":"10.0.0.1:40000","destination_address":"10.0.0.2:8080","#
                + #""method":"GET","authority":null,"path":"/cart?id=1","status":null,"outcome":null,"flags":null,"#
                + #""duration_us":null,"first_byte_us":null,"request_bytes":null,"response_bytes":null}"#)
        let response = try #require(read(kernelEvent(WEFT_TAP_RESPONSE)))
        #expect(response.id == request.id && response.status == 503 && response.outcome == "server_ended")
        #expect(response.durationMicroseconds == 1500 && response.firstByteMicroseconds == 1200)
        #expect(response.requestBytes == 5 && response.responseBytes == 42)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: x", "GET", "/"), ("POST /a", "POST", "/a"), ("DELETE", "DELETE", nil),
        ("GET  /two HTTP/1.1", "GET", nil), ("", nil, nil), (" /x", nil, nil),
        ("GET /\u{1b}[31m HTTP/1.1", "GET", "/\u{1b}[31m"),
    ])
    func linesAreReadAsFarAsTheyAreThere(line: String, method: String?, path: String?) throws {
        let request = try #require(read(kernelEvent(WEFT_TAP_REQUEST, line: line)))
        #expect(request.method == method && request.path == path)
        // No control character leaves by JSON.
        #expect(json(request).utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
    }

    @Test func whatIsNoEventIsNone() throws {
        #expect(read([]) == nil)
        #expect(read([UInt8](repeating: 0xff, count: 247)) == nil)
        // Kind 255.
        #expect(read([UInt8](repeating: 0xff, count: 256)) == nil)
        // A line that claims to be longer than its room, and is no text.
        var strange = kernelEvent(WEFT_TAP_REQUEST, line: String(repeating: "x", count: 128))
        let length = try #require(MemoryLayout<weft_tap_event>.offset(of: \.line_length))
        strange[length] = 255
        #expect(read(strange)?.method?.utf8.count == 128)
        for index in length + 2..<strange.count { strange[index] = 0xfe }
        #expect(read(strange)?.method?.isEmpty == false)
    }

    // MARK: Who sees what

    private func filter(_ query: (String, String)...) throws -> TapFilter {
        try TapFilter(query: query.map { (name: $0.0, value: $0.1) })
    }

    @Test func filtersSelect() throws {
        for (name, value, isAdmitted) in [
            ("resource", "shop/client", true), ("resource", "web", true), ("resource", "web-1", true),
            ("resource", "ops/web", false), ("from", "client", true), ("from", "web", false),
            ("from", "spiffe://cluster.local/ns/shop/sa/client", true), ("to", "shop/web:80", true),
            ("to", "web-1", true),
            ("to", "client", false), ("service", "web", true), ("service", "web-1", false), ("namespace", "shop", true),
            ("namespace", "sho", false), ("method", "get", true), ("method", "POST", false), ("path", "/ca", true),
            ("path", "/cart/", false), ("lane", "kernel", true), ("lane", "proxy", false), ("other", "x", true),
        ] {
            #expect(try filter((name, value)).admits(event()) == isAdmitted, "\(name)=\(value)")
        }
    }

    @Test(arguments: [
        ("lane", "fast"), ("status", "5x"), ("status", "99"), ("status", "6xx"), ("status", "1000"), ("status", ""),
        ("max_rps", "0"), ("max_rps", "10001"), ("max_rps", "-1"), ("max_rps", "many"),
    ])
    func filtersThatMeanNothingAreRefused(name: String, value: String) {
        #expect(throws: FlowFilter.Invalid.self) { try filter((name, value)) }
    }

    @Test func requestsAreShownWithTheirEnds() throws {
        let hub = TapHub()
        var seen: [TapEvent] = []
        let viewer = hub.add(try filter(("path", "/cart")), now: 0) { seen.append($0) }
        hub.take(event(.request, 1), now: 0)
        hub.take(event(.request, 2, path: "/other"), now: 0)
        #expect(seen.map(\.kind) == [.request])
        hub.take(event(.response, 2, status: 200), now: 0)
        // One that began before anybody looked.
        hub.take(event(.response, 9, status: 200), now: 0)
        hub.take(event(.response, 1, status: 200), now: 0)
        hub.take(event(.response, 1, status: 200), now: 0)
        #expect(seen.map(\.kind) == [.request, .response])
        #expect(seen.last?.path == "/cart" && seen.last?.method == "GET" && seen.last?.status == 200)
        hub.remove(viewer)
        hub.take(event(.request, 3), now: 0)
        #expect(seen.count == 2 && hub.isEmpty)
    }

    @Test func aStatusIsKnownAtTheEnd() throws {
        let hub = TapHub()
        var seen: [TapEvent] = []
        _ = hub.add(try filter(("status", "5xx"), ("method", "GET")), now: 0) { seen.append($0) }
        for (number, status) in [(UInt64(1), UInt16(503)), (2, 200), (3, 599)] {
            hub.take(event(.request, number), now: 0)
            #expect(seen.allSatisfy { $0.id.number < number })
            hub.take(event(.response, number, status: status), now: 0)
        }
        hub.take(event(.request, 4), now: 0)
        hub.take(event(.response, 4), now: 0)
        #expect(seen.map(\.id.number) == [1, 1, 3, 3])
        #expect(seen.map(\.kind) == [.request, .response, .request, .response])
        #expect(TapFilter.status("503") == .one(503) && TapFilter.status("5xx") == .all(5))
    }

    @Test func theRateIsKeptAndTheRestCounted() throws {
        let hub = TapHub()
        var (shown, others) = (0, 0)
        let viewer = hub.add(try filter(("max_rps", "10")), now: 0) { _ in shown += 1 }
        _ = hub.add(try filter(("max_rps", "10000")), now: 0) { _ in others += 1 }
        // A thousand in each of three seconds, evenly.
        for number in UInt64(0)..<3000 {
            let now = number * second / 1000
            hub.take(event(.request, number), now: now)
            hub.take(event(.response, number, status: 200), now: now)
        }
        // What it may save up, and ten in each second; each has two events.
        #expect((2 * 30...2 * 40).contains(shown), "\(shown)")
        #expect(hub.takeDropped(viewer) == UInt64(3000 - shown / 2))
        #expect(hub.takeDropped(viewer) == 0)
        #expect(others == 6000)
    }

    @Test func requestsThatNeverEndAreForgotten() throws {
        let hub = TapHub()
        var ends = 0
        _ = hub.add(try filter(("max_rps", "10000")), now: 0) { if $0.kind == .response { ends += 1 } }
        let count = UInt64(TapHub.mostPending * 3)
        for number in 0..<count { hub.take(event(.request, number), now: number * second) }
        for number in 0..<count { hub.take(event(.response, number, status: 200), now: count * second) }
        #expect(ends > 0 && ends <= TapHub.mostPending)
        // The latest are remembered.
        hub.take(event(.request, count), now: count * second)
        let before = ends
        hub.take(event(.response, count, status: 200), now: count * second)
        #expect(ends == before + 1)
    }

    @Test func aViewerMayLeaveWhileItIsTold() throws {
        let hub = TapHub()
        var first: TapHub.Viewer?
        var (one, two) = (0, 0)
        first = hub.add(TapFilter(), now: 0) { _ in
            one += 1
            if let first { hub.remove(first) }
        }
        _ = hub.add(TapFilter(), now: 0) { _ in two += 1 }
        hub.take(event(.request, 1), now: 0)
        hub.take(event(.response, 1, status: 200), now: 0)
        #expect(one == 1 && two == 2)
    }
}
