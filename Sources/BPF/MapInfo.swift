// What the kernel knows of a map.
//
// Unsafe code of this file: the bpf_map_info structure that the kernel fills, and its name of 16 bytes.

import CLibbpf
import CLinux
import Glibc

/// The kernel's description of one map (bpf_map_info).
public struct AnyMapInfo: Sendable, Hashable {
    public let id: UInt32
    /// At most 15 characters; empty for maps without a name.
    public let name: String
    public let type: MapType
    /// Bytes of a key.
    public let keySize: Int
    /// Bytes of a value; of one CPU's value for per-CPU maps.
    public let valueSize: Int
    /// The most entries that the map can have; bytes for a ring buffer.
    public let maxEntries: Int
    /// BPF_F_… flags that the map was made with.
    public let flags: UInt32
    /// The kernel's id of the map's BTF; 0 without BTF.
    public let btfID: UInt32
    /// The key's type in that BTF; 0 when it has none.
    public let btfKeyTypeID: UInt32
    /// The value's type in that BTF; 0 when it has none.
    public let btfValueTypeID: UInt32
    /// Memory that the kernel accounts to the map, in bytes; nil when the kernel does not say.
    public let memoryBytes: Int?

    /// Asks the kernel about the map `descriptor`.
    init(descriptor: CInt, subject: String) throws(BPFError) {
        var information = bpf_map_info()
        var length = UInt32(MemoryLayout<bpf_map_info>.size)
        let result = unsafe bpf_obj_get_info_by_fd(descriptor, &information, &length)
        guard result == 0 else { throw BPFError(operation: "describe the map", subject: subject, errno: -result) }
        id = information.id
        name = unsafe withUnsafeBytes(of: information.name) { bytes in
            unsafe String(decoding: unsafe bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        type = MapType(rawValue: information.type)
        keySize = Int(information.key_size)
        valueSize = Int(information.value_size)
        maxEntries = Int(information.max_entries)
        flags = information.map_flags
        btfID = information.btf_id
        btfKeyTypeID = information.btf_key_type_id
        btfValueTypeID = information.btf_value_type_id
        memoryBytes = Self.memory(of: descriptor)
    }

    /// Bytes that one entry's value takes in a system call: per-CPU values are rounded up to 8 bytes each.
    var transferredValueSize: Int {
        if type.isPerCPU { return (valueSize + 7) / 8 * 8 * BPFSystem.possibleCPUs }
        return type == .hashOfMaps || type == .arrayOfMaps ? MemoryLayout<UInt32>.size : valueSize
    }

    /// The definition in words, for errors that compare two.
    var definition: String {
        "\(type), key \(keySize) B, value \(valueSize) B, \(maxEntries) entries, flags 0x\(String(flags, radix: 16))"
    }

    /// The `memlock:` line of the descriptor's fdinfo (proc(5)).
    private static func memory(of descriptor: CInt) -> Int? {
        guard let text = readSmallFile("/proc/self/fdinfo/\(descriptor)") else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("memlock:") {
            return Int(line.dropFirst("memlock:".count).drop { $0 == " " || $0 == "\t" })
        }
        return nil
    }
}

/// The first 4 KiB of a file of procfs; nil when it cannot be read.
func readSmallFile(_ path: String) -> String? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
    guard count > 0 else { return nil }
    return String(decoding: buffer.prefix(count), as: UTF8.self)
}
