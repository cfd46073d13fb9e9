// Unsafe code of this file: directory streams, and buffers that system calls fill.

import CLinux
import Glibc

/// The few file system calls that a watch needs. Processes end at any time: what cannot be read is nil or empty.
enum ProcFiles {
    /// The whole content of a small file; nil if it cannot be read.
    static func text(_ path: String) -> String? { bytes(path, limit: .max).map { String(decoding: $0, as: UTF8.self) } }

    /// The first bytes of a file, as many as `limit`.
    static func bytes(_ path: String, limit: Int) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 * 1024)
        while content.count < limit {
            let wanted = min(chunk.count, limit - content.count)
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, wanted) }
            if count > 0 {
                content += chunk[..<count]
            } else if count == 0 {
                break
            } else if weft_errno() != EINTR {
                return nil
            }
        }
        return content
    }

    /// The names in a directory; nil if it cannot be read.
    static func entries(_ path: String) -> [String]? {
        guard let stream = unsafe opendir(path) else { return nil }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: unsafe entry.pointee.d_name) { buffer in
                unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// What a symbolic link says.
    static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = buffer.count
        let count = unsafe readlink(path, &buffer, length)
        return count >= 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    /// What tells one content of a file from another without reading it.
    struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var changed: Int64
        var isRegular: Bool
    }

    /// Of what the path leads to.
    static func identity(_ path: String) -> Identity? {
        var information = stat()
        guard unsafe stat(path, &information) == 0 else { return nil }
        return Identity(
            device: UInt64(information.st_dev), inode: UInt64(information.st_ino), size: Int64(information.st_size),
            changed: Int64(information.st_mtim.tv_sec) * 1_000_000_000 + Int64(information.st_mtim.tv_nsec),
            isRegular: information.st_mode & S_IFMT == S_IFREG)
    }
}
