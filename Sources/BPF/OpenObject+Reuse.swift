// Unsafe code of this file: libbpf's handles, borrowed from ObjectHandle for one call.

import CLibbpf

extension OpenObject {
    /// Lets `load()` take a map that exists, whatever the object says of its size, instead of making its own.
    public mutating func reuse(_ descriptor: borrowing FileDescriptor, asMap name: String) throws(BPFError) {
        let map = unsafe try handle.map(name)
        // libbpf keeps a descriptor of its own.
        let result = unsafe bpf_map__reuse_fd(map, descriptor.rawValue)
        guard result == 0 else { throw BPFError(operation: "reuse the map", subject: name, errno: -result) }
    }
}
