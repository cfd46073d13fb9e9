import Protobuf
import Proxy
import Synchronization
import Testing

@testable import Telemetry

/// What does not need a collector; MeshTests have one.
@Suite struct OTLPTests {
    @Test(
        arguments: [
            ("", []), ("a=b", ["a: b"]),
            ("Authorization=Basic%20YWI=, x-tenant = 7", ["Authorization: Basic YWI=", "x-tenant: 7"]),
            ("a=", ["a: "]), ("a", nil), ("=b", nil), ("a b=c", nil), ("a=%0d%0aX: y", nil), ("a=%zz", nil),
            ("a=%2", nil),
            ("a=\u{7f}", nil),
        ] as [(String, [String]?)])
    func headersAreParsed(text: String, expected: [String]?) {
        #expect(OTLPOptions.headers(text)?.map { "\($0.name): \($0.value)" } == expected)
    }

    @Test(
        arguments: [
            ("web", "web", nil), ("web:80", "web", 80), ("[::1]:8080", "::1", 8080), ("[::1]", "::1", nil),
            ("", "", nil),
            ("web:", "web:", nil), ("web:99999", "web:99999", nil), (":80", "", 80),
        ] as [(String, String, UInt16?)])
    func authorities(text: String, host: String, port: UInt16?) {
        let found = SpanEncoder<TestDirectory>.hostAndPort(text)
        #expect(found.0 == host && found.1 == port)
    }

    @Test func pausesGrowAndAreBounded() {
        for _ in 0..<100 {
            #expect((500_000_000...1_000_000_000).contains(OTLPExporter.pause(failures: 1, retryAfter: nil)))
            #expect((2_000_000_000...4_000_000_000).contains(OTLPExporter.pause(failures: 3, retryAfter: nil)))
            #expect((15_000_000_000...30_000_000_000).contains(OTLPExporter.pause(failures: 1000, retryAfter: nil)))
        }
        #expect(OTLPExporter.pause(failures: 1, retryAfter: 7) == 7_000_000_000)
        #expect(OTLPExporter.pause(failures: 1, retryAfter: 1 << 40) == 300_000_000_000)
        #expect(OTLPExporter.pause(failures: 3, retryAfter: 0) >= 2_000_000_000)
    }

    @Test func partialSuccessIsRead() {
        var writer = ProtobufWriter()
        writer.message(1) { partial in
            partial.integer(1, 7)
            partial.string(2, "quota")
        }
        #expect(OTLPExporter.refused(writer.bytes) == (7, "quota"))
        #expect(OTLPExporter.refused([]) == (0, ""))
        #expect(OTLPExporter.refused([0xff, 0xff]) == (0, ""))
        #expect(OTLPExporter.refused(Array("<html>".utf8)).count == 0)
    }

    /// What does not fit pushes out the oldest, and the end of the agent does not wait for a collector that is not there.
    @Test func theQueueIsBounded() throws {
        // Nothing listens there: port 1 of an address of this machine only.
        let url = try #require(HTTPURL("http://127.0.0.1:1/base"))
        let reports = Mutex<[String?]>([])
        let exporter = try OTLPExporter(.logs, OTLPOptions(url), version: "1") { report in
            reports.withLock { $0.append(report) }
        }
        let resource = OTLPResource(serviceName: "web", host: "a")
        let count = 3 * OTLPExporter.capacity
        for _ in 0..<count { exporter.add(OTLPRecord(resource, message: [1, 2, 3])) }
        #expect(exporter.lost >= UInt64(count - OTLPExporter.capacity - 2 * OTLPExporter.batchSize))
        let start = WallClock.monotonic()
        exporter.stop()
        #expect(WallClock.monotonic() - start < 10_000_000_000)
        #expect(exporter.lost == UInt64(count) && exporter.exported == 0)
        exporter.add(OTLPRecord(resource, message: [1]))
        #expect(exporter.lost == UInt64(count) + 1)
        let said = reports.withLock { $0 }
        #expect(said.count <= 1 && said.allSatisfy { $0?.contains("cannot connect") ?? false })
    }
}
