// Unsafe code of this file: the bytes of keys and values for the duration of a copy.

import Glibc

/// A map in the kernel with keys of one C type and values of another.
///
/// The methods are system calls: any thread may use them at any time.
public struct Map<Key: BitwiseCopyable, Value: BitwiseCopyable>: ~Copyable, Sendable {
    let raw: RawMap

    /// The map's name in errors.
    public var name: String { raw.name }

    /// The descriptor's number, for system calls made while this value is alive.
    public var fd: CInt { raw.fd }

    /// The most entries that the map can have.
    public var maxEntries: Int { raw.info.maxEntries }

    /// The kernel's description of the map.
    public var info: AnyMapInfo { raw.info }

    /// Takes over the descriptor of a map.
    ///
    /// - Throws: `BPFError` with EINVAL when the map's sizes are not those of `Key` and `Value`.
    public init(descriptor: consuming FileDescriptor, name: String) throws(BPFError) {
        try self.init(raw: RawMap(descriptor: descriptor, name: name))
    }

    private init(raw: consuming RawMap) throws(BPFError) {
        try Self.check(raw)
        self.raw = raw
    }

    /// The map that is pinned at `path`.
    ///
    /// - Throws: `BPFError` with ENOENT when nothing is pinned there, EINVAL when its layout is another.
    public static func openPinned(_ path: String, name: String) throws(BPFError) -> Map {
        try Map(raw: RawMap(pinnedAt: path, name: name))
    }

    private static func check(_ raw: borrowing RawMap) throws(BPFError) {
        guard !raw.info.type.isPerCPU else {
            throw BPFError(
                operation: "open the map", subject: raw.name, errno: EINVAL,
                detail: "it is a \(raw.info.type): use PerCPUMap")
        }
        try raw.checkLayout(key: Key.self, value: Value.self)
    }

    /// The value of `key`; nil when there is no entry.
    public func get(_ key: Key) throws(BPFError) -> Value? {
        try raw.lookup(key).map { $0.rawBytes.value() }
    }

    /// Writes the entry of `key`.
    ///
    /// - Throws: `BPFError`: E2BIG or ENOSPC when the map is full, with its limit; EEXIST or ENOENT against `mode`.
    public func set(_ key: Key, _ value: Value, mode: UpdateMode = .any) throws(BPFError) {
        try raw.update(key, bytes(of: value).rawBytes, mode: mode)
    }

    /// Deletes the entry of `key`; false when there was none.
    @discardableResult
    public func delete(_ key: Key) throws(BPFError) -> Bool {
        try raw.delete(key)
    }

    /// All entries, in no order. Entries that come or go meanwhile may or may not be among them.
    public func entries() throws(BPFError) -> [(key: Key, value: Value)] {
        var entries: [(key: Key, value: Value)] = []
        try raw.forEach { entries.append((key: $0.value(), value: $1.value())) }
        return entries
    }

    /// All keys, in no order.
    public func keys() throws(BPFError) -> [Key] {
        var keys: [Key] = []
        try raw.forEach { key, _ in keys.append(key.value()) }
        return keys
    }

    /// Number of entries. The kernel keeps none: they are read and counted.
    public func count() throws(BPFError) -> Int {
        var count = 0
        try raw.forEach { _, _ in count += 1 }
        return count
    }

    /// Writes all entries, in their order, with few system calls.
    ///
    /// - Throws: `BPFError` whose `appliedCount` says how many went in; the one after them failed, and `detail` has its key.
    public func setAll(_ entries: [(key: Key, value: Value)], mode: UpdateMode = .any) throws(BPFError) {
        var keys: [UInt8] = []
        var values: [UInt8] = []
        keys.reserveCapacity(entries.count * MemoryLayout<Key>.size)
        values.reserveCapacity(entries.count * MemoryLayout<Value>.size)
        for entry in entries {
            append(entry.key, to: &keys)
            append(entry.value, to: &values)
        }
        try raw.updateAll(keys: keys, values: values, count: entries.count, mode: mode)
    }

    /// Deletes the entries of `keys` and returns how many there were.
    @discardableResult
    public func deleteAll(_ keys: [Key]) throws(BPFError) -> Int {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(keys.count * MemoryLayout<Key>.size)
        for key in keys { append(key, to: &bytes) }
        return try raw.deleteAll(keys: bytes, count: keys.count)
    }
}

/// The bytes of a value, as the kernel takes them.
func bytes<Value: BitwiseCopyable>(of value: Value) -> [UInt8] {
    unsafe withUnsafeBytes(of: value) { unsafe [UInt8]($0) }
}

func append<Value: BitwiseCopyable>(_ value: Value, to buffer: inout [UInt8]) {
    unsafe withUnsafeBytes(of: value) { unsafe buffer.append(contentsOf: $0) }
}
