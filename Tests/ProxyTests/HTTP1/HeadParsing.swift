import Proxy

/// A parsed head as values that tests can compare.
struct ParsedRequest: Equatable {
    var result: HeadResult
    var head: RequestHead?
    var fields: [String] = []
    var method = ""
    var target = ""
    var path = ""
    var query: String?
    var authority = ""
    var host = ""

    static func == (left: ParsedRequest, right: ParsedRequest) -> Bool {
        left.result == right.result && left.fields == right.fields && left.method == right.method
            && left.target == right.target && left.path == right.path && left.query == right.query
            && left.authority == right.authority && left.host == right.host
            && left.head.map { String(describing: $0) } == right.head.map { String(describing: $0) }
    }
}

/// Bytes of a test: one for each scalar below U+0100, so that `\u{80}` and above are obs-text.
func latin1(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

func text(_ bytes: RawSpan) -> String {
    var text = ""
    for index in 0..<bytes.byteCount {
        text.unicodeScalars.append(Unicode.Scalar(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)))
    }
    return text
}

/// Parses `bytes` as they grow to the lengths `cuts` and then to their full length.
func parseRequest(_ bytes: [UInt8], cuts: [Int] = []) -> ParsedRequest {
    var progress = HeadProgress()
    var head = RequestHead()
    var table = FieldTable()
    for length in cuts + [bytes.count] {
        // A buffer of its own, so that nothing behind its end can be read unnoticed.
        let piece = Array(bytes[..<length])
        let span = unsafe piece.span.bytes
        let result = RequestParser.parse(span, progress: &progress, head: &head, fields: &table)
        switch result {
        case .needMore: continue
        case .failed: return ParsedRequest(result: result)
        case .complete:
            var parsed = ParsedRequest(result: result, head: head)
            let fields = table.fields
            for index in fields.indices {
                let field = fields[index]
                parsed.fields.append(
                    "\(text(span.extracting(field.name.range))): \(text(span.extracting(field.value.range)))"
                        + " [\(field.known)]")
            }
            parsed.method = text(span.extracting(head.methodText.range))
            parsed.target = text(span.extracting(head.target.range))
            parsed.path = text(span.extracting(head.path.range))
            parsed.query = head.hasQuery ? text(span.extracting(head.query.range)) : nil
            parsed.authority = text(span.extracting(head.authority.range))
            parsed.host = text(span.extracting(head.host.range))
            return parsed
        }
    }
    return ParsedRequest(result: .needMore)
}

func parseRequest(_ text: String) -> ParsedRequest { parseRequest(latin1(text)) }
