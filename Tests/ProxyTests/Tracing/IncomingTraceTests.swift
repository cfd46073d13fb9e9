import Testing

@testable import Proxy

/// What requests say of traces: exactly what the specifications allow counts, everything else is as if it were not there.
@Suite struct IncomingTraceTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let span = "00f067aa0ba902b7"

    /// What is made of a head with these fields.
    private func incoming(_ fields: [String]) throws -> IncomingTrace {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n" + fields.map { "\($0)\r\n" }.joined() + "\r\n"
        let bytes = Array(text.utf8)
        let raw = unsafe bytes.span.bytes
        var head = RequestHead()
        var progress = HeadProgress()
        var reader = RequestReader()
        let step = RequestParser.parse(raw, progress: &progress, head: &head, fields: &reader.fields)
        try #require(step == .complete)
        return IncomingTrace(
            reader.view(head, raw, source: 0, client: ClientAddress(high: 0, low: 0, port: 0)))
    }

    private func describe(_ found: IncomingTrace) -> String {
        guard found.hasTrace else { return "- \(found.sampling)" }
        func hex(_ value: UInt64) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return "\(hex(found.traceHigh))\(hex(found.traceLow)) \(hex(found.span)) \(found.sampling)"
    }

    /// https://www.w3.org/TR/trace-context-1/#traceparent-header
    @Test(
        arguments: [
            ("00-\(trace)-\(span)-01", "\(trace) \(span) sampled"),
            ("00-\(trace)-\(span)-00", "\(trace) \(span) unsampled"),
            // Other flags say nothing.
            ("00-\(trace)-\(span)-02", "\(trace) \(span) unsampled"),
            ("00-\(trace)-\(span)-ff", "\(trace) \(span) sampled"),
            // Later versions may have more behind a dash.
            ("01-\(trace)-\(span)-01", "\(trace) \(span) sampled"),
            ("cc-\(trace)-\(span)-01-what-comes-then", "\(trace) \(span) sampled"),
            ("cc-\(trace)-\(span)-01-", "\(trace) \(span) sampled"),
            ("cc-\(trace)-\(span)-01.what", "- undecided"),
            ("00-\(trace)-\(span)-01-", "- undecided"),
            ("00-\(trace)-\(span)-01-more", "- undecided"),
            ("ff-\(trace)-\(span)-01", "- undecided"),
            // Upper case, zeros, lengths, other letters.
            ("00-\(trace.uppercased())-\(span)-01", "- undecided"),
            ("00-\(trace)-\(span.uppercased())-01", "- undecided"),
            ("00-\(trace)-\(span)-0A", "- undecided"),
            ("0A-\(trace)-\(span)-01", "- undecided"),
            ("00-00000000000000000000000000000000-\(span)-01", "- undecided"),
            ("00-\(trace)-0000000000000000-01", "- undecided"),
            ("00-\(trace.dropLast())-\(span)-01", "- undecided"),
            ("00-\(trace)0-\(span)-01", "- undecided"),
            ("00-\(trace)-\(span.dropLast())-01", "- undecided"),
            ("00-\(trace)-\(span)-1", "- undecided"),
            ("00-\(trace)-\(span)", "- undecided"),
            ("00_\(trace)_\(span)_01", "- undecided"),
            ("00-\(trace.dropLast())g-\(span)-01", "- undecided"),
            ("00-\(trace.dropLast())\u{e9}-\(span)-01", "- undecided"),
            (".0-\(trace)-\(span)-01", "- undecided"),
            ("", "- undecided"), ("0", "- undecided"), ("00-", "- undecided"),
            (String(repeating: "0", count: 5000), "- undecided"),
        ] as [(String, String)])
    func traceparent(value: String, expected: String) throws {
        #expect(describe(try incoming(["traceparent: \(value)"])) == expected)
        let isValid = expected.first != "-"
        #expect(try incoming(["TraceParent:\(value) \t"]).formats == (isValid ? .w3c : []))
        // Two of them contradict each other even when they are the same.
        #expect(try !incoming(["traceparent: \(value)", "Traceparent: \(value)"]).hasTrace)
    }

    /// https://github.com/openzipkin/b3-propagation#single-header
    @Test(
        arguments: [
            ("\(trace)-\(span)-1", "\(trace) \(span) sampled"),
            ("\(trace)-\(span)-0", "\(trace) \(span) unsampled"),
            ("\(trace)-\(span)-d", "\(trace) \(span) debug"),
            ("\(trace)-\(span)", "\(trace) \(span) undecided"),
            ("\(trace)-\(span)-1-05e3ac9a4f6e3b90", "\(trace) \(span) sampled"),
            ("a3ce929d0e0e4736-\(span)-1", "0000000000000000a3ce929d0e0e4736 \(span) sampled"),
            ("0", "- unsampled"), ("1", "- sampled"), ("d", "- debug"),
            ("2", "- undecided"), ("", "- undecided"), ("true", "- undecided"),
            ("\(trace)-\(span)-", "- undecided"), ("\(trace)-\(span)-2", "- undecided"),
            ("\(trace)-\(span)-1-", "- undecided"), ("\(trace)-\(span)-1-05e3ac9a4f6e3b9", "- undecided"),
            ("\(trace)-\(span)-1-05e3ac9a4f6e3b900", "- undecided"), ("\(trace)-\(span)-11", "- undecided"),
            ("\(trace)-\(span)-1-05e3ac9a4f6e3b9x", "- undecided"),
            ("\(trace.uppercased())-\(span)-1", "- undecided"),
            ("00000000000000000000000000000000-\(span)-1", "- undecided"),
            ("\(trace)-0000000000000000-1", "- undecided"),
            ("\(trace)-\(span.dropLast())-1", "- undecided"), ("\(trace)\(span)-1", "- undecided"),
            ("\(trace.dropLast())-\(span)-1", "- undecided"), ("\(trace)", "- undecided"),
            (String(repeating: "-", count: 60), "- undecided"),
        ] as [(String, String)])
    func b3(value: String, expected: String) throws {
        #expect(describe(try incoming(["b3: \(value)"])) == expected)
        #expect(try incoming(["b3: \(value)"]).formats == (expected == "- undecided" ? [] : .b3))
    }

    /// https://github.com/census-instrumentation/opencensus-specs/blob/master/encodings/BinaryEncoding.md
    @Test(
        arguments: [
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", "\(trace) \(span) sampled"),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE", "\(trace) \(span) sampled"),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgA", "\(trace) \(span) unsampled"),
            // Without options, and with fields of later versions behind them.
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3", "\(trace) \(span) unsampled"),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgEDAQID", "\(trace) \(span) sampled"),
            // Another version, another order, no trace, no span, cut, other characters.
            ("AQBL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", "- undecided"),
            ("AAEA8GeqC6kCtwBL+S81d7NNpqPOkp0ODkc2AgE=", "- undecided"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAQDwZ6oLqQK3AgE=", "- undecided"),
            ("AABL+S81d7NNpqPOkp0ODkc2AQAAAAAAAAAAAgE=", "- undecided"),
            ("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQ", "- undecided"),
            ("AABL-S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", "- undecided"),
            ("AABL=S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", "- undecided"),
            ("", "- undecided"), ("=", "- undecided"), (String(repeating: "A", count: 5000), "- undecided"),
        ] as [(String, String)])
    func openCensus(value: String, expected: String) throws {
        #expect(describe(try incoming(["Grpc-Trace-Bin: \(value)"])) == expected)
        #expect(try incoming(["grpc-trace-bin: \(value)"]).formats == (expected.first == "-" ? [] : .openCensus))
        #expect(try !incoming(["grpc-trace-bin: \(value)", "grpc-trace-bin: \(value)"]).hasTrace)
        // Others say it better.
        let other = "00-\(String(Self.trace.reversed()))-\(Self.span)-00"
        let both = try incoming(["grpc-trace-bin: \(value)", "traceparent: \(other)"])
        #expect(describe(both) == "\(String(Self.trace.reversed())) \(Self.span) unsampled")
    }

    /// https://github.com/openzipkin/b3-propagation#multiple-headers
    @Test(
        arguments: [
            (["traceid: \(trace)", "spanid: \(span)", "sampled: 1"], "\(trace) \(span) sampled"),
            (["TraceId: \(trace)", "SpanId: \(span)", "Sampled: 0"], "\(trace) \(span) unsampled"),
            (
                ["traceid: \(trace)", "spanid: \(span)", "parentspanid: 05e3ac9a4f6e3b90", "sampled: true"],
                "\(trace) \(span) sampled"
            ),
            (["traceid: \(trace)", "spanid: \(span)", "flags: 1"], "\(trace) \(span) debug"),
            (["traceid: \(trace)", "spanid: \(span)", "flags: 0", "sampled: 1"], "\(trace) \(span) sampled"),
            (["traceid: \(trace)", "spanid: \(span)"], "\(trace) \(span) undecided"),
            (["traceid: a3ce929d0e0e4736", "spanid: \(span)"], "0000000000000000a3ce929d0e0e4736 \(span) undecided"),
            (["sampled: 0"], "- unsampled"), (["sampled: 1"], "- sampled"), (["flags: 1"], "- debug"),
            (["sampled: 2"], "- undecided"), (["flags: 2"], "- undecided"),
            (["traceid: \(trace)", "sampled: 1"], "- undecided"), (["spanid: \(span)", "sampled: 1"], "- undecided"),
            (["traceid: \(trace)", "traceid: \(trace)", "spanid: \(span)"], "- undecided"),
            (["traceid: \(trace)", "spanid: \(span)", "spanid: 05e3ac9a4f6e3b90"], "- undecided"),
            (["traceid: \(trace)0", "spanid: \(span)"], "- undecided"),
            (["traceid: \(trace)", "spanid: \(span)0"], "- undecided"),
            (["traceid: \(trace.uppercased())", "spanid: \(span)"], "- undecided"),
            (["traceid: 00000000000000000000000000000000", "spanid: \(span)"], "- undecided"),
            (["traceid:", "spanid:"], "- undecided"),
        ] as [([String], String)])
    func b3Multi(fields: [String], expected: String) throws {
        let found = try incoming(fields.map { "x-b3-\($0)" })
        #expect(describe(found) == expected)
        #expect(found.formats == (expected == "- undecided" ? [] : .b3Multi))
    }

    /// traceparent first, then b3, then x-b3-*; all that are valid are answered in.
    @Test func severalFormatsHaveAnOrder() throws {
        let other = "80f198ee56343ba864fe8b2a57d3eff7"
        let multi = ["X-B3-TraceId: \(other)", "X-B3-SpanId: \(Self.span)", "X-B3-Sampled: 0"]
        let all = try incoming(
            multi + ["b3: \(other)-\(Self.span)-d", "traceparent: 00-\(Self.trace)-\(Self.span)-01"])
        #expect(describe(all) == "\(Self.trace) \(Self.span) sampled")
        #expect(all.formats == [.w3c, .b3, .b3Multi])
        let b3 = try incoming(multi + ["b3: \(Self.trace)-\(Self.span)-d", "traceparent: nonsense"])
        #expect(describe(b3) == "\(Self.trace) \(Self.span) debug")
        #expect(b3.formats == [.b3, .b3Multi])
        // A sampling state alone does not stand in the way of a trace.
        let state = try incoming(multi + ["b3: 1"])
        #expect(describe(state) == "\(other) \(Self.span) unsampled")
        #expect(try describe(incoming(["accept: */*"])) == "- undecided")
    }

    private static func long(_ letter: Character, _ count: Int) -> String { String(repeating: letter, count: count) }

    private static let goodStates: [[String]] = [
        ["congo=t61rcWkgMzE"], ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], ["rojo=1 , \t congo=2"],
        ["a=1", "b=2", ""], ["a=1,,b=2,"], ["fw529a3039@dt=FfAAAAAAAA~/"], ["0tenant@v=1"], ["a_b-c*d/e=!~ x"],
        ["a=1;b"], [long("k", 256) + "=" + long("v", 256)], [long("k", 241) + "@" + long("s", 14) + "=v"],
        [(0..<32).map { "k\($0)=v" }.joined(separator: ",")],
    ]

    private static let badStates: [[String]] = [
        [long("k", 257) + "=v"], ["k=" + long("v", 257)], [long("k", 242) + "@s=v"], ["k@" + long("s", 15) + "=v"],
        ["k@0=v"], ["@a=v"], ["a@=v"], ["A=1"], ["0a=1"], ["a"], ["=1"], ["a="], ["a=b=c"], ["a b=1"], ["a=\u{e9}"],
        ["a=1;b=2"],
        ["a=1", "B=2"], [(0..<33).map { "k\($0)=v" }.joined(separator: ",")], (0..<33).map { "k\($0)=v" },
        [long("x", 20_000)],
    ]

    /// https://www.w3.org/TR/trace-context-1/#tracestate-header
    @Test(arguments: goodStates.map { ($0, true) } + badStates.map { ($0, false) })
    func tracestate(values: [String], isKept: Bool) throws {
        let fields = values.map { "tracestate: \($0)" }
        let parent = "traceparent: 00-\(Self.trace)-\(Self.span)-01"
        #expect(try incoming(fields + [parent]).keepsState == isKept)
        // The trace is believed all the same; without one the state is nobody's.
        #expect(try incoming(fields + [parent]).hasTrace)
        #expect(try !incoming(fields).keepsState)
        #expect(try !incoming(fields + ["b3: \(Self.trace)-\(Self.span)-1"]).keepsState)
    }

    /// Anything at all: there is an answer, and what is taken for a trace is one.
    @Test func hostileBytesAreHarmless() throws {
        var random = RandomBits(seed: 7)
        let seeds = ["00-\(Self.trace)-\(Self.span)-01", "\(Self.trace)-\(Self.span)-1-\(Self.span)", "a=b,c@d=e,"]
        for round in 0..<30_000 {
            var bytes = Array(seeds[round % seeds.count].utf8)
            for _ in 0..<Int(random.next() % 3) + 1 {
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1 where bytes.count > 1: bytes.remove(at: place)
                default: bytes.insert(UInt8(ascii: "-"), at: place)
                }
            }
            let text = unsafe bytes.span.bytes
            for found in [IncomingTrace.w3c(text), IncomingTrace.b3(text)] {
                if let found, found.hasTrace { #expect(found.span != 0) }
            }
            var members = 0
            _ = TraceState.isValid(text, &members)
            #expect(members <= 33)
        }
    }
}
