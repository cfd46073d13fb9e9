// Unsafe code of this file: libbpf's handles. They are valid as long as the object that they were taken from.

import CLibbpf
import Glibc

/// Owns a libbpf object; every map and program handle taken from it is valid as long as it lives.
@safe struct ObjectHandle: ~Copyable {
    let pointer: OpaquePointer
    let name: String

    deinit {
        unsafe bpf_object__close(pointer)
    }

    func map(_ name: String) throws(BPFError) -> OpaquePointer {
        guard let map = unsafe bpf_object__find_map_by_name(pointer, name) else {
            throw BPFError(
                operation: "find the map", subject: name, errno: ENOENT, detail: "object \(self.name) has none")
        }
        return unsafe map
    }

    func program(_ name: String) throws(BPFError) -> OpaquePointer {
        guard let program = unsafe bpf_object__find_program_by_name(pointer, name) else {
            throw BPFError(
                operation: "find the program", subject: name, errno: ENOENT, detail: "object \(self.name) has none")
        }
        return unsafe program
    }

    var mapNames: [String] {
        var names: [String] = []
        var map = unsafe bpf_object__next_map(pointer, nil)
        while let current = unsafe map {
            names.append(unsafe string(bpf_map__name(current)))
            unsafe map = unsafe bpf_object__next_map(pointer, current)
        }
        return names
    }

    var programNames: [String] {
        var names: [String] = []
        var program = unsafe bpf_object__next_program(pointer, nil)
        while let current = unsafe program {
            names.append(unsafe string(bpf_program__name(current)))
            unsafe program = unsafe bpf_object__next_program(pointer, current)
        }
        return names
    }
}
