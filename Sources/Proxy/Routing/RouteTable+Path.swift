extension RouteTable {
    /// Writes the path that is sent, without the query.
    func writePath(
        _ edit: RoutePathEdit, _ decision: RouteDecision, _ path: RawSpan, into scratch: inout Scratch
    ) {
        let value = text(edit.value)
        switch edit.kind {
        case .none:
            if path.isEmpty { startPath(path, into: &scratch) }
            scratch.append(path)
        case .full:
            startPath(value, into: &scratch)
            scratch.append(value)
        case .prefix: replacePrefix(by: value, decision, path, into: &scratch)
        case .regex:
            guard let replaced = expressions.replacing(edit.regex, in: path, by: value) else {
                return scratch.append(path)
            }
            if replaced.first != UInt8(ascii: "/") { scratch.append(byte: UInt8(ascii: "/")) }
            scratch.append(replaced)
        }
    }

    /// Gateway API, `ReplacePrefixMatch`: neither the prefix's nor the replacement's trailing slash matters, and the rest
    /// begins with the slash that followed the prefix. A prefix of characters (Istio) is replaced as it is, but two slashes
    /// do not meet.
    private func replacePrefix(
        by value: RawSpan, _ decision: RouteDecision, _ path: RawSpan, into scratch: inout Scratch
    ) {
        let rest = path.extracting(min(Int(decision.matchedBytes), path.byteCount)..<path.byteCount)
        let restHasSlash = rest.byteCount > 0 && rest[0] == UInt8(ascii: "/")
        let valueHasSlash = value.byteCount > 0 && value[value.byteCount - 1] == UInt8(ascii: "/")
        let isWhole = rest.byteCount == 0 && decision.pathKind != .element
        let drops =
            valueHasSlash && (restHasSlash || decision.pathKind == .element || decision.pathKind == .any)
        let kept = drops && !isWhole ? value.extracting(0..<value.byteCount - 1) : value
        if kept.byteCount == 0 && rest.byteCount == 0 { return scratch.append(byte: UInt8(ascii: "/")) }
        startPath(kept.byteCount > 0 ? kept : rest, into: &scratch)
        scratch.append(kept)
        scratch.append(rest)
    }

    private func startPath(_ path: RawSpan, into scratch: inout Scratch) {
        if path.byteCount == 0 || path[0] != UInt8(ascii: "/") {
            scratch.append(byte: UInt8(ascii: "/"))
        }
    }
}
