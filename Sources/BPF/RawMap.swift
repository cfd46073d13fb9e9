// The system calls on maps, on bytes. The typed maps are views of it.
//
// Unsafe code of this file: pointers to keys and values for the duration of one system call. Every buffer has the size
// that the kernel reported for the map when it was opened.

import CLibbpf
import Glibc

/// How an entry may be written (bpf(2), BPF_MAP_UPDATE_ELEM).
public enum UpdateMode: UInt64, Sendable {
    /// Create or replace.
    case any = 0
    /// Only if there is no such key: EEXIST otherwise.
    case create = 1
    /// Only if there is such a key: ENOENT otherwise.
    case replace = 2
}

struct RawMap: ~Copyable, Sendable {
    /// Entries in one batch.
    private static let batchLength = 4096
    /// Batches in a row that may bring nothing because others change the map.
    private static let stallLimit = 100

    /// The kernel's ENOTSUPP, which is not in errno.h.
    static let notSupported: CInt = 524

    let name: String
    let info: AnyMapInfo
    let descriptor: FileDescriptor
    private let valueSize: Int

    var fd: CInt { descriptor.rawValue }

    init(descriptor: consuming FileDescriptor, name: String) throws(BPFError) {
        self.name = name
        info = try AnyMapInfo(descriptor: descriptor.rawValue, subject: name)
        valueSize = info.transferredValueSize
        self.descriptor = descriptor
    }

    init(pinnedAt path: String, name: String) throws(BPFError) {
        try self.init(descriptor: FileDescriptor(pinnedAt: path, as: "map"), name: name)
    }

    // MARK: one entry

    func lookup<Key: BitwiseCopyable>(_ key: Key) throws(BPFError) -> [UInt8]? {
        var value = [UInt8](repeating: 0, count: valueSize)
        let result = unsafe withUnsafeBytes(of: key) { key in
            unsafe value.withUnsafeMutableBytes { unsafe bpf_map_lookup_elem(fd, key.baseAddress, $0.baseAddress) }
        }
        if result == -ENOENT { return nil }
        guard result == 0 else { throw BPFError(operation: "look up an entry of map", subject: name, errno: -result) }
        return value
    }

    func update<Key: BitwiseCopyable>(_ key: Key, _ value: RawSpan, mode: UpdateMode) throws(BPFError) {
        precondition(value.byteCount == valueSize)
        let result = unsafe withUnsafeBytes(of: key) { key in
            unsafe value.withUnsafeBytes {
                unsafe bpf_map_update_elem(fd, key.baseAddress, $0.baseAddress, mode.rawValue)
            }
        }
        guard result == 0 else { throw updateError(-result) }
    }

    /// False when there was no such entry.
    func delete<Key: BitwiseCopyable>(_ key: Key) throws(BPFError) -> Bool {
        let result = unsafe withUnsafeBytes(of: key) { unsafe bpf_map_delete_elem(fd, $0.baseAddress) }
        if result == -ENOENT { return false }
        guard result == 0 else { throw BPFError(operation: "delete an entry of map", subject: name, errno: -result) }
        return true
    }

    /// Deletes an entry and returns what it was; nil when there was none.
    ///
    /// What a program counts in the moment between, in an entry that it has found just before, is lost.
    func take<Key: BitwiseCopyable>(_ key: Key) throws(BPFError) -> [UInt8]? {
        var value = [UInt8](repeating: 0, count: valueSize)
        let result = unsafe withUnsafeBytes(of: key) { key in
            unsafe value.withUnsafeMutableBytes {
                unsafe bpf_map_lookup_and_delete_elem(fd, key.baseAddress, $0.baseAddress)
            }
        }
        switch -result {
        case 0: return value
        case ENOENT: return nil
        case Self.notSupported, EOPNOTSUPP, EINVAL:
            // In one step since Linux 5.14.
            guard let last = try lookup(key) else { return nil }
            return try delete(key) ? last : nil
        default: throw BPFError(operation: "take an entry out of map", subject: name, errno: -result)
        }
    }

