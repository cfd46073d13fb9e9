import BPF
import CLinux
import Glibc

/// The few file system calls that this module needs; results are values or an errno, so that callers have no pointers.
enum FileSystem {
    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// A descriptor of the directory, or one that is negative (see errno).
    static func openDirectory(_ path: String) -> FileDescriptor {
        FileDescriptor(owning: unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    }

    /// A read-only descriptor of the file, or one that is negative (see errno).
    static func openFile(_ path: String) -> FileDescriptor {
        FileDescriptor(owning: unsafe open(path, O_RDONLY | O_CLOEXEC))
    }

    /// Returns 0 or the errno.
    static func makeDirectory(_ path: String, mode: mode_t) -> CInt {
        unsafe mkdir(path, mode) == 0 ? 0 : weft_errno()
    }

    /// Returns 0 or the errno.
    @discardableResult
    static func removeDirectory(_ path: String) -> CInt { unsafe rmdir(path) == 0 ? 0 : weft_errno() }

    /// Returns 0 or the errno.
    static func unlinkFile(_ path: String) -> CInt { unsafe unlink(path) == 0 ? 0 : weft_errno() }

    /// The inode that the path leads to; nil if there is none.
    static func inode(_ path: String) -> UInt64? {
        var information = stat()
        return unsafe stat(path, &information) == 0 ? UInt64(information.st_ino) : nil
    }

    /// The file system's type number; nil if the path leads nowhere.
    static func magic(_ path: String) -> UInt32? {
        var information = statfs()
        return unsafe statfs(path, &information) == 0 ? UInt32(truncatingIfNeeded: information.f_type) : nil
    }

    /// The kernel's id of a cgroup; 0 if there is none at the path.
    static func cgroupID(_ path: String) -> UInt64 { unsafe weft_cgroup_id(path) }

    /// The names in a directory, sorted; empty if it cannot be read.
    static func entries(of directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: unsafe entry.pointee.d_name) { buffer in
                unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The content of a small file, such as one of /proc; nil if it cannot be read.
    static func text(_ path: String) -> String? {
        let file = openFile(path)
        guard file.rawValue >= 0 else { return nil }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(file.rawValue, $0.baseAddress, $0.count) }
            if count > 0 {
                content += buffer[..<count]
            } else if count == 0 {
                return String(decoding: content, as: UTF8.self)
            } else if weft_errno() != EINTR {
                return nil
            }
        }
    }

    /// Writes a small file of the kernel in one call; returns 0 or the errno.
    static func write(_ text: String, to path: String) -> CInt {
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return weft_errno() }
        let file = FileDescriptor(owning: descriptor)
        let bytes = Array(text.utf8)
        return unsafe Glibc.write(file.rawValue, bytes, bytes.count) == bytes.count ? 0 : weft_errno()
    }
}
