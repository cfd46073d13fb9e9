import Proxy

/// As for requests. The first octet chooses the method that the response answers.
func fuzzResponseHead(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let input = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    let methods = HTTPMethod.allCases
    let method = methods[Int(input[0]) % methods.count]
    let bytes = Array(input.dropFirst())
    let span = unsafe bytes.span.bytes
    var progress = HeadProgress()
    var head = ResponseHead()
    var table = FieldTable()
    let whole = ResponseParser.parse(span, method: method, progress: &progress, head: &head, fields: &table)
    guard whole == .complete else { return 0 }

    let end = Int(head.byteCount)
    precondition(end <= bytes.count && (100...999).contains(head.status))
    for index in 0..<end {
        let byte = bytes[index]
        precondition(byte >= 0x20 && byte != 0x7f || byte == 9 || byte == 10 || byte == 13)
        if byte == 13 { precondition(bytes[index + 1] == 10) }
        if byte == 10 { precondition(bytes[index - 1] == 13) }
    }
    if method == .head || head.status < 200 || head.status == 204 || head.status == 304 {
        precondition(head.framing == .none)
    }
    if head.framing == .untilClose { precondition(!head.isPersistent) }
    var piecemeal = HeadProgress()
    var again = ResponseHead()
    for length in 0..<end {
        let result = ResponseParser.parse(
            span.extracting(0..<length), method: method, progress: &piecemeal, head: &again, fields: &table)
        precondition(result == .needMore)
    }
    return 0
}
