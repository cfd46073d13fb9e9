// Unsafe code of this file: bpf_btf_info, through which the kernel fills a buffer.

import CLibbpf
import Glibc

extension BTF {
    /// The raw BTF behind a descriptor.
    static func read(descriptor: CInt, id: UInt32) throws(BPFError) -> [UInt8] {
        var bytes: [UInt8] = []
        // The first call learns the size, the second gets the bytes.
        for _ in 0..<2 {
            var information = bpf_btf_info()
            var length = UInt32(MemoryLayout<bpf_btf_info>.size)
            let result = unsafe bytes.withUnsafeMutableBytes { buffer in
                information.btf = UInt64(UInt(bitPattern: buffer.baseAddress))
                information.btf_size = UInt32(buffer.count)
                return unsafe bpf_obj_get_info_by_fd(descriptor, &information, &length)
            }
            guard result == 0 else { throw BPFError(operation: "read", subject: "BTF \(id)", errno: -result) }
            guard information.kernel_btf == 0 else {
                throw BPFError(operation: "read", subject: "BTF \(id)", errno: EINVAL, detail: "it is the kernel's own")
            }
            if bytes.isEmpty { bytes = [UInt8](repeating: 0, count: Int(information.btf_size)) }
        }
        return bytes
    }
}
