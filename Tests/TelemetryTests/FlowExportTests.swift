import Protobuf
import Testing
import WeftABI

@testable import Telemetry

/// Flow records as OpenTelemetry's log records; that others read them alike is a test of whole nodes.
@Suite struct FlowExportTests {
    private func record(_ event: weft_flow_event) -> FlowRecord {
        var flow = weft_flow()
        flow.started_ns = 1_000_000
        flow.ended_ns = 2_000_000
        flow.source = 1
        flow.service = 101
        flow.destination = 2
        flow.rule = 201
        flow.sent_bytes = 10
        flow.source_address = weft_address_v4(UInt32(0x0a00_0001).bigEndian)
        flow.source_port = UInt16(40000).bigEndian
        flow.peer_address = weft_address_v6(UInt32(0x2001_0db8).bigEndian, 0, 0, UInt32(1).bigEndian)
        flow.peer_port = UInt16(8080).bigEndian
        flow.protocol = 6
        flow.lane = UInt8(WEFT_LANE_KERNEL.rawValue)
        flow.event = UInt8(event.rawValue)
        flow.http_class = 5
        flow.http_requests = 3
        return FlowRecord(flow, directory: TestDirectory.shop, clock: WallClock(offset: 0))
    }

    private struct Read {
        var time: UInt64 = 0
        var severity: UInt64 = 0
        var texts: [String] = []
        var attributes: [String: String] = [:]
    }

    private func read(_ message: [UInt8]) throws -> Read {
        var found = Read()
        var reader = ProtobufReader(message.span)
        while let field = try reader.next() {
            switch field {
            case 1: found.time = try reader.fixed64()
            case 2: found.severity = UInt64(try reader.uint64())
            case 3, 12: found.texts.append(try reader.string())
            case 5:
                var body = try reader.message()
                while try body.next() != nil { found.texts.append(try body.string()) }
            case 6:
                var pair = try reader.message()
                var key = ""
                while let field = try pair.next() {
                    if field == 1 {
                        key = try pair.string()
                    } else {
                        var value = try pair.message()
                        while let kind = try value.next() {
                            #expect(found.attributes[key] == nil, "\(key) is there twice")
                            found.attributes[key] = try kind == 1 ? value.string() : "\(value.int64())"
                        }
                    }
                }
            default: break
            }
        }
        return found
    }

    @Test func refusalsAreWarnings() throws {
        for (event, severity, name) in [
            (WEFT_FLOW_DENIED, 13, "WARN"), (WEFT_FLOW_ENDED_BY_POLICY, 13, "WARN"), (WEFT_FLOW_CLOSED, 9, "INFO"),
            (WEFT_FLOW_FAILED, 9, "INFO"), (WEFT_FLOW_ENDED_BY_DRAIN, 9, "INFO"),
        ] {
            let found = try read(record(event).otlp(reporter: nil, node: "a").message)
            #expect(found.severity == UInt64(severity) && found.texts.first == name)
        }
    }

    @Test func whatIsKnownIsAnAttribute() throws {
        let workload = try #require(TestDirectory.shop.workload(1))
        let exported = record(WEFT_FLOW_DENIED).otlp(reporter: workload, node: "a")
        #expect(exported.resource.serviceName == "app-client" && exported.resource.host == "a")
        let found = try read(exported.message)
        #expect(found.time == 2_000_000)
        #expect(found.texts == ["WARN", "denied shop/client to shop/web:80 by shop/no-mallory[0]", "weft.flow"])
        for (key, value) in [
            ("weft.event", "denied"), ("weft.lane", "kernel"), ("weft.from", "shop/client"), ("weft.to", "shop/web:80"),
            ("weft.destination", "shop/web-1"), ("weft.rule", "shop/no-mallory[0]"), ("weft.http_class", "5xx"),
            ("weft.http_requests", "3"), ("source.address", "10.0.0.1"), ("source.port", "40000"),
            ("destination.address", "2001:db8::1"), ("destination.port", "8080"), ("weft.bytes_sent", "10"),
            ("weft.duration_us", "1000"), ("network.transport", "tcp"),
            ("weft.source_principal", "spiffe://cluster.local/ns/shop/sa/client"),
        ] { #expect(found.attributes[key] == value, "\(key)") }
        for key in ["weft.connect_us", "weft.rtt_us", "weft.error", "weft.address_class", "weft.service_address"] {
            #expect(found.attributes[key] == nil, "\(key)")
        }
    }

    @Test func theNodeSpeaksForWhoHasNoWorkload() {
        #expect(
            record(WEFT_FLOW_CLOSED).otlp(reporter: nil, node: "a").resource
                == OTLPResource(serviceName: "weft", host: "a"))
    }
}
