import Protobuf
import Proxy
import Testing

@testable import Telemetry

/// Which spans a request has, and who they are from. What is in them is shown by a collector, in MeshTests.
@Suite struct SpanEncoderTests {
    private struct Decoded: Equatable {
        var service: String
        var kind: UInt64 = 0
        var id: UInt64 = 0
        var parent: UInt64 = 0
        var name = ""
        var isError = false
        var texts: [String: String] = [:]

        static func == (a: Self, b: Self) -> Bool {
            a.service == b.service && a.kind == b.kind && a.id == b.id && a.parent == b.parent && a.name == b.name
                && a.isError == b.isError
        }

        init(_ record: OTLPRecord) throws {
            service = record.resource.serviceName
            var reader = ProtobufReader(record.message.span)
            while let field = try reader.next() {
                switch field {
                case 2: id = Self.number(try reader.bytes())
                case 4: parent = Self.number(try reader.bytes())
                case 5: name = try reader.string()
                case 6: kind = try reader.uint64()
                case 9:
                    var pair = try reader.message()
                    var key = ""
                    while let field = try pair.next() {
                        if field == 1 { key = try pair.string() }
                        guard field == 2 else { continue }
                        var value = try pair.message()
                        while let field = try value.next() {
                            if field == 1 { texts[key] = try value.string() }
                        }
                    }
                case 15: isError = true
                default: break
                }
            }
        }

        init(_ service: String, kind: UInt64, id: UInt64, parent: UInt64, isError: Bool = false) {
            self.service = service
            self.kind = kind
            self.id = id
            self.parent = parent
            self.isError = isError
            name = "GET web.shop.svc.cluster.local"
        }

        private static func number(_ bytes: Span<UInt8>) -> UInt64 {
            var number: UInt64 = 0
            for index in bytes.indices { number = number << 8 | UInt64(bytes[index]) }
            return number
        }
    }

    /// The spans of a request from `client` to `web-1`, changed as wanted.
    private func spans(
        isDestinationLocal: Bool = true, method: String = "GET", authority: String = "web:80", path: String = "/a?b=c",
        parent: UInt64 = 9, _ change: (inout RequestRecord) -> Void = { _ in }
    ) throws -> [Decoded] {
        let queue = RequestLogQueue(capacity: 2)
        queue.set(.traces, isOn: true)
        var bytes: [UInt8] = []
        func slice(_ text: String) -> HeadSlice {
            defer { bytes += text.utf8 }
            return HeadSlice(start: UInt16(bytes.count), count: UInt16(text.utf8.count))
        }
        var head = RequestHead()
        head.methodText = slice(method)
        head.path = slice(path)
        head.authority = slice(authority)
        var trace = TraceContext()
        trace.traceLow = 1
        trace.parent = parent
        trace.span = 5
        trace.clientSpan = 6
        trace.isSampled = true
        let fields: [HeadField] = []
        let raw = unsafe bytes.span.bytes
        let client = ClientAddress(high: 0, low: 0xffff_0a00_0001, port: 40000)
        let view = RequestView(
            bytes: raw, head: head, fields: fields.span, path: raw.extracting(head.path.range),
            host: raw.extracting(0..<0), source: 1, client: client)
        let ticket = queue.open(view, local: client, trace: trace)
        var record = RequestRecord()
        record.source = 1
        record.service = 101
        record.destination = 2
        record.status = 200
        record.started = 1_000
        record.ended = 2_000
        change(&record)
        queue.close(ticket, record, client: client, local: client, principal: RawSpan())
        var directory = TestDirectory.shop
        directory.workloads[2]?.isLocal = isDestinationLocal
        var found: [OTLPRecord] = []
        let encoder = SpanEncoder(directory, clock: WallClock(offset: 0), node: "node-a")
        #expect(queue.drain { found += encoder.spans($0) } == 1)
        return try found.map { try Decoded($0) }
    }

    @Test func eachEndIsToldOnceByItsNode() throws {
        let client = try #require(TestDirectory.shop.workload(1)?.canonicalService)
        let server = try #require(TestDirectory.shop.workload(2)?.canonicalService)
        // Both ends are here.
        #expect(
            try spans() == [Decoded(client, kind: 3, id: 6, parent: 9), Decoded(server, kind: 2, id: 5, parent: 6)])
        // A trace that begins here.
        #expect(
            try spans(parent: 0) == [
                Decoded(client, kind: 3, id: 6, parent: 0), Decoded(server, kind: 2, id: 5, parent: 6),
            ])
        // To another node, whose agent may tell the other end as a child of what it was told.
        #expect(try spans(isDestinationLocal: false) == [Decoded(client, kind: 3, id: 5, parent: 9)])
        #expect(try spans { $0.isToTunnel = true } == [Decoded(client, kind: 3, id: 5, parent: 9)])
        // From another node, or from outside.
        #expect(try spans { $0.isInbound = true } == [Decoded(server, kind: 2, id: 5, parent: 9)])
        // Refused before it was known where it goes.
        let refused = try spans {
            $0.destination = 0
            $0.status = 503
            $0.flags = .noHealthyUpstream
            $0.detail = .noHealthyUpstream
        }
        #expect(refused == [Decoded(client, kind: 3, id: 5, parent: 9, isError: true)])
        #expect(refused.first?.texts["error.type"] == "no_healthy_upstream")
        #expect(refused.first?.texts["weft.response_flags"] == "UH")
        let inbound = try spans {
            $0.isInbound = true
            $0.source = 0
            $0.destination = 0
            $0.status = 403
            $0.flags = .unauthorized
        }
        #expect(inbound == [Decoded("web", kind: 2, id: 5, parent: 9, isError: true)])
    }

    @Test func aClientsMistakeIsItsOwnError() throws {
        let found = try spans { $0.status = 404 }
        #expect(found.map(\.isError) == [true, false])
        #expect(found.first?.texts["error.type"] == "404")
    }

    @Test func whatClientsWriteStaysInItsPlace() throws {
        let found = try spans(method: "BREW", authority: "[::1]:8080", path: "/x\u{0}\u{fffd}?secret")
        let span = try #require(found.first)
        #expect(span.name == "HTTP web.shop.svc.cluster.local")
        #expect(span.texts["http.request.method"] == "_OTHER")
        #expect(span.texts["http.request.method_original"] == "BREW")
        #expect(span.texts["server.address"] == "::1")
        #expect(span.texts["url.path"] == "/x\u{0}\u{fffd}")
        #expect(span.texts["network.peer.address"] == nil)
        #expect(found.last?.texts["client.address"] == "10.0.0.1")
    }
}
