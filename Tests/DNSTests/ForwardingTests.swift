import DNS
import Mesh
import Testing

@Suite struct AnswerTests {
    private let question = DNSQuestion("www.example.com")
    private static let opt: [UInt8] = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]
    private static let soa: [UInt8] = [0, 0] + [UInt8](repeating: 0, count: 16) + [0, 0, 0, 33]

    @Test func anAnswerIsPassedOnWithTheClientsIdAndSpelling() throws {
        let bytes = answerBytes(
            question, counts: (2, 0, 1),
            recordBytes([1, 2, 3, 4], ttl: 100) + recordBytes([1, 2, 3, 5], ttl: 50) + Self.opt)
        let answer = try #require(try DNSAnswer(bytes, to: question, id: 7))
        #expect(answer.lifetime == 50)
        let plain = try DNSMessage(answer.message(to: try query("WWW.example.com"), age: 20, limit: 512))
        #expect(plain.id == 0x1234)
        #expect(plain.records.map(\.ttl) == [80, 30])
        #expect(plain.question?.name.description == "WWW.example.com.")
        #expect(plain.records.allSatisfy { $0.name.description == "WWW.example.com." })
        #expect(plain.edns == nil)
        #expect(plain.flags.contains(.recursionAvailable))
        let extended = try DNSMessage(
            answer.message(to: try query("www.example.com", edns: 1232), age: 70, limit: 1232))
        #expect(extended.edns?.payloadSize == 1232)
        #expect(extended.records.map(\.ttl) == [30, 0])
    }

    @Test func anAnswerThatIsTooLongForTheClientIsCut() throws {
        let records = (0..<40).flatMap { recordBytes([1, 2, 3, UInt8($0)]) }
        let answer = try #require(
            try DNSAnswer(answerBytes(question, counts: (40, 0, 0), records), to: question, id: 7))
        let short = try DNSMessage(answer.message(to: try query("www.example.com"), age: 0, limit: 512))
        #expect(short.flags.contains(.truncated) && short.records.isEmpty && short.question == question)
        let long = try DNSMessage(answer.message(to: try query("www.example.com"), age: 0, limit: 65535))
        #expect(!long.flags.contains(.truncated) && long.records.count == 40)
    }

    @Test func whatIsNoAnswerToTheQuestionIsNotTaken() throws {
        let record = recordBytes([1, 2, 3, 4])
        #expect(try DNSAnswer(answerBytes(question, id: 8, record), to: question, id: 7) == nil)
        #expect(try DNSAnswer(answerBytes(question, flags: 0x0100, record), to: question, id: 7) == nil)
        #expect(try DNSAnswer(answerBytes(question, flags: 0x8180 | 4 << 11, record), to: question, id: 7) == nil)
        #expect(try DNSAnswer(answerBytes(DNSQuestion("www.example.org"), record), to: question, id: 7) == nil)
        #expect(try DNSAnswer(answerBytes(DNSQuestion("www.example.com", .aaaa), record), to: question, id: 7) == nil)
        // A server that understood nothing need not repeat the question, but it has nothing else to say then.
        let header: [UInt8] = [0, 7, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(try DNSAnswer(header, to: question, id: 7)?.code == .formatError)
        #expect(try DNSAnswer([0, 7, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0], to: question, id: 7) == nil)
    }

    struct Life: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var flags: UInt16 = 0x8180
        var counts: (UInt8, UInt8, UInt8) = (0, 1, 0)
        var records: [UInt8] = recordBytes(soa, .soa)
        var expected: UInt32?
    }

    static let lives: [Life] = [
        Life(testDescription: "NODATA: the SOA's minimum", expected: 33),
        Life(testDescription: "NXDOMAIN: the SOA's minimum", flags: 0x8183, expected: 33),
        Life(
            testDescription: "negative: the SOA's own TTL if that is less",
            records: recordBytes(soa, .soa, ttl: 5), expected: 5),
        Life(testDescription: "negative without SOA", flags: 0x8183, counts: (0, 0, 0), records: [], expected: nil),
        Life(testDescription: "SOA without numbers", records: recordBytes([0, 0], .soa, ttl: 5), expected: nil),
        Life(testDescription: "server failure", flags: 0x8182, expected: nil),
        Life(testDescription: "truncated", flags: 0x8380, expected: nil),
        Life(
            testDescription: "a long time is cut", counts: (1, 0, 0),
            records: recordBytes([1, 2, 3, 4], .a, ttl: 1_000_000), expected: 3600),
        Life(
            testDescription: "a TTL with the highest bit set is 0 (RFC 2181)", counts: (1, 0, 0),
            records: recordBytes([1, 2, 3, 4], .a, ttl: 1 << 31 | 60), expected: 0),
        Life(
            testDescription: "an alias to nothing is a negative answer", counts: (1, 0, 0),
            records: recordBytes([1, 0x61, 0], .cname, ttl: 60), expected: nil),
    ]

    @Test(arguments: lives) func livesAsLongAsItMay(_ life: Life) throws {
        let bytes = answerBytes(question, flags: life.flags, counts: life.counts, life.records)
        #expect(try #require(try DNSAnswer(bytes, to: question, id: 7)).lifetime == life.expected)
    }
}

