import WeftABI

/// bpf/lib/http1.h over bytes in memory: what the programs do with the segments of one connection.
@safe final class HTTPReader {
    enum Side: Int32, CaseIterable, Sendable { case request, response }

    /// What has been read of one request and its response.
    struct Answer: Equatable, Sendable, CustomStringConvertible {
        var status: UInt16
        var requestBody: UInt64 = 0
        var responseBody: UInt64 = 0
        var isTimed = true

        var description: String { "\(status) \(requestBody) \(responseBody)\(isTimed ? "" : " untimed")" }
    }

    let exchange: UnsafeMutablePointer<weft_exchange>
    let scan: UnsafeMutablePointer<weft_http_scan>
    private(set) var answers: [Answer] = []
    private(set) var times: [(duration: UInt64, firstByte: UInt64)] = []
    /// The lines of the requests that were recognised, as far as they were there in one piece.
    private(set) var lines: [String] = []
    /// The beginnings of those that were too long, and what is noted as their route.
    private(set) var beginnings: [String] = []
    var route: UInt8 = 0
    /// Requests that were given up.
    private(set) var unparsed = 0
    private var next: [UInt32] = [1000, 0xffff_ff00]

    init() {
        unsafe exchange = .allocate(capacity: 1)
        unsafe exchange.initialize(to: weft_exchange())
        unsafe scan = .allocate(capacity: 1)
        unsafe scan.initialize(to: weft_http_scan())
        unsafe exchange.pointee.request.expected = next[0]
        unsafe exchange.pointee.response.expected = next[1]
    }

    deinit {
        unsafe exchange.deallocate()
        unsafe scan.deallocate()
    }

    var mode: weft_exchange_mode { unsafe weft_exchange_mode(UInt32(exchange.pointee.mode)) }
    var isFollowed: Bool { mode == WEFT_EXCHANGE_FOLLOWED }
    var requestState: weft_http_state { unsafe weft_http_state(UInt32(exchange.pointee.request.state)) }
    var responseState: weft_http_state { unsafe weft_http_state(UInt32(exchange.pointee.response.state)) }
    var recognised: Int { unsafe Int(exchange.pointee.recognised) }

    /// Reads the bytes as one piece, the next of its side.
    func read(_ bytes: [UInt8], _ side: Side, at now: UInt64 = 1) {
        guard !bytes.isEmpty else { return }
        unsafe weft_http_open(exchange, scan, side.rawValue, UInt32(bytes.count), now)
        while true {
            let event = unsafe bytes.withUnsafeBufferPointer {
                unsafe weft_http_read(exchange, scan, side.rawValue, $0.baseAddress)
            }
            switch weft_http_event(UInt32(event)) {
            case WEFT_HTTP_REQUEST: noteLine()
            case WEFT_HTTP_BEGINNING:
                beginnings.append(text)
                unsafe weft_http_take_route(exchange, route)
            case WEFT_HTTP_ANSWERED: note(unsafe scan.pointee.answer)
            case WEFT_HTTP_FAILED:
                lose(side)
                return
            default: return
            }
        }
    }

    func read(_ text: String, _ side: Side, at now: UInt64 = 1) { read(Array(text.utf8), side, at: now) }

    /// Reads the bytes in pieces that end at these offsets.
    func read(_ bytes: [UInt8], _ side: Side, cutAt cuts: [Int]) {
        var start = 0
        for cut in cuts + [bytes.count] {
            read(Array(bytes[start..<cut]), side)
            start = cut
        }
    }

    /// A segment that TCP sends: `offset` is where its bytes are in what its side sends.
    func segment(_ bytes: [UInt8], _ side: Side, offset: UInt32) -> weft_http_segment {
        var skip: UInt32 = 0
        let placed = unsafe weft_http_place(
            weft_http_stream(exchange, side.rawValue), next[Int(side.rawValue)] &+ offset, UInt32(bytes.count), &skip)
        switch placed {
        case WEFT_HTTP_NEW: read(Array(bytes[Int(skip)...]), side)
        case WEFT_HTTP_GAP: lose(side)
        default: break
        }
        return placed
    }

    func lose(_ side: Side) { unparsed += Int(unsafe weft_http_lose(exchange, side.rawValue)) }

    /// The end of the connection; returns the requests that are left, and whether each is complete after all.
    func end(isClosed: Bool, at now: UInt64 = 1) -> [(answer: Answer, isComplete: Bool)] {
        var left: [(answer: Answer, isComplete: Bool)] = []
        var answer = weft_http_answer()
        while true {
            let rest = unsafe weft_http_left(exchange, &answer, now, isClosed ? 1 : 0)
            guard rest != WEFT_HTTP_NOTHING_LEFT.rawValue else { break }
            left.append((Answer(answer), rest == WEFT_HTTP_LEFT_COMPLETE.rawValue))
        }
        return left
    }

    private func note(_ answer: weft_http_answer) {
        answers.append(Answer(answer))
        times.append((answer.duration_ns, answer.first_byte_ns))
    }

    private func noteLine() { lines.append(text) }

    private var text: String {
        let (start, length) = unsafe (Int(scan.pointee.text), Int(scan.pointee.text_length))
        let line = unsafe withUnsafeBytes(of: &scan.pointee.window) { unsafe Array($0[start..<start + length]) }
        return String(decoding: line, as: UTF8.self)
    }
}

extension HTTPReader.Answer {
    init(_ answer: weft_http_answer) {
        self.init(
            status: answer.status, requestBody: answer.request_body, responseBody: answer.response_body,
            isTimed: answer.timed == 1)
    }
}