    func updateError(_ code: CInt, applied: Int? = nil, key: String = "") -> BPFError {
        var detail =
            switch code {
            // Arrays say E2BIG for an index beyond their end, hashes for one entry too many, tries ENOSPC.
            case E2BIG where info.type.isArray || info.type == .arrayOfMaps:
                "the index is beyond the \(info.maxEntries) entries of the array"
            case E2BIG, ENOSPC: "the map is full: its limit is \(info.maxEntries) entries"
            case ENOMEM: "the kernel has no memory for another entry"
            case EPERM: "the map is read-only for this process"
            default: ""
            }
        if !key.isEmpty { detail += (detail.isEmpty ? "" : "; ") + "failing key \(key)" }
        return BPFError(
            operation: "write an entry of map", subject: name, errno: code, detail: detail, appliedCount: applied)
    }

    // MARK: all entries

    /// Hands every entry to `body`, in no order. Entries that come or go meanwhile may or may not be seen.
    func forEach(_ body: (_ key: RawSpan, _ value: RawSpan) -> Void) throws(BPFError) {
        if try !forEachInBatches(body) { try forEachInSteps(body) }
    }

    /// False when the kernel cannot read this type of map in batches: nothing was handed out then.
    private func forEachInBatches(_ body: (_ key: RawSpan, _ value: RawSpan) -> Void) throws(BPFError) -> Bool {
        let keySize = info.keySize
        var capacity = min(max(info.maxEntries, 1), max(16, Self.batchLength * 64 / max(valueSize, 64)))
        var keys = [UInt8](repeating: 0, count: capacity * keySize)
        var values = [UInt8](repeating: 0, count: capacity * valueSize)
        // Where the kernel goes on: a bucket's number in hashes, a key in others.
        var position = [UInt8](repeating: 0, count: max(keySize, 8))
        var isFirst = true
        var stalls = 0
        while true {
            var count = UInt32(capacity)
            let result = unsafe position.withUnsafeMutableBytes { position in
                unsafe keys.withUnsafeMutableBytes { keys in
                    unsafe values.withUnsafeMutableBytes { values in
                        unsafe bpf_map_lookup_batch(
                            fd, isFirst ? nil : position.baseAddress, position.baseAddress, keys.baseAddress,
                            values.baseAddress, &count, nil)
                    }
                }
            }
            switch -result {
            case 0, ENOENT,
                EINTR where !isFirst && stalls < Self.stallLimit:
                for index in 0..<min(Int(count), capacity) {
                    body(
                        keys.rawBytes.extracting(index * keySize..<(index + 1) * keySize),
                        values.rawBytes.extracting(index * valueSize..<(index + 1) * valueSize))
                }
                if -result == ENOENT { return true }
                // EINTR: keys vanished under the kernel's feet; it told how far it came, and goes on from there.
                stalls = result == 0 || count > 0 ? 0 : stalls + 1
                isFirst = false
            case ENOSPC where capacity <= 2 * info.maxEntries:
                // A bucket with more entries than the buffer holds; nothing of it was handed out.
                capacity *= 2
                keys = [UInt8](repeating: 0, count: capacity * keySize)
                values = [UInt8](repeating: 0, count: capacity * valueSize)
            case Self.notSupported where isFirst, EOPNOTSUPP where isFirst, EINVAL where isFirst, EINTR where isFirst:
                return false
            default:
                throw BPFError(operation: "read the entries of map", subject: name, errno: -result)
            }
        }
    }

