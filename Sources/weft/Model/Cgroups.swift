import CLinux
import Glibc
import KernelPlane
import Synchronization

/// Paths of cgroups by their ids: the id is the inode number of the cgroup's directory.
final class CgroupPaths: Sendable {
    static let shared = CgroupPaths()

    private let paths = Mutex<[UInt64: String]?>(nil)

    /// The path below the cgroup v2 root; nil for a cgroup that is gone or outside this process's view.
    func path(of id: UInt64) -> String? {
        paths.withLock { paths in
            let known = paths ?? Self.walk()
            paths = known
            return known[id]
        }
    }

    private static func walk() -> [UInt64: String] {
        guard let root = CgroupRoot.find() else { return [:] }
        var found: [UInt64: String] = [:]
        let id = unsafe weft_cgroup_id(root)
        if id != 0 { found[id] = "/" }
        var directories = [""]
        while let path = directories.popLast() {
            guard let directory = unsafe opendir(root + path) else { continue }
            defer { unsafe closedir(directory) }
            while let entry = unsafe readdir(directory) {
                let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                guard unsafe entry.pointee.d_type == UInt8(DT_DIR), name != ".", name != ".." else { continue }
                unsafe found[UInt64(entry.pointee.d_ino)] = "\(path)/\(name)"
                directories.append("\(path)/\(name)")
            }
        }
        return found
    }
}

/// A cgroup id, or the path of a cgroup (below the cgroup v2 root, or whole).
func parseCgroup(_ text: String) throws -> UInt64? {
    if let id = UInt64(text) ?? parseIdentifier(text) { return id }
    guard text.hasPrefix("/") else { return nil }
    guard let root = CgroupRoot.find() else { throw Failure.unknown("no cgroup v2 hierarchy is mounted") }
    let id = unsafe weft_cgroup_id(text.hasPrefix(root + "/") ? text : root + text)
    guard id != 0 else { throw Failure.no("there is no cgroup \(text) below \(root)") }
    return id
}

/// The cgroup v2 path of a process, from /proc/PID/cgroup.
func cgroupPath(ofProcess pid: Int32) throws -> String {
    guard let text = readText("/proc/\(pid)/cgroup") else { throw Failure.no("there is no process \(pid)") }
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("0::") }) else {
        throw Failure.unknown("process \(pid) is in no cgroup of the v2 hierarchy")
    }
    return String(line.dropFirst(3))
}
