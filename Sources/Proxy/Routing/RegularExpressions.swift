import CRE2

/// The compiled expressions of a route table. RE2 matches in time linear in the text, from any thread.
@safe
struct RegularExpressions: ~Copyable, @unchecked Sendable {
    private let compiled: FlatArray<UInt>

    /// What is no expression matches nothing; the configuration has refused it before.
    init(_ expressions: [String]) {
        compiled = FlatArray(
            expressions.map { expression in
                var expression = expression
                return expression.withUTF8 {
                    UInt(bitPattern: unsafe weft_regex_create($0.baseAddress, $0.count, nil, 0))
                }
            })
    }

    deinit {
        for index in 0..<compiled.count {
            unsafe weft_regex_free(OpaquePointer(bitPattern: compiled[index]))
        }
    }

    /// Whether the expression matches the whole text.
    func matches(_ index: UInt32, _ text: RawSpan) -> Bool {
        guard let expression = unsafe OpaquePointer(bitPattern: compiled[index]) else { return false }
        return unsafe text.withUnsafeBytes {
            unsafe weft_regex_matches(expression, $0.baseAddress, $0.count) != 0
        }
    }

    /// The text with every match replaced; nil if it would have more than 60 KiB. Allocates.
    func replacing(_ index: UInt32, in text: RawSpan, by substitution: RawSpan) -> [UInt8]? {
        guard let expression = unsafe OpaquePointer(bitPattern: compiled[index]) else { return nil }
        var capacity = text.byteCount + substitution.byteCount + 64
        while capacity <= HeadLimits.head {
            var count = 0
            let result = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { room, initialized in
                count = unsafe text.withUnsafeBytes { text in
                    unsafe substitution.withUnsafeBytes { substitution in
                        unsafe weft_regex_replace(
                            expression, text.baseAddress, text.count, substitution.baseAddress,
                            substitution.count,
                            room.baseAddress, room.count)
                    }
                }
                initialized = count < 0 || count > capacity ? 0 : count
            }
            if count <= capacity { return count < 0 ? nil : result }
            capacity = count
        }
        return nil
    }
}
