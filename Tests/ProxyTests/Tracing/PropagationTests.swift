import Foundation
import Mesh
import Testing

@testable import Proxy

/// What a backend gets to know of a request's trace, and what is left for the spans.
@Suite struct PropagationTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let span = "00f067aa0ba902b7"
    private static let parent = "traceparent: 00-\(trace)-\(span)-01\r\n"

    /// A proxy before a server that answers with the head of the request.
    private struct Echo {
        let backend = TestBackend(answering: { head in
            "HTTP/1.1 200 OK\r\nContent-Length: \(head.utf8.count)\r\n\r\n\(head)"
        })
        let proxy: TestProxy

        init(_ tracing: TracingOptions?, rule: (inout HTTPRule) -> Void = { _ in }) throws {
            var options = ProxyOptions()
            options.tracing = tracing
            proxy = try TestProxy(to: [backend.port], options: options, rule: rule)
        }

        /// The fields that the backend gets, by their names in lower case, in their order.
        func forwarded(_ fields: String = "") -> [(name: String, value: String)] {
            let answer = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\n\(fields)Connection: close\r\n\r\n")
            let head = answer.components("\r\n\r\n")[1]
            return head.components("\r\n").dropFirst().map {
                let parts = $0.components(": ")
                return (parts[0].lowercased(), parts.dropFirst().joined(separator: ": "))
            }
        }

        func values(_ name: String, _ fields: String = "") -> [String] {
            forwarded(fields).filter { $0.name == name }.map(\.value)
        }
    }

    private static func options(_ ratio: Double, _ formats: TraceFormats = []) -> TracingOptions {
        var options = TracingOptions()
        options.ratio = ratio
        options.formats = formats
        return options
    }

    private static func isHexadecimal(_ text: some StringProtocol, _ count: Int) -> Bool {
        text.count == count && text.allSatisfy { "0123456789abcdef".contains($0) } && text.contains { $0 != "0" }
    }

    @Test func withoutTracingWhatARequestSaysOfTracesIsPassedOn() throws {
        let echo = try Echo(nil)
        let said = "Traceparent: no-such-trace\r\ntracestate: A\r\nB3: x\r\nX-B3-TraceId: 1\r\n"
        let got = echo.forwarded(said)
        #expect(got.first { $0.name == "traceparent" }?.value == "no-such-trace")
        #expect(got.first { $0.name == "tracestate" }?.value == "A")
        #expect(got.first { $0.name == "b3" }?.value == "x")
        #expect(got.first { $0.name == "x-b3-traceid" }?.value == "1")
        #expect(echo.values("traceparent").isEmpty)
    }

    @Test func aTraceGoesOnWithANewSpan() throws {
        let echo = try Echo(Self.options(0))
        for flags in ["00", "01"] {
            let said = "traceparent: 00-\(Self.trace)-\(Self.span)-\(flags)\r\ntracestate: a=1\r\nTraceState: b=2\r\n"
            let got = echo.forwarded(said)
            let parts = got.first { $0.name == "traceparent" }?.value.split(separator: "-") ?? []
            try #require(parts.count == 4)
            #expect(parts[0] == "00" && parts[1] == Self.trace && parts[3] == flags)
            #expect(Self.isHexadecimal(parts[2], 16) && parts[2] != Self.span)
            #expect(got.filter { $0.name == "tracestate" }.map(\.value) == ["a=1", "b=2"])
            #expect(got.filter { $0.name == "traceparent" }.count == 1)
        }
    }

    @Test func whatIsNoTraceBeginsANewOne() throws {
        let echo = try Echo(Self.options(1))
        var traces: Set<Substring> = []
        for said in ["", "traceparent: 00-\(Self.trace)-\(Self.span)-1\r\ntracestate: a=1\r\n", "b3: x\r\n"] {
            let got = echo.forwarded(said)
            let parts = got.first { $0.name == "traceparent" }?.value.split(separator: "-") ?? []
            try #require(parts.count == 4)
            #expect(Self.isHexadecimal(parts[1], 32) && Self.isHexadecimal(parts[2], 16) && parts[3] == "01")
            #expect(parts[1] != Self.trace)
            #expect(!got.contains { $0.name == "tracestate" || $0.name == "b3" })
            traces.insert(parts[1])
        }
        #expect(traces.count == 3)
    }

    @Test func b3IsAnsweredInB3() throws {
        let echo = try Echo(Self.options(0))
        let single = echo.forwarded("b3: \(Self.trace)-\(Self.span)-1-05e3ac9a4f6e3b90\r\n")
        let value = try #require(single.first { $0.name == "b3" }?.value)
        #expect(value.hasPrefix("\(Self.trace)-") && value.hasSuffix("-1") && value.count == 51)
        #expect(!value.contains(Self.span))
        #expect(!single.contains { $0.name == "traceparent" })
        let short = echo.values("b3", "b3: a3ce929d0e0e4736-\(Self.span)-d\r\n")
        #expect(short.first?.hasPrefix("a3ce929d0e0e4736-") ?? false)
        #expect(short.first?.hasSuffix("-d") ?? false)
        let multi = echo.forwarded(
            "X-B3-TraceId: \(Self.trace)\r\nX-B3-SpanId: \(Self.span)\r\nX-B3-ParentSpanId: \(Self.span)\r\n"
                + "X-B3-Sampled: 0\r\n")
        #expect(multi.filter { $0.name == "x-b3-traceid" }.map(\.value) == [Self.trace])
        let spans = multi.filter { $0.name == "x-b3-spanid" }.map(\.value)
        #expect(spans.count == 1 && spans != [Self.span])
        #expect(multi.filter { $0.name == "x-b3-sampled" }.map(\.value) == ["0"])
        #expect(!multi.contains { $0.name == "x-b3-parentspanid" || $0.name == "b3" })
        #expect(echo.values("x-b3-flags", "x-b3-flags: 1\r\n") == ["1"])
    }

    @Test func openCensusIsAnsweredInItsBinaryForm() throws {
        let echo = try Echo(Self.options(0))
        let got = echo.forwarded("grpc-trace-bin: AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=\r\n")
        let values = got.filter { $0.name == "grpc-trace-bin" }.map(\.value)
        let value = try #require(values.first)
        #expect(values.count == 1 && value.count == 39)
        let bytes = [UInt8](try #require(Data(base64Encoded: value + "=")))
        try #require(bytes.count == 29)
        #expect(bytes[..<2] == [0, 0] && bytes[18] == 1 && bytes[27...] == [2, 1])
        #expect(bytes[2..<18].map { TraceContext.digits($0) }.joined() == Self.trace)
        #expect(bytes[19..<27].map { TraceContext.digits($0) }.joined() != Self.span)
        #expect(!got.contains { $0.name == "traceparent" })
    }

    @Test func formatsCanBeAskedFor() throws {
        let echo = try Echo(Self.options(1, [.b3, .b3Multi]))
        let fresh = echo.forwarded()
        #expect(!fresh.contains { $0.name == "traceparent" })
        let trace = fresh.first { $0.name == "x-b3-traceid" }?.value ?? ""
        #expect(fresh.first { $0.name == "b3" }?.value.hasPrefix("\(trace)-") ?? false)
        let known = echo.forwarded(Self.parent)
        #expect(known.contains { $0.name == "traceparent" } && known.contains { $0.name == "b3" })
        #expect(known.first { $0.name == "x-b3-traceid" }?.value == Self.trace)
    }

    @Test func headersForceASampleAndRatiosAreKept() throws {
        let never = try Echo(Self.options(0))
        #expect(never.values("traceparent").first?.hasSuffix("-00") ?? false)
        #expect(never.values("traceparent", "X-Envoy-Force-Trace: true\r\n").first?.hasSuffix("-01") ?? false)
        // Whoever has decided before is believed.
        let unsampled = "traceparent: 00-\(Self.trace)-\(Self.span)-00\r\nx-envoy-force-trace: 1\r\n"
        #expect(never.values("traceparent", unsampled).first?.hasSuffix("-00") ?? false)
        var half = Tracing(
            {
                var options = ProxyOptions()
                options.tracing = Self.options(0.25)
                return options
            }())
        let head = RequestHead()
        let none: [HeadField] = []
        let bytes: [UInt8] = []
        let view = unsafe RequestView(
            bytes: bytes.span.bytes, head: head, fields: none.span, path: bytes.span.bytes, host: bytes.span.bytes,
            source: 0, client: ClientAddress(high: 0, low: 0, port: 0))
        var sampled = 0
        for _ in 0..<40_000 where half.trace(of: view).isSampled { sampled += 1 }
        // Ten standard deviations.
        #expect(abs(sampled - 10_000) < 870)
    }

    @Test func requestsGetAnIdentifierAndKeepTheirOwn() throws {
        let echo = try Echo(nil)
        #expect(echo.values("x-request-id", "X-Request-Id: mine\r\n") == ["mine"])
        let made = [echo.values("x-request-id"), echo.values("x-request-id")].flatMap { $0 }
        #expect(Set(made).count == 2)
        for text in made {
            let parts = text.split(separator: "-")
            #expect(parts.map(\.count) == [8, 4, 4, 4, 12])
            #expect(parts[2].first == "4" && "89ab".contains(parts[3].first ?? " "))
        }
        let set = try Echo(nil) { rule in
            rule.requestHeaders = HeaderModification(set: [.init(name: "X-Request-Id", value: "the rule's")])
        }
        #expect(set.values("x-request-id") == ["the rule's"])
    }

    /// Entries of the log have the trace that the backend was told, and everything else a span needs.
    @Test func theLogHasWhatWasSaid() throws {
        let echo = try Echo(Self.options(0))
        let log = echo.proxy.engine.requestLogs[0]
        log.set(.traces, isOn: true)
        log.set(.tap, isOn: true)
        let got = echo.forwarded(Self.parent)
        var found: [(trace: TraceContext?, consumers: RequestConsumers, requestID: String)] = []
        _ = TestProxy.eventually {
            _ = log.drain { entry in
                let text = unsafe entry.text(.requestID).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
                found.append((entry.trace, entry.consumers, text))
            }
            return !found.isEmpty
        }
        let entry = try #require(found.first)
        let trace = try #require(entry.trace)
        #expect(entry.consumers == [.traces, .tap])
        #expect(entry.requestID == got.first { $0.name == "x-request-id" }?.value)
        let span = got.first { $0.name == "traceparent" }?.value.split(separator: "-")[2]
        #expect(trace.span == span.flatMap { UInt64($0, radix: 16) })
        #expect(trace.parent == UInt64(Self.span, radix: 16))
        #expect(trace.isSampled && trace.clientSpan != 0 && trace.clientSpan != trace.span)
        // Neither sampled nor failed: no span.
        log.set(.tap, isOn: false)
        _ = echo.forwarded()
        let missing = echo.proxy.exchange("GET / HTTP/1.0\r\n\r\n")
        #expect(missing.hasPrefix("HTTP/1."))
        #expect(log.drain { _ in } == 0)
    }
}

extension TraceContext {
    fileprivate static func digits(_ byte: UInt8) -> String {
        String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }
}

extension String {
    fileprivate func components(_ separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
