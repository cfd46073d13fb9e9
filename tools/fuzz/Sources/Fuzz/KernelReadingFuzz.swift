import Proxy
import WeftABI

/// What the kernel reads of one connection: requests up to the octet that is the first, responses behind it. In pieces it
/// reads what it reads in one, if it does not give up; and it does not give up a head that the proxy accepts.
func fuzzKernelReading(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let input = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    let rest = input[1...]
    let end = rest.firstIndex(of: input[0]) ?? rest.endIndex
    let (requests, responses) = (Array(rest[..<end]), Array(rest[end...].dropFirst()))
    let whole = KernelReader(requests, responses, piece: 1 << 20)
    for piece in [1, 7, 64] {
        let cut = KernelReader(requests, responses, piece: piece)
        if cut.isFollowed { precondition(whole.answers.starts(with: cut.answers) && whole.state == cut.state) }
    }
    var progress = HeadProgress()
    var head = RequestHead()
    var table = FieldTable()
    let result = RequestParser.parse(requests.span.bytes, progress: &progress, head: &head, fields: &table)
    guard result == .complete, Int(head.byteCount) == requests.count, !hasManySpaces(requests) else { return 0 }
    let asked = KernelReader(requests, [], piece: 1 << 20)
    precondition(asked.isFollowed && asked.recognised == 1)
    return 0
}

/// White space that the kernel does not skip, for it has to end.
private func hasManySpaces(_ bytes: [UInt8]) -> Bool {
    var run = 0
    for byte in bytes {
        run = byte == 0x20 || byte == 9 ? run + 1 : 0
        if run > 8 { return true }
    }
    return false
}

/// bpf/lib/http1.h over two sides' bytes, first the requests.
private struct KernelReader {
    private(set) var answers: [[UInt64]] = []
    private(set) var state: [UInt64] = []
    private(set) var isFollowed = true
    private(set) var recognised: UInt32 = 0

    init(_ requests: [UInt8], _ responses: [UInt8], piece: Int) {
        var exchange = weft_exchange()
        var scan = weft_http_scan()
        for (side, bytes) in [(Int32(0), requests), (1, responses)] {
            var start = 0
            while start < bytes.count {
                let part = Array(bytes[start..<min(bytes.count, start + piece)])
                start += part.count
                unsafe weft_http_open(&exchange, &scan, side, UInt32(part.count), 1)
                read: while true {
                    let event = unsafe part.withUnsafeBufferPointer {
                        unsafe weft_http_read(&exchange, &scan, side, $0.baseAddress)
                    }
                    switch weft_http_event(UInt32(event)) {
                    case WEFT_HTTP_ANSWERED:
                        answers.append([
                            UInt64(scan.answer.status), scan.answer.request_body, scan.answer.response_body,
                        ])
                    case WEFT_HTTP_REQUEST: precondition(scan.text_length < 1024)
                    case WEFT_HTTP_FAILED:
                        isFollowed = false
                        return
                    default: break read
                    }
                }
            }
        }
        recognised = exchange.recognised
        // Until the connection's end nothing remains that could be told.
        let isEndless = UInt32(exchange.response.state) == WEFT_HTTP_UNTIL_CLOSE.rawValue
        state = [
            UInt64(exchange.request.state), exchange.request.remaining, UInt64(exchange.response.state),
            isEndless ? exchange.response.body : exchange.response.remaining, UInt64(exchange.mode),
            UInt64(exchange.recognised), UInt64(exchange.popped),
        ]
    }
}
