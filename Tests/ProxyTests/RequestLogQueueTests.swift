import CLinux
import Glibc
import Proxy
import Testing

@Suite struct RequestLogQueueTests {
    private static let client = ClientAddress(high: 0, low: 0xffff_0a00_0001, port: 40000)
    private static let local = ClientAddress(high: 0, low: 0xffff_7f60_000a, port: 80)

    /// Opens an entry for a request whose head is put together from `parts`.
    private func open(
        _ queue: RequestLogQueue, method: String = "GET", path: String = "/", query: String? = nil,
        fields: [(KnownField, String)] = [], trace: TraceContext = TraceContext(), requestID: RequestID? = nil
    ) -> RequestLogQueue.Ticket {
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
        head.authority = slice("Web.Shop:80")
        var headFields: [HeadField] = []
        for (known, value) in fields {
            headFields.append(HeadField(name: .empty, value: slice(value), line: .empty, known: known))
        }
        let raw = unsafe bytes.span.bytes
        let view = RequestView(
            bytes: raw, head: head, fields: headFields.span, path: raw.extracting(pathSlice.range),
            host: raw.extracting(0..<0), source: 7, client: Self.client)
        return queue.open(view, local: Self.local, trace: trace, requestID: requestID)
    }

    private func record(_ status: UInt16, _ flags: ResponseFlags = []) -> RequestRecord {
        var record = RequestRecord()
        record.status = status
        record.flags = flags
        return record
    }

    private func close(_ queue: RequestLogQueue, _ ticket: RequestLogQueue.Ticket, _ record: RequestRecord) {
        queue.close(ticket, record, client: Self.client, local: Self.local, principal: RawSpan())
    }