@Suite struct CacheTests {
    private func key(_ name: String, security: Bool = false) -> DNSCache.Key {
        DNSCache.Key(question: DNSQuestion(name), wantsSecurity: security, checkingDisabled: false)
    }

    private func answer(_ name: String, ttl: UInt32 = 10) throws -> DNSAnswer {
        let bytes = answerBytes(DNSQuestion(name), recordBytes([1, 2, 3, 4], ttl: ttl))
        return try #require(try DNSAnswer(bytes, to: DNSQuestion(name), id: 7))
    }

    private let second: UInt64 = 1_000_000_000

    @Test func anAnswerIsThereUntilItsTimeIsOver() throws {
        var cache = DNSCache()
        cache.insert(try answer("a"), for: key("a"), now: 5 * second)
        #expect(cache.lookup(key("A"), now: 5 * second)?.age == 0)
        #expect(cache.lookup(key("a"), now: 14 * second)?.age == 9)
        #expect(cache.lookup(key("a", security: true), now: 5 * second) == nil)
        #expect(cache.lookup(key("b"), now: 5 * second) == nil)
        #expect(cache.lookup(key("a"), now: 15 * second) == nil)
        #expect(cache.count == 0)
        cache.insert(try answer("zero", ttl: 0), for: key("zero"), now: 0)
        #expect(cache.count == 0)
    }

    @Test func theOneThatWasNotUsedForLongestMakesRoom() throws {
        var cache = DNSCache(capacity: 3)
        for name in ["a", "b", "c"] { cache.insert(try answer(name), for: key(name), now: 0) }
        #expect(cache.lookup(key("a"), now: 1) != nil)
        cache.insert(try answer("c"), for: key("c"), now: 2)
        cache.insert(try answer("d"), for: key("d"), now: 3)
        #expect(cache.lookup(key("b"), now: 4) == nil)
        #expect(["a", "c", "d"].allSatisfy { cache.lookup(key($0), now: 4) != nil })
        #expect(cache.count == 3)
        cache.removeAll()
        #expect(cache.count == 0 && cache.lookup(key("a"), now: 4) == nil)
    }

    @Test func manyAnswersNeverExceedTheCapacity() throws {
        var cache = DNSCache(capacity: 50)
        for number in 0..<2000 {
            let name = "n\(number % 117)"
            cache.insert(try answer(name), for: key(name), now: UInt64(number))
            #expect(cache.count <= 50)
            #expect(cache.lookup(key(name), now: UInt64(number)) != nil)
            if number % 7 == 0 { _ = cache.lookup(key("n\(number % 50)"), now: 20 * second) }
        }
    }
}

@Suite struct ResolverConfigurationTests {
    @Test func nameserversAreReadAndWeftItselfIsNot() {
        let text = """
            # comment
            ; another
            search shop.svc.cluster.local example.org
            nameserver 10.0.0.2
            nameserver   127.0.0.1
            nameserver\t2001:db8::53
            nameserver 10.0.0.2
            nameserver fe80::1%eth0
            nameserver nonsense
            nameserver
            options ndots:5
            """
        let configuration = ResolverConfiguration(resolvConf: text) { $0.description == "127.0.0.1:53" }
        #expect(configuration.servers.map(\.description) == ["10.0.0.2:53", "[2001:db8::53]:53"])
    }

    @Test(arguments: [
        ("10.0.0.2", "10.0.0.2:53"), ("10.0.0.2:5353", "10.0.0.2:5353"), ("::1", "[::1]:53"),
        ("[::1]:5353", "[::1]:5353"), ("10.0.0.2:0", nil), ("10.0.0.2:x", nil), ("host", nil), ("", nil),
        ("[::1]", nil), ("::1:99999", nil), ("10.0.0.2:65536", nil),
    ])
    func upstreamsAreParsed(text: String, expected: String?) { #expect(DNSUpstream(text)?.description == expected) }
}
