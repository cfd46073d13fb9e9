/// An ABI structure compared and hashed by its bytes: imported C structures are neither Equatable nor Hashable, and the
/// kernel compares keys by bytes too (they have no padding, see bpf/abi.h).
struct ABIBytes<Value: BitwiseCopyable>: Hashable {
    var value: Value

    init(_ value: Value) { self.value = value }

    static func == (a: Self, b: Self) -> Bool {
        unsafe withUnsafeBytes(of: a.value) { first in
            unsafe withUnsafeBytes(of: b.value) { second in unsafe first.elementsEqual(second) }
        }
    }

    func hash(into hasher: inout Hasher) {
        unsafe withUnsafeBytes(of: value) { unsafe hasher.combine(bytes: $0) }
    }
}

extension ABIBytes: Sendable where Value: Sendable {}
