import DNS
import Mesh
import Testing

@Suite struct MessageTests {
    @Test func aQueryIsRead() throws {
        let query = try query("Web.Shop", .aaaa, edns: 4096)
        #expect(query.id == 0x1234)
        #expect(query.question == DNSQuestion("web.shop", .aaaa))
        #expect(query.question.name.description == "Web.Shop.")
        #expect(query.question.name.labels == ["web", "shop"])
        #expect(query.flags.contains(.recursionDesired))
        #expect(query.edns?.payloadSize == 4096)
    }

    @Test(arguments: [(nil, 512), (0, 512), (512, 512), (1000, 1000), (1232, 1232), (65535, 1232)] as [(UInt16?, Int)])
    func datagramsAreAsLongAsTheClientTakesAndPathsCarry(edns: UInt16?, limit: Int) throws {
        #expect(try query("a", edns: edns).payloadLimit == limit)
    }

    /// What is written can be read, and says the same.
    @Test func everyKindOfRecordSurvivesTheWire() throws {
        let query = try query("_http._tcp.Web.shop.svc.cluster.local", .srv, edns: 1232)
        let name = query.question.name
        let host = try #require(DNSName("web.shop.svc.cluster.local"))
        let v4 = try #require(IPAddress("10.96.0.10"))
        let v6 = try #require(IPAddress("fd00::10"))
        let bytes = DNSWriter.response(
            to: query, .noError, isAuthoritative: true,
            answers: [
                DNSRecord(name: name, ttl: 10, value: .srv(priority: 0, weight: 5, port: 80, target: host)),
                DNSRecord(name: name, ttl: 10, value: .ptr(host)),
            ],
            authority: MeshZone(MeshSnapshot(generation: 77)).authority,
            additional: [
                DNSRecord(name: host, ttl: 20, value: .address(v4)),
                DNSRecord(name: host, ttl: 30, value: .address(v6)),
            ], limit: 1232)
        let message = try DNSMessage(bytes)
        #expect(message.id == query.id)
        #expect(message.code == .noError)
        #expect(message.flags.isSuperset(of: [.response, .authoritative, .recursionDesired, .recursionAvailable]))
        #expect(!message.flags.contains(.truncated))
        #expect(message.question == query.question)
        #expect(message.records.map(\.type) == [.srv, .ptr, .soa, .a, .aaaa])
        #expect(message.records.map(\.ttl) == [10, 10, 10, 20, 30])
        #expect(message.records.map(\.section) == [.answer, .answer, .authority, .additional, .additional])
        #expect(message.records[0].name == name && message.records[3].name == host)
        #expect(Array(bytes[message.records[0].data]) == [0, 0, 0, 5, 0, 80] + host.wire)
        #expect(Array(bytes[message.records[3].data]) == [10, 96, 0, 10])
        #expect(Array(bytes[message.records[4].data]) == v6.bytes)
        #expect(message.edns?.payloadSize == 1232)
        // The name is spelled as it was asked.
        #expect(bytes[12...].starts(with: name.wire))
    }

    @Test func anAnswerThatDoesNotFitSaysSo() throws {
        let query = try query("web", .a)
        let records = (0..<100).map {
            DNSRecord(name: query.question.name, ttl: 1, value: .address(IPAddress(v4: 10, 0, 0, UInt8($0))))
        }
        let short = try DNSMessage(DNSWriter.response(to: query, .noError, answers: records, limit: 512))
        #expect(short.flags.contains(.truncated))
        // 12 bytes of header, 9 of question, 16 for each record.
        #expect(short.records.count == (512 - 21) / 16)
        let long = try DNSMessage(DNSWriter.response(to: query, .noError, answers: records, limit: 65535))
        #expect(!long.flags.contains(.truncated) && long.records.count == 100)
        // Additional records that do not fit are left out without a word.
        let full = try DNSMessage(
            DNSWriter.response(
                to: query, .noError, answers: Array(records[..<30]), additional: Array(records[30...]), limit: 512))
        #expect(!full.flags.contains(.truncated) && full.records.count == 30)
    }

    @Test func anExtendedCodeNeedsTheOPTRecord() throws {
        let query = try query("web", .a, edns: 1232)
        let message = try DNSMessage(DNSWriter.response(to: query, .badVersion, limit: 512))
        #expect(message.code == .badVersion && message.flags.rawValue & 0xf == 0)
    }

    @Test func namesAreEqualInAnyCaseAndOnlyThen() throws {
        let a = try #require(DNSName("WEB.Shop"))
        let b = try #require(DNSName("web.shop."))
        #expect(a == b && a.hashValue == b.hashValue)
        #expect(a != DNSName("web.shop.svc"))
        #expect(DNSName("a..b") == nil && DNSName(String(repeating: "a", count: 64)) == nil)
        #expect(DNSName(Array(repeating: String(repeating: "a", count: 63), count: 4).joined(separator: ".")) == nil)
        #expect(DNSName("")?.wire == [0])
        // Not a letter: [ is @ + 0x1b, { is its "lower case".
        #expect(DNSName("[") != DNSName("{"))
    }
}

/// Bytes from an enemy. Each is refused with the right answer, or not answered, and nothing else happens.
@Suite struct HostileMessageTests {
    enum Expected: Sendable { case ignored, formatError, notImplemented }

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        var expected: Expected

