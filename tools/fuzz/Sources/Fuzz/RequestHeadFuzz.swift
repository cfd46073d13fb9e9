import Proxy

/// A head parsed at once and byte by byte has the same result, and what is accepted has none of the octets that two
/// recipients could read differently.
func fuzzRequestHead(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    let span = unsafe bytes.span.bytes
    var progress = HeadProgress()
    var head = RequestHead()
    var table = FieldTable()
    let whole = RequestParser.parse(span, progress: &progress, head: &head, fields: &table)
    guard whole == .complete else { return 0 }

    let end = Int(head.byteCount)
    precondition(end <= count && table.count <= FieldTable.capacity)
    for index in 0..<end {
        let byte = bytes[index]
        precondition(byte >= 0x20 && byte != 0x7f || byte == 9 || byte == 10 || byte == 13)
        if byte == 13 { precondition(bytes[index + 1] == 10) }
        if byte == 10 { precondition(bytes[index - 1] == 13) }
    }
    let fields = table.fields
    for index in fields.indices {
        precondition(fields[index].line.range.upperBound <= end && !fields[index].name.isEmpty)
        precondition(fields[index].value.range.upperBound < fields[index].line.range.upperBound)
    }
    precondition(head.target.range.upperBound <= end && head.authority.range.upperBound <= end)

    var piecemeal = HeadProgress()
    var again = RequestHead()
    var tableAgain = FieldTable()
    for length in 0..<end {
        let result = RequestParser.parse(
            span.extracting(0..<length), progress: &piecemeal, head: &again, fields: &tableAgain)
        precondition(result == .needMore)
    }
    precondition(
        RequestParser.parse(span.extracting(0..<end), progress: &piecemeal, head: &again, fields: &tableAgain)
            == .complete)
    precondition(again.byteCount == head.byteCount && again.framing == head.framing && again.target == head.target)
    return 0
}
