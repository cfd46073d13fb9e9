import CLibbpf
import Glibc

/// A hash of tables: each key has an array of 64-bit values of its own, which is replaced as a whole.
public struct MapOfMaps<OuterKey: BitwiseCopyable>: ~Copyable, Sendable {
    let raw: RawMap

    /// The map's name in errors.
    public var name: String { raw.name }

    /// The descriptor's number, for system calls made while this value is alive.
    public var fd: CInt { raw.fd }

    /// The most tables that the map can have.
    public var maxEntries: Int { raw.info.maxEntries }

    /// The kernel's description of the map.
    public var info: AnyMapInfo { raw.info }

    /// Takes over the descriptor of a map of maps.
    ///
    /// - Throws: `BPFError` with EINVAL when the map is of another type or key size.
    public init(descriptor: consuming FileDescriptor, name: String) throws(BPFError) {
        try self.init(raw: RawMap(descriptor: descriptor, name: name))
    }

    private init(raw: consuming RawMap) throws(BPFError) {
        try Self.check(raw)
        self.raw = raw
    }

    /// The map that is pinned at `path`.
    public static func openPinned(_ path: String, name: String) throws(BPFError) -> MapOfMaps {
        try MapOfMaps(raw: RawMap(pinnedAt: path, name: name))
    }

    private static func check(_ raw: borrowing RawMap) throws(BPFError) {
        guard raw.info.type == .hashOfMaps || raw.info.type == .arrayOfMaps else {
            throw BPFError(
                operation: "open the map", subject: raw.name, errno: EINVAL,
                detail: "it is a \(raw.info.type), not a map of maps")
        }
        try raw.checkLayout(key: OuterKey.self, value: UInt32.self)
    }

    /// Gives `key` a new table. A program sees the old table or the new one, never a mixture.
    ///
    /// - Throws: `BPFError`: EINVAL for an empty table, E2BIG when the map is full, ENOMEM.
    public func set(_ key: OuterKey, table: [UInt64]) throws(BPFError) {
        var options = bpf_map_create_opts()
        options.sz = MemoryLayout<bpf_map_create_opts>.size
        options.map_flags = UInt32(BPF_F_INNER_MAP)
        let result = unsafe bpf_map_create(BPF_MAP_TYPE_ARRAY, innerName, 4, 8, UInt32(clamping: table.count), &options)
        guard result >= 0 else {
            throw BPFError(
                operation: "make a table of \(table.count) values for map", subject: name, errno: -result,
                detail: table.isEmpty ? "a table has at least one value" : "")
        }
        let inner = try Map<UInt32, UInt64>(descriptor: FileDescriptor(owning: result), name: innerName)
        try inner.setAll(table.enumerated().map { (key: UInt32(truncatingIfNeeded: $0.offset), value: $0.element) })
        try raw.update(key, bytes(of: UInt32(bitPattern: inner.fd)).rawBytes, mode: .any)
    }

    /// The table of `key`; nil when it has none.
    public func table(_ key: OuterKey) throws(BPFError) -> [UInt64]? {
        guard let stored = try raw.lookup(key) else { return nil }
        let id: UInt32 = stored.rawBytes.value()
        let result = bpf_map_get_fd_by_id(id)
        // Replaced or deleted between the two calls.
        if result == -ENOENT { return nil }
        guard result >= 0 else { throw BPFError(operation: "open a table of map", subject: name, errno: -result) }
        let inner = try Map<UInt32, UInt64>(descriptor: FileDescriptor(owning: result), name: innerName)
        var table = [UInt64](repeating: 0, count: inner.maxEntries)
        for (index, value) in try inner.entries() where Int(index) < table.count { table[Int(index)] = value }
        return table
    }

    /// Deletes the table of `key`; false when there was none.
    @discardableResult
    public func delete(_ key: OuterKey) throws(BPFError) -> Bool {
        try raw.delete(key)
    }

    /// Keys that have a table, in no order.
    public func keys() throws(BPFError) -> [OuterKey] {
        var keys: [OuterKey] = []
        try raw.forEach { key, _ in keys.append(key.value()) }
        return keys
    }

    /// Number of tables.
    public func count() throws(BPFError) -> Int {
        try keys().count
    }

    /// The kernel keeps 15 characters of a name.
    private var innerName: String { String(name.prefix(9)) + ".table" }
}