        init(_ name: String, _ bytes: [UInt8], _ expected: Expected) {
            testDescription = name
            self.bytes = bytes
            self.expected = expected
        }
    }

    private static func header(
        flags: UInt16 = 0x0100, _ questions: UInt16 = 1, _ answers: UInt16 = 0, _ authorities: UInt16 = 0,
        _ additional: UInt16 = 0
    ) -> [UInt8] {
        [0x12, 0x34]
            + [flags, questions, answers, authorities, additional].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
    }

    private static let aIN: [UInt8] = [0, 1, 0, 1]
    private static let opt: [UInt8] = [0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]

    static let cases: [Case] = [
        Case("nothing", [], .ignored),
        Case("half a header", Array(header().prefix(11)), .ignored),
        Case("an answer", header(flags: 0x8180) + [0] + aIN, .ignored),
        Case("no question", header(0), .formatError),
        Case("two questions", header(2) + [0] + aIN + [0] + aIN, .formatError),
        Case("65535 questions", header(65535) + [0] + aIN, .formatError),
        Case("a question that is missing", header(), .formatError),
        Case("a name without an end", header() + [3, 0x77, 0x77], .formatError),
        Case("a name that ends the message", header() + [1, 0x61], .formatError),
        Case("a type that is missing", header() + [1, 0x61, 0, 0], .formatError),
        Case("bytes behind the message", header() + [0] + aIN + [0], .formatError),
        Case("a pointer to itself", header() + [0xc0, 12] + aIN, .formatError),
        Case("a pointer forwards", header() + [0xc0, 18] + aIN + [0], .formatError),
        Case("a pointer into the header", header() + [0xc0, 2] + aIN, .formatError),
        Case("half a pointer", header() + [0xc0], .formatError),
        Case(
            "pointers to each other", header(1, 0, 0, 1) + [1, 0x61, 0xc0, 14] + aIN, .formatError),
        Case("a label that points to its own name", header() + [1, 0x61, 0xc0, 12] + aIN, .formatError),
        Case("a label of kind 01", header() + [0x41, 0x61, 0] + aIN, .formatError),
        Case("a label of kind 10", header() + [0x81, 0x61, 0] + aIN, .formatError),
        Case(
            "a name of 256 bytes",
            header() + (0..<4).flatMap { _ in [63] + [UInt8](repeating: 0x61, count: 63) } + [0] + aIN, .formatError),
        Case("records that are missing", header(1, 0, 0, 65535) + [0] + aIN, .formatError),
        Case("an answer in a query", header(1, 1) + [1, 0x61, 0] + aIN + recordBytes([1, 2, 3, 4]), .formatError),
        Case(
            "data that is longer than the message",
            header(1, 0, 0, 1) + [0] + aIN + [0, 0, 41, 4, 0, 0, 0, 0, 0, 0xff, 0xff], .formatError),
        Case("two OPT records", header(1, 0, 0, 2) + [0] + aIN + opt + opt, .formatError),
        Case("an OPT record with a name", header(1, 0, 0, 1) + [0] + aIN + [1, 0x61] + opt, .formatError),
        Case("an OPT record in the answer", header(1, 1) + [0] + aIN + opt, .formatError),
        Case("opcode IQUERY", header(flags: 1 << 11) + [0] + aIN, .notImplemented),
        Case("opcode NOTIFY", header(flags: 4 << 11) + [0] + aIN, .notImplemented),
        Case("opcode UPDATE", header(flags: 5 << 11) + [0] + [0, 6, 0, 1], .notImplemented),
    ]

    @Test(arguments: cases) func isRefused(_ one: Case) throws {
        do {
            _ = try DNSQuery(one.bytes)
            Issue.record("it was taken")
        } catch .ignore {
            #expect(one.expected == .ignored)
        } catch .answer(let bytes) {
            let code = bytes[3] & 0xf
            #expect(one.expected == (code == 1 ? .formatError : code == 4 ? .notImplemented : .ignored))
            #expect(bytes.count == 12 && bytes[2] & 0x80 == 0x80)
            #expect(Array(bytes[..<2]) == Array(one.bytes[..<2]))
        }
    }

    /// A chain of pointers, each to the one before: as long as a message can hold, and its names still end.
    @Test func aLongChainOfPointersEnds() throws {
        var bytes = Self.header(1, 0, 0, 1000) + [1, 0x61, 0] + Self.aIN
        var last = 12
        for _ in 0..<1000 {
            let start = bytes.count
            bytes += recordBytes([], owner: [0xc0 | UInt8(last >> 8), UInt8(last & 0xff)])
            last = start
        }
        let message = try DNSMessage(bytes)
        #expect(message.records.count == 1000)
        #expect(message.records.allSatisfy { $0.name == DNSName("a") })
    }

    /// Whatever bit of a message is turned over, it is read or refused.
    @Test func noTurnedBitDoesHarm() throws {
        let question = DNSQuestion("web.shop.svc", .srv)
        let whole = answerBytes(
            question, counts: (2, 1, 1),
            recordBytes([1, 2, 3, 4]) + recordBytes([0xc0, 12], .cname, owner: [0xc0, 16])
                + recordBytes([0, 0] + [UInt8](repeating: 1, count: 20), .soa) + Self.opt)
        #expect(try DNSAnswer(whole, to: question, id: 7) != nil)
        var taken = 0
        for bit in 0..<(8 * whole.count) {
            var bytes = whole
            bytes[bit / 8] ^= 1 << (bit % 8)
            if let answer = try? DNSAnswer(bytes, to: question, id: 7) {
                taken += 1
                #expect(answer.message(to: try query("web.shop.svc", .srv), age: 3, limit: 512).count <= 512)
            }
            _ = try? DNSQuery(bytes)
        }
        for count in 0..<whole.count { #expect((try? DNSAnswer(Array(whole[..<count]), to: question, id: 7)) == nil) }
        #expect(taken > 0)
    }
}
