/// A map of any type, read as bytes.
public struct AnyMap: ~Copyable, Sendable {
    private let raw: RawMap

    /// The kernel's description of the map.
    public var info: AnyMapInfo { raw.info }

    /// The descriptor's number, for system calls made while this value is alive.
    public var fd: CInt { raw.fd }

    /// Takes over the descriptor of a map.
    public init(descriptor: consuming FileDescriptor, name: String) throws(BPFError) {
        raw = try RawMap(descriptor: descriptor, name: name)
    }

    /// The map with the kernel's `id`; nil when there is none.
    public static func open(id: UInt32) throws(BPFError) -> AnyMap? {
        guard let descriptor = try MapDirectory.open(id: id) else { return nil }
        return try AnyMap(descriptor: descriptor, name: "map \(id)")
    }

    /// The map that is pinned at `path`.
    public static func openPinned(_ path: String, name: String) throws(BPFError) -> AnyMap {
        try AnyMap(descriptor: FileDescriptor(pinnedAt: path, as: "map"), name: name)
    }

    /// An entry as bytes: one value, or one for each CPU.
    public struct Entry: Sendable, Hashable {
        public let key: [UInt8]
        public let values: [[UInt8]]
    }

    /// All entries, in no order.
    ///
    /// - Throws: `BPFError` when maps of this type have no entries that user space can list (ring buffers, storage).
    public func entries() throws(BPFError) -> [Entry] {
        let size = min(info.valueSize, info.transferredValueSize)
        let stride = info.type.isPerCPU ? (size + 7) / 8 * 8 : max(info.transferredValueSize, 1)
        var entries: [Entry] = []
        try raw.forEach { key, value in
            let values = Swift.stride(from: 0, to: value.byteCount, by: stride).map { array(value, $0..<$0 + size) }
            entries.append(Entry(key: array(key, 0..<key.byteCount), values: values))
        }
        return entries
    }

    private func array(_ span: RawSpan, _ range: Range<Int>) -> [UInt8] {
        range.map { span.byte(at: $0) }
    }
}
