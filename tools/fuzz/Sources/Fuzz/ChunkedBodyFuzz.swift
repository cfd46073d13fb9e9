import Proxy

/// A body decoded at once, and cut into pieces of a length that the first octet says, is the same.
func fuzzChunkedBody(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let input = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    let bytes = Array(input.dropFirst())
    let whole = decode(bytes, pieces: max(bytes.count, 1))
    let cut = decode(bytes, pieces: Int(input[0]) % 16 + 1)
    precondition(whole.event == cut.event && whole.content == cut.content && whole.end == cut.end)
    precondition(whole.content.count <= bytes.count)
    return 0
}

private func decode(
    _ bytes: [UInt8], pieces: Int
) -> (event: ChunkedDecoder.Event, content: [UInt8], end: Int) {
    var decoder = ChunkedDecoder()
    var content: [UInt8] = []
    var start = 0
    while start < bytes.count {
        let piece = Array(bytes[start..<min(start + pieces, bytes.count)])
        let span = unsafe piece.span.bytes
        var position = 0
        reading: while true {
            let event = decoder.next(in: span, at: &position)
            switch event {
            case .data(let range): content += piece[range]
            case .needMore:
                precondition(position == piece.count)
                break reading
            case .end, .failed: return (event, content, start + position)
            }
        }
        start += piece.count
    }
    return (.needMore, content, start)
}
