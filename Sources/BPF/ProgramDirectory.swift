// Unsafe code of this file: bpf_prog_info, which holds C pointers, and the array of map ids that the kernel fills.

import CLibbpf
import Glibc

/// All BPF programs of the machine, whoever loaded them.
public enum ProgramDirectory {
    /// The programs that use one of these maps, in the order of their ids. Programs that end meanwhile are left out.
    ///
    /// - Parameter maps: the kernel's ids of the maps.
    /// - Throws: `BPFError` with EPERM without CAP_SYS_ADMIN.
    public static func using(anyOf maps: Set<UInt32>) throws(BPFError) -> [ProgramStatistics] {
        var programs: [ProgramStatistics] = []
        var id: UInt32 = 0
        while true {
            let result = unsafe bpf_prog_get_next_id(id, &id)
            if result == -ENOENT { return programs }
            guard result == 0 else { throw BPFError(operation: "list", subject: "BPF programs", errno: -result) }
            let opened = bpf_prog_get_fd_by_id(id)
            if opened == -ENOENT { continue }
            guard opened >= 0 else {
                throw BPFError(operation: "open the program", subject: "id \(id)", errno: -opened)
            }
            let descriptor = FileDescriptor(owning: opened)
            guard !maps.isDisjoint(with: try mapIDs(of: descriptor.rawValue)) else { continue }
            programs.append(try ProgramStatistics(descriptor: descriptor.rawValue, subject: "program \(id)"))
        }
    }

    /// No program of ours has more maps.
    private static let mostMaps = 256

    private static func mapIDs(of program: CInt) throws(BPFError) -> [UInt32] {
        var ids = [UInt32](repeating: 0, count: mostMaps)
        var information = bpf_prog_info()
        var length = UInt32(MemoryLayout<bpf_prog_info>.size)
        let result = unsafe ids.withUnsafeMutableBufferPointer { buffer in
            information.nr_map_ids = UInt32(buffer.count)
            information.map_ids = UInt64(UInt(bitPattern: buffer.baseAddress))
            return unsafe bpf_obj_get_info_by_fd(program, &information, &length)
        }
        guard result == 0 else { throw BPFError(operation: "describe the program", subject: "", errno: -result) }
        return Array(ids.prefix(Int(information.nr_map_ids)))
    }
}
