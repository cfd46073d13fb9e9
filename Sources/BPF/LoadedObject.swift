// Unsafe code of this file: libbpf's handles, borrowed from ObjectHandle for one call.

import CLibbpf

/// An object whose maps and programs are in the kernel. What is taken from it lives on its own.
public struct LoadedObject: ~Copyable {
    let handle: ObjectHandle

    /// Names of the maps, in the order of the object.
    public var mapNames: [String] { handle.mapNames }

    /// Names of the programs, in the order of the object.
    public var programNames: [String] { handle.programNames }

    /// The map `name` as a map of `Key` and `Value`.
    ///
    /// - Throws: `BPFError` with EINVAL when the kernel's sizes are others, or ENOENT.
    public func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ name: String, _ key: Key.Type, _ value: Value.Type
    ) throws(BPFError) -> Map<Key, Value> {
        try Map(descriptor: descriptor(ofMap: name), name: name)
    }

    /// The per-CPU map `name`.
    public func perCPUMap<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ name: String, _ key: Key.Type, _ value: Value.Type
    ) throws(BPFError) -> PerCPUMap<Key, Value> {
        try PerCPUMap(descriptor: descriptor(ofMap: name), name: name)
    }

    /// The map of tables `name`.
    public func mapOfMaps<OuterKey: BitwiseCopyable>(
        _ name: String, _ key: OuterKey.Type
    ) throws(BPFError) -> MapOfMaps<OuterKey> {
        try MapOfMaps(descriptor: descriptor(ofMap: name), name: name)
    }

    /// The ring buffer `name`; `losses` as in `RingBuffer.init`.
    public func ringBuffer(
        _ name: String, losses: consuming PerCPUMap<UInt32, UInt64>? = nil, lossIndex: UInt32 = 0
    ) throws(BPFError) -> RingBuffer {
        try RingBuffer(descriptor: descriptor(ofMap: name), name: name, losses: losses, lossIndex: lossIndex)
    }

    /// A descriptor of its own for the map `name`, for maps that user space does not read (socket storage).
    public func descriptor(ofMap name: String) throws(BPFError) -> FileDescriptor {
        let map = unsafe try handle.map(name)
        return try FileDescriptor(duplicating: unsafe bpf_map__fd(map), subject: name)
    }

    /// The program `name`, ready to be attached.
    ///
    /// - Throws: `BPFError` with ENOENT; also when autoload was off for it.
    public func program(_ name: String) throws(BPFError) -> Program {
        let program = unsafe try handle.program(name)
        let descriptor = unsafe bpf_program__fd(program)
        guard descriptor >= 0 else {
            throw BPFError(
                operation: "use the program", subject: name, errno: -descriptor, detail: "it was not loaded (autoload)")
        }
        return try Program(
            descriptor: FileDescriptor(duplicating: descriptor, subject: name), name: name,
            attachType: AttachType(rawValue: unsafe bpf_program__expected_attach_type(program).rawValue))
    }
}
