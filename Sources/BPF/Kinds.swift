import CLibbpf

/// A type of BPF map, as the kernel numbers them.
public struct MapType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let hash = MapType(rawValue: BPF_MAP_TYPE_HASH.rawValue)
    public static let array = MapType(rawValue: BPF_MAP_TYPE_ARRAY.rawValue)
    public static let perCPUHash = MapType(rawValue: BPF_MAP_TYPE_PERCPU_HASH.rawValue)
    public static let perCPUArray = MapType(rawValue: BPF_MAP_TYPE_PERCPU_ARRAY.rawValue)
    public static let lruHash = MapType(rawValue: BPF_MAP_TYPE_LRU_HASH.rawValue)
    public static let lruPerCPUHash = MapType(rawValue: BPF_MAP_TYPE_LRU_PERCPU_HASH.rawValue)
    public static let lpmTrie = MapType(rawValue: BPF_MAP_TYPE_LPM_TRIE.rawValue)
    public static let arrayOfMaps = MapType(rawValue: BPF_MAP_TYPE_ARRAY_OF_MAPS.rawValue)
    public static let hashOfMaps = MapType(rawValue: BPF_MAP_TYPE_HASH_OF_MAPS.rawValue)
    public static let sockMap = MapType(rawValue: BPF_MAP_TYPE_SOCKMAP.rawValue)
    public static let sockHash = MapType(rawValue: BPF_MAP_TYPE_SOCKHASH.rawValue)
    public static let socketStorage = MapType(rawValue: BPF_MAP_TYPE_SK_STORAGE.rawValue)
    public static let ringBuffer = MapType(rawValue: BPF_MAP_TYPE_RINGBUF.rawValue)

    /// Whether an entry has one value for each possible CPU.
    public var isPerCPU: Bool {
        self == .perCPUHash || self == .perCPUArray || self == .lruPerCPUHash
            || rawValue == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE.rawValue
    }

    /// Whether all entries exist from the start and none can be deleted.
    public var isArray: Bool {
        self == .array || self == .perCPUArray
    }

    /// libbpf's name, for example `percpu_hash`.
    public var description: String {
        let name = unsafe string(libbpf_bpf_map_type_str(bpf_map_type(rawValue)))
        return name.isEmpty ? "type \(rawValue)" : name
    }
}

/// Where a program is attached, as the kernel numbers the hooks.
public struct AttachType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let traceIterator = AttachType(rawValue: BPF_TRACE_ITER.rawValue)

    /// libbpf's name, for example `cgroup_inet4_connect`.
    public var description: String {
        let name = unsafe string(libbpf_bpf_attach_type_str(bpf_attach_type(rawValue)))
        return name.isEmpty ? "type \(rawValue)" : name
    }
}

/// A type of BPF program, as the kernel numbers them.
public struct ProgramType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// libbpf's name, for example `cgroup_sock_addr`.
    public var description: String {
        let name = unsafe string(libbpf_bpf_prog_type_str(bpf_prog_type(rawValue)))
        return name.isEmpty ? "type \(rawValue)" : name
    }
}
