import Proxy
import WeftABI

/// What the shortcut takes for a request's head the proxy takes for one too, and for the same.
func fuzzShortcutHead(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 0, count <= Int(WEFT_HTTP_ROOM) else { return 0 }
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    var scan = weft_http_scan()
    unsafe withUnsafeMutableBytes(of: &scan.window) { window in
        // What is behind the end is of an earlier head.
        for place in window.indices { unsafe window[place] = place < count ? bytes[place] : bytes[place % count] }
    }
    var taken = weft_shortcut_head()
    guard unsafe weft_shortcut_read_request(&taken, &scan, UInt32(count)) != 0 else { return 0 }
    var progress = HeadProgress()
    var head = RequestHead()
    var table = FieldTable()
    let span = unsafe bytes.span.bytes
    let result = RequestParser.parse(span, progress: &progress, head: &head, fields: &table)
    // The program asks for a Host besides, and for one that the proxy has taken before.
    if result == .failed(.invalidHost) || result == .failed(.missingHost) { return 0 }
    precondition(result == .complete && Int(head.byteCount) == Int(taken.line) && Int(taken.line) <= count)
    precondition(head.form == .origin && head.minorVersion == 1 && head.isPersistent && !head.expectsContinue)
    precondition(Int(head.path.count) == Int(taken.path_length) && !head.needsNormalization)
    let hasLength = taken.seen & WEFT_SHORTCUT_HAS_LENGTH.rawValue != 0
    precondition(head.framing == (hasLength ? .length(taken.content_length) : .none))
    return 0
}
