import Glibc

/// A map with one value of `Value` for each possible CPU in every entry.
///
/// The methods are system calls: any thread may use them at any time.
public struct PerCPUMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: ~Copyable, Sendable {
    let raw: RawMap

    /// The map's name in errors.
    public var name: String { raw.name }

    /// The descriptor's number, for system calls made while this value is alive.
    public var fd: CInt { raw.fd }

    /// The most entries that the map can have.
    public var maxEntries: Int { raw.info.maxEntries }

    /// The kernel's description of the map.
    public var info: AnyMapInfo { raw.info }

    /// Takes over the descriptor of a per-CPU map.
    ///
    /// - Throws: `BPFError` with EINVAL when the map is of another type or its sizes are not those of `Key` and `Value`.
    public init(descriptor: consuming FileDescriptor, name: String) throws(BPFError) {
        try self.init(raw: RawMap(descriptor: descriptor, name: name))
    }

    private init(raw: consuming RawMap) throws(BPFError) {
        try Self.check(raw)
        self.raw = raw
    }

    /// The map that is pinned at `path`.
    public static func openPinned(_ path: String, name: String) throws(BPFError) -> PerCPUMap {
        try PerCPUMap(raw: RawMap(pinnedAt: path, name: name))
    }

    private static func check(_ raw: borrowing RawMap) throws(BPFError) {
        guard raw.info.type.isPerCPU else {
            throw BPFError(
                operation: "open the map", subject: raw.name, errno: EINVAL,
                detail: "it is a \(raw.info.type), not a per-CPU map")
        }
        try raw.checkLayout(key: Key.self, value: Value.self)
    }

    /// Bytes from one CPU's value to the next (the kernel rounds up to 8).
    private var stride: Int { (MemoryLayout<Value>.size + 7) / 8 * 8 }

    /// The values of `key` by CPU; nil when there is no entry.
    public func get(_ key: Key) throws(BPFError) -> [Value]? {
        try raw.lookup(key).map { values(in: $0.rawBytes) }
    }

    /// Writes the values of `key`, one for each of `BPFSystem.possibleCPUs`.
    public func set(_ key: Key, _ values: [Value], mode: UpdateMode = .any) throws(BPFError) {
        guard values.count == BPFSystem.possibleCPUs else {
            throw BPFError(
                operation: "write an entry of map", subject: name, errno: EINVAL,
                detail: "\(values.count) values for \(BPFSystem.possibleCPUs) CPUs")
        }
        var bytes: [UInt8] = []
        for value in values {
            append(value, to: &bytes)
            bytes.append(contentsOf: repeatElement(0, count: stride - MemoryLayout<Value>.size))
        }
        try raw.update(key, bytes.rawBytes, mode: mode)
    }

    /// Deletes the entry of `key`; false when there was none.
    @discardableResult
    public func delete(_ key: Key) throws(BPFError) -> Bool {
        try raw.delete(key)
    }

    /// Deletes the entries of `keys` and returns how many there were.
    @discardableResult
    public func deleteAll(_ keys: [Key]) throws(BPFError) -> Int {
        var bytes: [UInt8] = []
        for key in keys { append(key, to: &bytes) }
        return try raw.deleteAll(keys: bytes, count: keys.count)
    }

    /// All entries with their values by CPU, in no order.
    public func entries() throws(BPFError) -> [(key: Key, values: [Value])] {
        var entries: [(key: Key, values: [Value])] = []
        try raw.forEach { entries.append((key: $0.value(), values: values(in: $1))) }
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

    /// All entries, each with the values of its CPUs combined into one result, without an array per entry.
    public func summed<Sum>(
        into initial: Sum, _ combine: (inout Sum, Value) -> Void
    ) throws(BPFError) -> [(key: Key, sum: Sum)] {
        var sums: [(key: Key, sum: Sum)] = []
        let stride = stride
        try raw.forEach { key, bytes in
            var sum = initial
            for cpu in 0..<bytes.byteCount / stride { combine(&sum, bytes.value(at: cpu * stride)) }
            sums.append((key: key.value(), sum: sum))
        }
        return sums
    }

    /// The values of `key` combined into one result; nil when there is no entry.
    public func summed<Sum>(
        _ key: Key, into initial: Sum, _ combine: (inout Sum, Value) -> Void
    ) throws(BPFError) -> Sum? {
        guard let bytes = try raw.lookup(key) else { return nil }
        var sum = initial
        for cpu in 0..<bytes.count / stride { combine(&sum, bytes.rawBytes.value(at: cpu * stride)) }
        return sum
    }

    /// All entries with the sums over the CPUs, for values that consist of 64-bit counters only (wrapping addition).
    public func summedCounters() throws(BPFError) -> [(key: Key, sum: Value)] {
        try checkCounters()
        var sums: [(key: Key, sum: Value)] = []
        try raw.forEach { sums.append((key: $0.value(), sum: counterSum($1))) }
        return sums
    }

    /// The sums over the CPUs of the counters of `key`; nil when there is no entry.
    public func summedCounters(_ key: Key) throws(BPFError) -> Value? {
        try checkCounters()
        return try raw.lookup(key).map { counterSum($0.rawBytes) }
    }

    /// Deletes the entry of `key` and returns the sums over the CPUs of what it had counted; nil when there was none.
    public func takeCounters(_ key: Key) throws(BPFError) -> Value? {
        try checkCounters()
        return try raw.take(key).map { counterSum($0.rawBytes) }
    }

    private func checkCounters() throws(BPFError) {
        guard MemoryLayout<Value>.size.isMultiple(of: 8) else {
            throw BPFError(
                operation: "sum the counters of map", subject: name, errno: EINVAL,
                detail: "\(Value.self) does not consist of 64-bit counters")
        }
    }

    private func counterSum(_ bytes: RawSpan) -> Value {
        var sum: Value = bytes.value()
        let stride = stride
        for cpu in 1..<max(1, bytes.byteCount / stride) {
            let other: Value = bytes.value(at: cpu * stride)
            unsafe withUnsafeMutableBytes(of: &sum) { sum in
                unsafe withUnsafeBytes(of: other) { other in
                    // Whole words only: `checkCounters` has seen to it.
                    for offset in Swift.stride(from: 0, to: sum.count - 7, by: 8) {
                        let left = unsafe sum.load(fromByteOffset: offset, as: UInt64.self)
                        let right = unsafe other.load(fromByteOffset: offset, as: UInt64.self)
                        unsafe sum.storeBytes(of: left &+ right, toByteOffset: offset, as: UInt64.self)
                    }
                }
            }
        }
        return sum
    }

    private func values(in bytes: RawSpan) -> [Value] {
        (0..<bytes.byteCount / stride).map { bytes.value(at: $0 * stride) }
    }
}
