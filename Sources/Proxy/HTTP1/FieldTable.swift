/// The fields of the head that was parsed last. One for each worker: it is filled by one parse, and read before the next.
public struct FieldTable: ~Copyable {
    /// The most fields that a head may have.
    public static let capacity = 100

    private let pinned = Pinned()
    private var storage: InlineArray<100, HeadField>
    public private(set) var count = 0

    public init() {
        storage = InlineArray(
            repeating: HeadField(name: .empty, value: .empty, line: .empty, known: .other))
    }

    /// In the order of the wire.
    public var fields: Span<HeadField> {
        @_lifetime(borrow self)
        get { storage.span.extracting(0..<count) }
    }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    /// False when the table is full.
    @inline(__always)
    mutating func append(_ field: HeadField) -> Bool {
        guard count < Self.capacity else { return false }
        storage[count] = field
        count += 1
        return true
    }
}
