import CLibbpf
import Glibc

/// All BPF maps of the machine, whoever made them.
public enum MapDirectory {
    /// Describes every map, in the order of their ids. Maps that end meanwhile are left out.
    ///
    /// - Throws: `BPFError` with EPERM without CAP_SYS_ADMIN.
    public static func all() throws(BPFError) -> [AnyMapInfo] {
        var maps: [AnyMapInfo] = []
        var id: UInt32 = 0
        while true {
            let result = unsafe bpf_map_get_next_id(id, &id)
            if result == -ENOENT { return maps }
            guard result == 0 else { throw BPFError(operation: "list", subject: "BPF maps", errno: -result) }
            if let map = try open(id: id) {
                maps.append(try AnyMapInfo(descriptor: map.rawValue, subject: "map \(id)"))
            }
        }
    }

    /// The map with the kernel's `id`; nil when there is none.
    ///
    /// - Throws: `BPFError` with the kernel's errno, for example EPERM.
    public static func open(id: UInt32) throws(BPFError) -> FileDescriptor? {
        let result = bpf_map_get_fd_by_id(id)
        if result == -ENOENT { return nil }
        guard result >= 0 else { throw BPFError(operation: "open the map", subject: "id \(id)", errno: -result) }
        return FileDescriptor(owning: result)
    }
}
