// Unsafe code of this file: buffers and structures of system calls, valid during the calls alone.

import CLinux
import Glibc

/// Files that hold keys and what belongs to them: small, replaced as a whole, and nobody else's to read.
public enum StateFile {
    /// No file of certificates is larger; a larger one is a mistake.
    public static let sizeLimit = 4 << 20

    /// The whole content of a file.
    public static func read(_ path: String) throws(IdentityError) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("cannot read \(path)") }
        defer { close(descriptor) }
        var information = stat()
        guard unsafe fstat(descriptor, &information) == 0 else { throw failure("cannot read \(path)") }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw IdentityError(.file, "cannot read \(path): it is not a regular file")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            if count < 0 && weft_errno() == EINTR { continue }
            guard count > 0 else { throw failure("cannot read \(path)") }
            bytes += chunk[..<count]
            guard bytes.count <= sizeLimit else {
                throw IdentityError(.file, "\(path) has more than \(sizeLimit >> 20) MiB: it is not a file of keys")
            }
        }
    }

    /// Whether something is at `path`.
    public static func exists(_ path: String) -> Bool {
        var information = stat()
        return unsafe lstat(path, &information) == 0
    }

    /// Replaces a file, readable by its owner alone: after a crash there is the old content or the new one.
    public static func write(_ bytes: [UInt8], to path: String) throws(IdentityError) {
        let temporary = "\(path)\(temporarySuffix)\(hexadecimal(try OpenSSL.randomBytes(6)))"
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = unsafe open(temporary, flags, mode_t(0o600))
        guard descriptor >= 0 else { throw failure("cannot write \(path)") }
        var problem: IdentityError?
        // The umask may have taken bits away.
        if fchmod(descriptor, 0o600) != 0 { problem = failure("cannot write \(path)") }
        var rest = bytes[...]
        while problem == nil && !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if weft_errno() != EINTR {
                problem = failure("cannot write \(path)")
            }
        }
        if problem == nil && fsync(descriptor) != 0 { problem = failure("cannot write \(path)") }
        close(descriptor)
        if unsafe problem == nil && Glibc.rename(temporary, path) != 0 { problem = failure("cannot write \(path)") }
        if let problem {
            _ = unsafe unlink(temporary)
            throw problem
        }
        synchronize(directoryOf: path)
    }

    /// Gives a file another name, in place of what had it; false if there is no such file.
    static func rename(_ path: String, to target: String) throws(IdentityError) -> Bool {
        guard unsafe Glibc.rename(path, target) == 0 else {
            if weft_errno() == ENOENT { return false }
            throw failure("cannot rename \(path)")
        }
        synchronize(directoryOf: target)
        return true
    }

    static func remove(_ path: String) throws(IdentityError) {
        guard unsafe unlink(path) == 0 || weft_errno() == ENOENT else { throw failure("cannot remove \(path)") }
        synchronize(directoryOf: path)
    }

    /// Makes a directory, with those above it, and keeps everybody else out of it.
    public static func makePrivateDirectory(_ path: String) throws(IdentityError) {
        var made = path.hasPrefix("/") ? "" : "."
        for element in path.split(separator: "/") {
            made += "/\(element)"
            guard unsafe mkdir(made, 0o700) == 0 || weft_errno() == EEXIST else {
                throw failure("cannot make the directory \(made)")
            }
        }
        guard unsafe chmod(path, 0o700) == 0 else { throw failure("cannot close the directory \(path) to others") }
    }

    /// Names of what is in a directory, sorted; empty if there is none.
    public static func names(in directory: String) throws(IdentityError) -> [String] {
        guard let stream = unsafe opendir(directory) else {
            if weft_errno() == ENOENT { return [] }
            throw failure("cannot read the directory \(directory)")
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Removes what writes left behind that were cut off. The caller holds the directory's lock.
    static func removeTemporaries(in directory: String) throws(IdentityError) {
        for name in try names(in: directory) where name.contains(temporarySuffix) {
            try remove("\(directory)/\(name)")
        }
    }

    private static let temporarySuffix = ".tmp-"

    /// Makes the names in a directory survive a crash. Where that is not possible the file is there all the same.
    private static func synchronize(directoryOf path: String) {
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let descriptor = unsafe open(directory.isEmpty ? "/" : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = fsync(descriptor)
        close(descriptor)
    }

    static func failure(_ what: String) -> IdentityError {
        let text = unsafe strerror(weft_errno()).map { unsafe String(cString: $0) } ?? "error \(weft_errno())"
        return IdentityError(.file, "\(what): \(text)")
    }
}

/// What tells one content of a file from another without reading it; follows links, as those that Kubernetes swaps.
struct FileSignature: Equatable {
    private var device: UInt
    private var inode: UInt
    private var size: Int
    private var seconds: Int
    private var nanoseconds: Int

    /// When the content was last written: seconds since 1970.
    var modified: Int64 { Int64(seconds) }

    /// nil if there is no such file.
    init?(_ path: String) {
        var information = stat()
        guard unsafe stat(path, &information) == 0 else { return nil }
        device = UInt(information.st_dev)
        inode = UInt(information.st_ino)
        size = Int(information.st_size)
        seconds = information.st_mtim.tv_sec
        nanoseconds = information.st_mtim.tv_nsec
    }
}

/// Keeps other processes from changing a directory until it is released (flock(2) of the file `lock` in it).
struct DirectoryLock {
    private let descriptor: CInt

    init(_ directory: String) throws(IdentityError) {
        let path = "\(directory)/lock"
        descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        guard descriptor >= 0 else { throw StateFile.failure("cannot lock \(directory)") }
        while flock(descriptor, LOCK_EX) != 0 {
            guard weft_errno() == EINTR else {
                let error = StateFile.failure("cannot lock \(directory)")
                close(descriptor)
                throw error
            }
        }
    }

    func release() { close(descriptor) }
}
