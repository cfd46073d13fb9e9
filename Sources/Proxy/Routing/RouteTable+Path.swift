extension RouteTable {
    /// Writes the path that is sent, without the query.
    func writePath(_ edit: RoutePathEdit, _ decision: RouteDecision, _ path: RawSpan, into sink: inout ByteSink) {
        let value = text(edit.value)
        switch edit.kind {
        case .none: sink.append(path)
        case .full:
            startPath(value, into: &sink)
            sink.append(value)
        case .prefix: replacePrefix(by: value, decision, path, into: &sink)
        case .regex:
            let start = sink.count
            expressions.replace(edit.regex, in: path, by: value, into: &sink)
            sink.ensureSlash(at: start)
        }
    }

    /// Gateway API, `ReplacePrefixMatch`: neither the prefix's nor the replacement's trailing slash matters, and the rest
    /// begins with the slash that followed the prefix. A prefix of characters (Istio) is replaced as it is, but two slashes
    /// do not meet.
    private func replacePrefix(
        by value: RawSpan, _ decision: RouteDecision, _ path: RawSpan, into sink: inout ByteSink
    ) {
        let rest = path.extracting(min(Int(decision.matchedBytes), path.byteCount)..<path.byteCount)
        let restHasSlash = rest.byteCount > 0 && ByteText.byte(rest, 0) == UInt8(ascii: "/")
        let valueHasSlash = value.byteCount > 0 && ByteText.byte(value, value.byteCount - 1) == UInt8(ascii: "/")
        let isWhole = rest.byteCount == 0 && decision.pathKind != .element
        let drops = valueHasSlash && (restHasSlash || decision.pathKind == .element || decision.pathKind == .any)
        let kept = drops && !isWhole ? value.extracting(0..<value.byteCount - 1) : value
        if kept.byteCount == 0 && rest.byteCount == 0 { return sink.append(UInt8(ascii: "/")) }
        startPath(kept.byteCount > 0 ? kept : rest, into: &sink)
        sink.append(kept)
        sink.append(rest)
    }

    private func startPath(_ path: RawSpan, into sink: inout ByteSink) {
        if path.byteCount == 0 || ByteText.byte(path, 0) != UInt8(ascii: "/") { sink.append(UInt8(ascii: "/")) }
    }
}