    /// One system call for a key and one for a value. When the key that we stand on is deleted meanwhile, a hash starts
    /// again from its beginning: keys that were handed out are skipped, and the number of steps is bounded.
    private func forEachInSteps(_ body: (_ key: RawSpan, _ value: RawSpan) -> Void) throws(BPFError) {
        var seen: Set<[UInt8]> = []
        var key = [UInt8](repeating: 0, count: max(info.keySize, 1))
        var next = key
        var value = [UInt8](repeating: 0, count: valueSize)
        var isFirst = true
        var steps = info.maxEntries * 4 + 64
        while steps > 0 {
            steps -= 1
            let result = unsafe key.withUnsafeBytes { key in
                unsafe next.withUnsafeMutableBytes { next in
                    unsafe bpf_map_get_next_key(fd, isFirst ? nil : key.baseAddress, next.baseAddress)
                }
            }
            if result == -ENOENT { return }
            guard result == 0 else {
                let isListable = ![Self.notSupported, EOPNOTSUPP].contains(-result)
                throw BPFError(
                    operation: "list the keys of map", subject: name, errno: -result,
                    detail: isListable ? "" : "user space cannot list the entries of a \(info.type)")
            }
            isFirst = false
            swap(&key, &next)
            guard seen.insert(key).inserted else { continue }
            let found = unsafe key.withUnsafeBytes { key in
                unsafe value.withUnsafeMutableBytes { unsafe bpf_map_lookup_elem(fd, key.baseAddress, $0.baseAddress) }
            }
            if found == -ENOENT { continue }
            guard found == 0 else { throw BPFError(operation: "read an entry of map", subject: name, errno: -found) }
            body(key.rawBytes, value.rawBytes)
        }
    }

    // MARK: many entries

    /// Writes entries given as keys and values one after the other.
    ///
    /// - Throws: `BPFError` with the number of entries written before the one that failed.
    func updateAll(keys: [UInt8], values: [UInt8], count total: Int, mode: UpdateMode) throws(BPFError) {
        precondition(keys.count == total * info.keySize && values.count == total * valueSize)
        var done = 0
        var usesBatches = true
        while done < total {
            let length = usesBatches ? min(Self.batchLength, total - done) : 1
            var count = UInt32(length)
            let result = unsafe keys.withUnsafeBytes { keys in
                unsafe values.withUnsafeBytes { values in
                    let key = unsafe keys.baseAddress?.advanced(by: done * info.keySize)
                    let value = unsafe values.baseAddress?.advanced(by: done * valueSize)
                    if !usesBatches { return unsafe bpf_map_update_elem(fd, key, value, mode.rawValue) }
                    var options = bpf_map_batch_opts()
                    options.sz = MemoryLayout<bpf_map_batch_opts>.size
                    options.elem_flags = mode.rawValue
                    return unsafe bpf_map_update_batch(fd, key, value, &count, &options)
                }
            }
            if result == 0 {
                done += length
                continue
            }
            if usesBatches {
                // Not every kernel counts right when a batch is refused as a whole; entry by entry it becomes exact,
                // and writing an entry again that is already there is harmless unless it must be new.
                usesBatches = false
                if ![Self.notSupported, EOPNOTSUPP, EINVAL].contains(-result), Int(count) < length {
                    done += Int(count)
                }
                continue
            }
            let key = hexadecimal(keys[done * info.keySize..<(done + 1) * info.keySize])
            throw updateError(-result, applied: done, key: key)
        }
    }

    /// Deletes entries; keys without an entry are passed over. Returns how many there were.
    func deleteAll(keys: [UInt8], count total: Int) throws(BPFError) -> Int {
        precondition(keys.count == total * info.keySize)
        var done = 0
        var deleted = 0
        var usesBatches = true
        while done < total {
            let length = usesBatches ? min(Self.batchLength, total - done) : 1
            var count = UInt32(length)
            let result = unsafe keys.withUnsafeBytes { keys in
                let key = unsafe keys.baseAddress?.advanced(by: done * info.keySize)
                return usesBatches
                    ? unsafe bpf_map_delete_batch(fd, key, &count, nil) : unsafe bpf_map_delete_elem(fd, key)
            }
            switch -result {
            case 0:
                done += length
                deleted += length
            case ENOENT where usesBatches && Int(count) < length:
                // The batch stopped at a key without an entry.
                done += Int(count) + 1
                deleted += Int(count)
            case ENOENT where !usesBatches:
                done += 1
            default:
                guard usesBatches else {
                    throw BPFError(
                        operation: "delete an entry of map", subject: name, errno: -result, appliedCount: deleted)
                }
                usesBatches = false
            }
        }
        return deleted
    }
}

/// Bytes as text: `0x0a00…`.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    var text = "0x"
    for byte in bytes {
        if byte < 16 { text += "0" }
        text += String(byte, radix: 16)
    }
    return text
}
