import Proxy

/// The normal form of a normal form is itself and no longer, and it has no dot segment, no repeated slash and no backslash.
func fuzzPath(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let input = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    let rejectsEncodedSlashes = input[0] & 1 == 0
    guard let normal = normalize([0x2f] + input.dropFirst(), rejectsEncodedSlashes) else { return 0 }
    precondition(normal.count <= 3 * count && normal.first == 0x2f)
    precondition(normalize(normal, rejectsEncodedSlashes) == normal)
    precondition(!normal.contains(0x5c))
    for segment in normal.dropFirst().split(separator: 0x2f, omittingEmptySubsequences: false).dropLast() {
        precondition(!segment.isEmpty && Array(segment) != [0x2e] && Array(segment) != [0x2e, 0x2e])
    }
    return 0
}

private func normalize(_ path: [UInt8], _ rejectsEncodedSlashes: Bool) -> [UInt8]? {
    var output = [UInt8](repeating: 0, count: 3 * path.count)
    var span = output.mutableSpan
    let input = unsafe path.span.bytes
    guard
        case .normalized(let count) = PathNormalizer.normalize(
            input, rejectsEncodedSlashes: rejectsEncodedSlashes, into: &span)
    else { return nil }
    return Array(output[..<count])
}
