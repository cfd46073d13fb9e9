import Proxy
import Testing
import WeftABI

@testable import Telemetry

@Suite struct FlowTests {
    private func flow(_ event: weft_flow_event = WEFT_FLOW_CLOSED, ended: UInt64 = 2_000_000) -> weft_flow {
        var flow = weft_flow()
        flow.started_ns = 1_000_000
        flow.ended_ns = ended
        flow.connect_us = 40
        flow.source = 1
        flow.service = 101
        flow.destination = 2
        flow.rule = 201
        flow.sent_bytes = 10
        flow.received_bytes = 20
        flow.source_address = weft_address_v4(UInt32(0x0a00_0001).bigEndian)
        flow.service_address = weft_address_v6(UInt32(0x2001_0db8).bigEndian, 0, 0, UInt32(1).bigEndian)
        flow.source_port = UInt16(40000).bigEndian
        flow.service_port = UInt16(80).bigEndian
        flow.protocol = 6
        flow.lane = UInt8(WEFT_LANE_KERNEL.rawValue)
        flow.event = UInt8(event.rawValue)
        flow.rtt_us = 33
        return flow
    }

    private func json(_ record: FlowRecord) -> String {
        var bytes: [UInt8] = []
        record.writeJSON(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func recordsHaveNamesAndStableKeys() {
        let record = FlowRecord(
            flow(), directory: TestDirectory.shop, clock: WallClock(offset: 1_700_000_000 * 1_000_000_000))
        #expect(
            json(record)
                == #"{"time":"2023-11-14T22:13:20.002000Z","event":"closed","reporter":"source","protocol":"tcp","#
                + #""lane":"kernel","from":"shop/client","#
                + #""source_principal":"spiffe://cluster.local/ns/shop/sa/client","to":"shop/web:80","#
                + #""destination":"shop/web-1","#
                + #""source_address":"10.0.0.1:40000","service_address":"[2001:db8::1]:80","peer_address":null,"#
                + #""address_class":null,"rule":"shop/no-mallory[0]","bytes_sent":10,"bytes_received":20,"#
                + #""duration_us":1000,"connect_us":40,"rtt_us":33,"retransmits":0,"window_limited_us":0,"http_class":null,"#
                + #""http_requests":null,"error":null,"cookie":0,"#
                + #""netns_cookie":0,"cgroup":0}"#)
    }

    /// A connection through a tunnel that a policy has refused.
    private func refused(source: UInt64, peer: String, rule: String) -> FlowQueue {
        var flow = TunnelFlow(
            client: ClientAddress(high: 0, low: 0xffff_0a00_0001, port: 40000),
            target: ClientAddress(high: 0, low: 0xffff_0a00_0002, port: 8080), started: second, ended: 2 * second)
        flow.event = .denied
        flow.source = source
        flow.destination = 2
        let queue = FlowQueue(capacity: 2)
        let (peer, rule) = (Array(peer.utf8), Array(rule.utf8))
        queue.push(flow, peer: unsafe peer.span.bytes, rule: unsafe rule.span.bytes)
        return queue
    }

    @Test func refusalsAtATunnelsEndSayWhoAndWhich() throws {
        let window = FlowWindow { TestDirectory.shop }
        let principal = "cluster.local/ns/ops/sa/mallory"
        let queue = refused(source: 0, peer: principal, rule: "shop/no-mallory[0]")
        #expect(queue.drain { window.append(RawFlow($0)) } == 1)
        var filter = FlowFilter()
        filter.deniedOnly = true
        filter.lane = "tunnel"
        filter.from = "spiffe://\(principal)"
        let record = try #require(window.records(matching: filter).first)
        #expect(record.event == "denied" && record.reporter == "destination" && record.transport == "tcp")
        #expect(record.from == nil && record.sourcePrincipal == "spiffe://\(principal)")
        #expect(record.destination == "shop/web-1" && record.rule == "shop/no-mallory[0]")
        #expect(record.sourceAddress == "10.0.0.1:40000" && record.peerAddress == "10.0.0.2:8080")
        #expect(record.durationMicroseconds == 1_000_000 && record.error == nil)
        filter.from = "shop/client"
        #expect(window.records(matching: filter).isEmpty)
    }

    @Test func aTunnelWithoutARuleHasNone() throws {
        let window = FlowWindow { TestDirectory.shop }
        _ = refused(source: 1, peer: "cluster.local/ns/shop/sa/client", rule: "").drain { window.append(RawFlow($0)) }
        let record = try #require(window.records().first)
        #expect(record.rule == nil && record.from == "shop/client")
    }

    @Test func identifiersWithoutANameAreStillToldApart() {
        let record = FlowRecord(flow(), directory: TestDirectory(), clock: WallClock(offset: 0))
        #expect(record.from == "#1")
        #expect(record.to == "#65")
    }

    @Test func aRecordThatMakesNoSenseIsStillARecord() {
        var strange = flow()
        unsafe withUnsafeMutableBytes(of: &strange) { bytes in
            for index in bytes.indices { unsafe bytes[index] = 0xff }
        }
        strange.ended_ns = 0
        let record = FlowRecord(strange, directory: TestDirectory(), clock: WallClock(offset: .max))
        #expect(record.event == "unknown")
        #expect(record.durationMicroseconds == 0)
        #expect(json(record).hasPrefix(#"{"time":"#))
    }

    @Test func theWindowIsBoundedAndKeepsTheLatest() {
        let window = FlowWindow(capacity: 100) { TestDirectory.shop }
        for number in UInt64(0)..<250 {
            var one = flow()
            one.sent_bytes = number
            window.append(RawFlow(one))
        }
        #expect(window.count == 100)
        #expect(window.total == 250)
        #expect(window.records().map(\.sentBytes) == Array(150..<250))
        #expect(window.records(limit: 3).map(\.sentBytes) == [247, 248, 249])
        #expect(MemoryLayout<weft_flow>.size == 184)
    }

    @Test func filtersSelect() throws {
        let window = FlowWindow { TestDirectory.shop }
        window.append(RawFlow(flow()))
        window.append(RawFlow(flow(WEFT_FLOW_DENIED, ended: 100 * second)))
        var other = flow()
        other.source = 3
        other.lane = UInt8(WEFT_LANE_PASSTHROUGH.rawValue)
        window.append(RawFlow(other))
        func count(_ query: (String, String)...) throws -> Int {
            let filter = try FlowFilter(query: query.map { (name: $0.0, value: $0.1) }, now: 130 * second)
            return window.records(matching: filter).count
        }
        #expect(try count() == 3)
        #expect(try count(("from", "shop/client")) == 2)
        #expect(try count(("from", "client")) == 2)
        #expect(try count(("from", "lient")) == 0)
        #expect(try count(("from", "other/client")) == 0)
        for to in ["web", "web:80", "shop/web", "shop/web:80", "web-1", "shop/web-1"] {
            #expect(try count(("to", to)) == 3, "\(to)")
        }
        #expect(try count(("to", "shop/web:81")) == 0)
        #expect(try count(("denied", "true")) == 1)
        #expect(try count(("denied", "")) == 1)
        #expect(try count(("denied", "false")) == 3)
        #expect(try count(("event", "denied"), ("from", "client")) == 1)
        #expect(try count(("lane", "passthrough")) == 1)
        #expect(try count(("since", "60s")) == 1)
        #expect(try count(("since", "1d")) == 3)
    }

    @Test func filtersSelectByServiceNamespaceAndAnswer() throws {
        let window = FlowWindow { TestDirectory.shop }
        var failed = flow()
        failed.http_class = 5
        failed.http_requests = 3
        window.append(RawFlow(failed))
        var direct = flow()
        direct.service = 0
        direct.http_class = 2
        window.append(RawFlow(direct))
        var outside = flow()
        (outside.source, outside.service, outside.destination) = (0, 0, 0)
        window.append(RawFlow(outside))
        func count(_ name: String, _ value: String) throws -> Int {
            window.records(matching: try FlowFilter(query: [(name, value)], now: 0)).count
        }
        for status in ["5xx", "5XX", "503", "500"] { #expect(try count("http_status", status) == 1, "\(status)") }
        #expect(try count("http_status", "200") == 1)
        #expect(try count("http_status", "404") == 0)
        for service in ["web", "shop/web", "shop/web:80", "web:80"] { #expect(try count("service", service) == 1) }
        // The workload is not the service.
        #expect(try count("service", "web-1") == 0)
        #expect(try count("to", "web-1") == 2)
        #expect(try count("namespace", "shop") == 2)
        #expect(try count("namespace", "sho") == 0)
        let record = try #require(window.records().first)
        #expect(record.httpClass == 5 && record.httpRequests == 3)
        #expect(json(record).contains(#""http_class":"5xx","http_requests":3,"#))
    }

    /// What the sweep has ended was refused, too; what a drain has ended was not.
    @Test func endedConnectionsSayWhy() throws {
        let window = FlowWindow { TestDirectory.shop }
        for event in [WEFT_FLOW_ENDED_BY_POLICY, WEFT_FLOW_ENDED_BY_DRAIN, WEFT_FLOW_CLOSED] {
            window.append(RawFlow(flow(event)))
        }
        #expect(window.records().map(\.event) == ["ended_by_policy", "ended_by_drain", "closed"])
        let denied = try FlowFilter(query: [("denied", "true")], now: 0)
        let records = window.records(matching: denied)
        #expect(records.map(\.event) == ["ended_by_policy"] && records.first?.rule == "shop/no-mallory[0]")
        let drained = try FlowFilter(query: [("event", "ended_by_drain")], now: 0)
        #expect(window.records(matching: drained).count == 1)
    }

    @Test(arguments: [
        ("denied", "maybe"), ("lane", "fast"), ("http_status", "6xx"), ("http_status", "5x"), ("http_status", "50x"),
        ("http_status", ""), ("event", "lost"), ("since", "yesterday"), ("since", "5"), ("since", ""),
    ])
    func filtersThatMeanNothingAreRefused(name: String, value: String) {
        #expect(throws: FlowFilter.Invalid.self) { try FlowFilter(query: [(name, value)], now: 0) }
    }

    @Test func followersGetWhatTheyAskedForUntilTheyLeave() throws {
        let window = FlowWindow { TestDirectory.shop }
        var denied: [FlowRecord] = []
        var all = 0
        var filter = FlowFilter()
        filter.deniedOnly = true
        let first = window.subscribe(filter) { denied.append($0) }
        var second: FlowWindow.Subscription?
        second = window.subscribe { _ in
            all += 1
            if let second, all == 2 { window.unsubscribe(second) }
        }
        for event in [WEFT_FLOW_CLOSED, WEFT_FLOW_DENIED, WEFT_FLOW_DENIED] { window.append(RawFlow(flow(event))) }
        window.unsubscribe(first)
        window.append(RawFlow(flow(WEFT_FLOW_DENIED)))
        #expect(denied.map(\.event) == ["denied", "denied"])
        #expect(all == 2)
    }

    @Test(arguments: [
        (weft_address_v6(0, 0, 0, 0), "::"),
        (weft_address_v6(0, 0, 0, UInt32(1).bigEndian), "::1"),
        (weft_address_v4(UInt32(0x7f60_000a).bigEndian), "127.96.0.10"),
        (weft_address_v6(UInt32(0x2001_0db8).bigEndian, 0, UInt32(1).bigEndian, 0), "2001:db8::1:0:0"),
        (weft_address_v6(UInt32(0xfe80_0000).bigEndian, 0, 0, UInt32(0xabcd).bigEndian), "fe80::abcd"),
        // One group of zeros is not shortened, and of equal runs the first is (RFC 5952 section 4.2).
        (
            weft_address_v6(
                UInt32(0x2001_0db8).bigEndian, UInt32(0x0000_0001).bigEndian, UInt32(0x0001_0001).bigEndian,
                UInt32(0x0001_0001).bigEndian), "2001:db8:0:1:1:1:1:1"
        ),
        (
            weft_address_v6(
                UInt32(0x2001_0000).bigEndian, UInt32(0x0000_0001).bigEndian, UInt32(0x0000_0000).bigEndian,
                UInt32(0x0002_0003).bigEndian), "2001::1:0:0:2:3"
        ),
        (
            weft_address_v6(
                UInt32(0x0001_0002).bigEndian, UInt32(0x0003_0004).bigEndian, UInt32(0x0005_0006).bigEndian, 0),
            "1:2:3:4:5:6::"
        ),
    ])
    func addressesAreWrittenAsRFC5952Wants(address: weft_address, text: String) {
        #expect(AddressText.text(address) == text)
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
        (951_868_799_999_999_999, "2000-02-29T23:59:59.999999Z"),
        (4_107_542_400_123_456_789, "2100-03-01T00:00:00.123456Z"),
        (1_735_689_599_000_000_000, "2024-12-31T23:59:59.000000Z"),
    ])
    func timesAreWrittenAsRFC3339Wants(nanoseconds: Int64, text: String) {
        #expect(WallClock.text(unixNanoseconds: nanoseconds) == text)
    }
}