    private static func string(_ entry: borrowing RequestLogEntry, _ text: RequestLogText) -> String {
        let span = entry.text(text)
        var bytes: [UInt8] = []
        for index in 0..<span.byteCount { bytes.append(unsafe span.unsafeLoad(fromByteOffset: index, as: UInt8.self)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func anEntryHasTheFactsOfItsRequest() {
        let queue = RequestLogQueue(capacity: 4, policy: .all)
        let ticket = open(
            queue, method: "POST", path: "/a/b", query: "x=1",
            fields: [(.other, "-"), (.userAgent, "curl/8"), (.xRequestID, "id-1"), (.xForwardedFor, "10.9.8.7")])
        let upstream = ClientAddress(high: 0, low: 0xffff_0a00_0007, port: 8080)
        queue.upstream(ticket, address: upstream, local: Self.local)
        close(queue, ticket, record(201))
        var seen = 0
        let count = queue.drain { entry in
            seen += 1
            #expect(Self.string(entry, .method) == "POST")
            #expect(Self.string(entry, .path) == "/a/b?x=1")
            #expect(Self.string(entry, .authority) == "Web.Shop:80")
            #expect(Self.string(entry, .userAgent) == "curl/8")
            #expect(Self.string(entry, .requestID) == "id-1")
            #expect(Self.string(entry, .forwardedFor) == "10.9.8.7")
            #expect(Self.string(entry, .referer).isEmpty)
            #expect(entry.addresses.client == Self.client)
            #expect(entry.addresses.upstream == upstream)
            #expect(entry.record.status == 201)
            let hasFacts = entry.hasFacts
            #expect(hasFacts)
        }
        #expect(count == 1 && seen == 1)
        #expect(queue.drain { _ in } == 0)
    }

    @Test func longTextsAreCutAndDoNotRunIntoEachOther() {
        let queue = RequestLogQueue(capacity: 4, policy: .all)
        let long = String(repeating: "x", count: 5000)
        let ticket = open(
            queue, method: long, path: "/" + long, query: long,
            fields: [.userAgent, .xRequestID, .xForwardedFor, .referer].map { ($0, long) })
        close(queue, ticket, record(200))
        let count = queue.drain { entry in
            #expect(Self.string(entry, .method) == String(repeating: "x", count: 16))
            #expect(Self.string(entry, .path) == "/" + String(repeating: "x", count: 511))
            #expect(Self.string(entry, .userAgent).utf8.count == 128)
            #expect(Self.string(entry, .referer).utf8.count == 96)
        }
        #expect(count == 1)
    }

    @Test(arguments: [
        (RequestLogQueue.Policy.off, 0), (.errors, 3), (.sampled(250), 1), (.sampled(500), 2), (.all, 5),
    ])
    func thePolicyChoosesWhatIsLogged(policy: RequestLogQueue.Policy, expected: Int) {
        let queue = RequestLogQueue(capacity: 16, policy: policy)
        let outcomes: [RequestRecord] = [
            record(200), record(404), record(200, [.rateLimited]), record(0, [.downstreamTermination]), record(302),
        ]
        for outcome in outcomes { close(queue, open(queue), outcome) }
        #expect(queue.drain { _ in } == expected)
        #expect(queue.lost(.accessLog) == 0)
    }

    private static func trace(isSampled: Bool) -> TraceContext {
        var trace = TraceContext()
        trace.traceHigh = 1
        trace.span = 2
        trace.isSampled = isSampled
        return trace
    }

    /// Each consumer decides for itself, and an entry says who wants it.
    @Test func severalConsumersGetWhatEachOfThemWants() {
        func wanted(_ consumers: RequestConsumers, _ policy: RequestLogQueue.Policy = .off) -> [RequestConsumers] {
            let queue = RequestLogQueue(capacity: 16, policy: policy)
            for consumer in [RequestConsumers.traces, .tap] { queue.set(consumer, isOn: consumers.contains(consumer)) }
            #expect(queue.isOn == (!consumers.isEmpty || policy != .off))
            for (isSampled, status) in [(false, 200), (false, 503), (true, 200), (true, 404)] as [(Bool, UInt16)] {
                close(queue, open(queue, trace: Self.trace(isSampled: isSampled)), record(status))
            }
            // In no trace.
            close(queue, open(queue), record(500))
            close(queue, .none, record(400))
            var seen: [RequestConsumers] = []
            _ = queue.drain { seen.append($0.consumers) }
            return seen
        }
        #expect(wanted([]).isEmpty)
        #expect(wanted(.traces) == [.traces, .traces, .traces])
        #expect(wanted(.tap) == Array(repeating: .tap, count: 6))
        #expect(wanted([], .errors) == Array(repeating: .accessLog, count: 4))
        #expect(
            wanted([.traces, .tap], .errors)
                == [
                    .tap, [.accessLog, .traces, .tap], [.traces, .tap], [.accessLog, .traces, .tap],
                    [.accessLog, .tap], [.accessLog, .tap],
                ])
    }

    @Test func whatIsLostIsCountedForWhoeverWouldHaveGotIt() {
        let queue = RequestLogQueue(capacity: 2, policy: .errors)
        queue.set(.traces, isOn: true)
        for _ in 0..<2 { close(queue, open(queue, trace: Self.trace(isSampled: true)), record(200)) }
        for (isSampled, status) in [(false, 200), (true, 200), (false, 500), (true, 404)] as [(Bool, UInt16)] {
            close(queue, open(queue, trace: Self.trace(isSampled: isSampled)), record(status))
        }
        #expect(queue.lost(.accessLog) == 2)
        #expect(queue.lost(.traces) == 3)
        #expect(queue.lost(.tap) == 0)
        #expect(queue.lost([.accessLog, .traces]) == 5)
    }

    @Test func anEntryHasItsTraceAndTheRequestIDThatWasMadeForIt() {
        let queue = RequestLogQueue(capacity: 2, policy: .all)
        let trace = Self.trace(isSampled: true)
        let made = RequestID(random: 0x0123_4567_89ab_cdef, 0xffff_ffff_ffff_ffff)
        close(queue, open(queue, trace: trace, requestID: made), record(200))
        close(queue, open(queue), record(200))
        var traces: [TraceContext?] = []
        var identifiers: [String] = []
        _ = queue.drain { entry in
            traces.append(entry.trace)
            identifiers.append(Self.string(entry, .requestID))
        }
        #expect(traces == [trace, nil])
        #expect(identifiers == ["01234567-89ab-4def-bfff-ffffffffffff", ""])
    }

    @Test func aRequestThatWasNotUnderstoodIsLoggedWithoutFacts() {
        let queue = RequestLogQueue(capacity: 2, policy: .errors)
        close(queue, .none, record(400))
        let count = queue.drain { entry in
            let hasFacts = entry.hasFacts
            #expect(!hasFacts)
            #expect(entry.record.status == 400)
            #expect(entry.addresses.client == Self.client)
            #expect(Self.string(entry, .path).isEmpty)
        }
        #expect(count == 1)
    }

    @Test func whatFindsNoSlotIsCountedAndSlotsComeBack() {
        let queue = RequestLogQueue(capacity: 4, policy: .all)
        for _ in 0..<3 {
            let lost = queue.lost(.accessLog)
            for _ in 0..<6 { close(queue, open(queue), record(200)) }
            #expect(queue.lost(.accessLog) == lost + 2)
            #expect(queue.drain(limit: 3) { _ in } == 3)
            #expect(queue.drain { _ in } == 1)
        }
        // Cancelled and unremarkable ones come back without the writer.
        queue.set(.errors)
        let lost = queue.lost(.accessLog)
        for index in 0..<20 {
            let ticket = open(queue)
            if index % 2 == 0 { queue.cancel(ticket) } else { close(queue, ticket, record(200)) }
        }
        #expect(queue.lost(.accessLog) == lost)
    }

    @Test func theWriterIsWokenWhenHalfOfTheSlotsWait() {
        func isReadable(_ queue: RequestLogQueue) -> Bool {
            var polled = pollfd(fd: queue.wakeup, events: Int16(POLLIN), revents: 0)
            return unsafe poll(&polled, 1, 0) > 0
        }
        let queue = RequestLogQueue(capacity: 8, policy: .all)
        for _ in 0..<3 { close(queue, open(queue), record(200)) }
        #expect(!isReadable(queue))
        close(queue, open(queue), record(200))
        #expect(isReadable(queue))
        #expect(queue.drain { _ in } == 4)
        #expect(!isReadable(queue))
    }

    /// One thread logs while another writes: entries arrive whole and in order, and every one is written or counted.
    @Test func nothingIsMixedUpWhileItIsDrained() async {
        let queue = RequestLogQueue(capacity: 64, policy: .all)
        let total = 100_000
        let reader = Task.detached {
            var written = 0
            var last: UInt64 = 0
            var isInOrder = true
            func drain() -> Int {
                queue.drain { entry in
                    written += 1
                    let number = entry.record.started
                    isInOrder = isInOrder && number > last && Self.string(entry, .path) == "/\(number)"
                    last = number
                }
            }
            while !Task.isCancelled { if drain() == 0 { sched_yield() } }
            while drain() > 0 {}
            return isInOrder ? written : -1
        }
        for number in 1...UInt64(total) {
            let ticket = open(queue, path: "/\(number)")
            var outcome = record(200)
            outcome.started = number
            close(queue, ticket, outcome)
        }
        reader.cancel()
        let written = await reader.value
        #expect(written > 0)
        #expect(written + Int(queue.lost(.accessLog)) == total)
    }
}
