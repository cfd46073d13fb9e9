// Unsafe code of this file: libbpf's handles, borrowed from ObjectHandle for one call.

import CLibbpf
import CLinux
import Glibc

/// A BPF object (ELF image) whose maps and programs can be configured before `load()` gives them to the kernel.
public struct OpenObject: ~Copyable {
    let handle: ObjectHandle
    private var pinPaths: [(map: String, path: String)] = []

    /// Parses an ELF image with BTF.
    ///
    /// - Parameter name: the object's name in errors and the prefix of its internal maps.
    /// - Throws: `BPFError` with libbpf's words when the image is not a valid object.
    public init(name: String, image: [UInt8]) throws(BPFError) {
        let (opened, log) = unsafe LibbpfLog.capturing { () -> (OpaquePointer?, CInt) in
            unsafe image.withUnsafeBytes { bytes in
                unsafe name.withCString { text in
                    var options = unsafe bpf_object_open_opts()
                    unsafe options.sz = unsafe MemoryLayout<bpf_object_open_opts>.size
                    unsafe options.object_name = unsafe text
                    let object = unsafe bpf_object__open_mem(bytes.baseAddress, bytes.count, &options)
                    return unsafe (object, weft_errno())
                }
            }
        }
        guard let pointer = unsafe opened.0 else {
            throw BPFError(operation: "open the BPF object", subject: name, errno: unsafe opened.1, detail: log)
        }
        handle = unsafe ObjectHandle(pointer: pointer, name: name)
    }

    /// Names of the maps, in the order of the object; internal ones such as `.rodata` included.
    public var mapNames: [String] { handle.mapNames }

    /// Names of the programs, in the order of the object.
    public var programNames: [String] { handle.programNames }

    /// Sets the most entries that a map can have (bytes for a ring buffer: a power of two and a multiple of the page).
    public mutating func setMaxEntries(_ count: Int, ofMap name: String) throws(BPFError) {
        guard let entries = UInt32(exactly: count), entries > 0 else {
            throw BPFError(
                operation: "set the size of the map", subject: name, errno: EINVAL, detail: "\(count) entries")
        }
        let map = unsafe try handle.map(name)
        let result = unsafe bpf_map__set_max_entries(map, entries)
        guard result == 0 else { throw BPFError(operation: "set the size of the map", subject: name, errno: -result) }
    }

    /// Makes the map a shared one: at `load()` the map pinned at `path` is used if there is one, and it must have the
    /// same definition; otherwise the new map is pinned there. The directory must exist on a BPF file system.
    public mutating func setPinPath(_ path: String, ofMap name: String) throws(BPFError) {
        let map = unsafe try handle.map(name)
        let result = unsafe bpf_map__set_pin_path(map, path)
        guard result == 0 else {
            throw BPFError(operation: "set the pin path of the map", subject: name, errno: -result)
        }
        pinPaths.removeAll { $0.map == name }
        pinPaths.append((map: name, path: path))
    }

    /// Whether `load()` loads the program; programs that this kernel cannot run are left out this way.
    public mutating func setAutoload(_ isLoaded: Bool, ofProgram name: String) throws(BPFError) {
        let program = unsafe try handle.program(name)
        let result = unsafe bpf_program__set_autoload(program, isLoaded)
        guard result == 0 else {
            throw BPFError(operation: "set autoload of the program", subject: name, errno: -result)
        }
    }

    /// Sets a `const volatile` variable of the programs (section .rodata) to `value`; the verifier sees it as a constant.
    ///
    /// - Throws: `BPFError` with ENOENT when there is no such variable, EINVAL when its size differs from `value`'s.
    public mutating func setReadOnlyData<Value: BitwiseCopyable>(_ variable: String, to value: Value) throws(BPFError) {
        let operation = "set the read-only variable"
        var rawSize: UInt32 = 0
        guard let types = unsafe bpf_object__btf(handle.pointer), let raw = unsafe btf__raw_data(types, &rawSize) else {
            throw BPFError(operation: operation, subject: variable, errno: ENOENT, detail: "object without BTF")
        }
        let btf = try BTF(bytes: unsafe [UInt8](UnsafeRawBufferPointer(start: raw, count: Int(rawSize))))
        guard let place = btf.variable(variable, inSection: ".rodata") else {
            throw BPFError(operation: operation, subject: variable, errno: ENOENT, detail: "not in section .rodata")
        }
        guard place.size == MemoryLayout<Value>.size else {
            throw BPFError(
                operation: operation, subject: variable, errno: EINVAL,
                detail: "it has \(place.size) bytes, \(Value.self) has \(MemoryLayout<Value>.size)")
        }
        var size = 0
        let map = unsafe try handle.map(".rodata")
        guard let start = unsafe bpf_map__initial_value(map, &size), place.offset + place.size <= size else {
            throw BPFError(operation: operation, subject: variable, errno: EINVAL, detail: "outside of the section")
        }
        unsafe UnsafeMutableRawPointer(mutating: start).storeBytes(
            of: value, toByteOffset: place.offset, as: Value.self)
    }

    /// Creates or reuses the maps and loads the programs.
    ///
    /// - Throws: `BPFError`; its `detail` ends with the verifier's log when a program was refused. A pinned map of another
    ///   definition is refused with both definitions. Nothing stays behind in the kernel.
    public consuming func load() throws(BPFError) -> LoadedObject {
        for (map, path) in pinPaths { try checkPinned(map: map, path: path) }
        let (result, log) = LibbpfLog.capturing { unsafe bpf_object__load(handle.pointer) }
        guard result == 0 else {
            var detail = log
            if result == -EPERM { detail += (detail.isEmpty ? "" : "\n") + "loading BPF programs needs root (CAP_BPF)" }
            throw BPFError(operation: "load the BPF object", subject: handle.name, errno: -result, detail: detail)
        }
        return LoadedObject(handle: handle)
    }

    /// libbpf says only "parameter mismatch": find out what differs before it does.
    private func checkPinned(map name: String, path: String) throws(BPFError) {
        guard let descriptor = try FileDescriptor.ifPinned(at: path, as: "map") else { return }
        let found = try AnyMapInfo(descriptor: descriptor.rawValue, subject: path)
        let map = unsafe try handle.map(name)
        let wanted = unsafe MapDefinition(map: map)
        guard wanted.matches(found) else {
            throw BPFError(
                operation: "reuse the pinned map", subject: path, errno: EEXIST,
                detail: "pinned is (\(found.definition)), this version of map \(name) is (\(wanted.description)); "
                    + "`weft uninstall` removes what is pinned")
        }
    }
}

/// The definition of a map in an object that is not loaded yet.
private struct MapDefinition: CustomStringConvertible {
    let type: MapType
    let keySize: Int
    let valueSize: Int
    let maxEntries: Int
    let flags: UInt32

    init(map: OpaquePointer) {
        type = unsafe MapType(rawValue: bpf_map__type(map).rawValue)
        keySize = unsafe Int(bpf_map__key_size(map))
        valueSize = unsafe Int(bpf_map__value_size(map))
        maxEntries = unsafe Int(bpf_map__max_entries(map))
        flags = unsafe bpf_map__map_flags(map)
    }

    func matches(_ info: AnyMapInfo) -> Bool {
        type == info.type && keySize == info.keySize && valueSize == info.valueSize && maxEntries == info.maxEntries
            && flags == info.flags
    }

    var description: String {
        "\(type), key \(keySize) B, value \(valueSize) B, \(maxEntries) entries, flags 0x\(String(flags, radix: 16))"
    }
}
