#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What tells one version of a file from another without reading it.
struct FileSignature: Equatable, Sendable {
    var device: UInt64
    var inode: UInt64
    var size: Int64
    var modified: Int64
    /// Of the inode: cannot be set back by the writer.
    var changed: Int64

    init(_ status: stat) {
        func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        modified = nanoseconds(status.st_mtim)
        changed = nanoseconds(status.st_ctim)
    }
}

/// One version of a file.
struct ConfigFile {
    var signature: FileSignature?
    var parsed: ParsedFile
    /// The directory that a symbolic link leads to; changes there are not seen in the link's own.
    var linkTarget: String?
    /// It changed while it was read: to be read again.
    var isTorn = false

    /// Whether the name is one of a configuration file: .yaml, .yml or .json, and not hidden.
    static func isRelevant(_ name: some StringProtocol) -> Bool {
        !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    /// Reads and parses a file; nil if there is none, or if it is a directory.
    static func read(_ path: String, parser: FileParser, previous: ParsedFile?) -> ConfigFile? {
        let target = linkTarget(path)
        func failure(_ message: String) -> ConfigFile {
            ConfigFile(parsed: ParsedFile(failure: message), linkTarget: target)
        }
        // Not to wait for the writer of a FIFO.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let error = errno
            if error == ENOENT, target == nil { return nil }
            return failure("cannot be read: \(describe(error))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return failure("cannot be read: \(describe(errno))") }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: return nil
        default: return failure("is not a regular file")
        }
        let signature = FileSignature(status)
        let limit = parser.limits.fileSize
        guard signature.size <= limit else {
            return failure("is larger than \(limit >> 20) MiB")
        }
        // One byte more than it has shows whether it grows meanwhile.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(signature.size) + 1, alignment: 16)
        defer { unsafe buffer.deallocate() }
        var count = 0
        while count < buffer.count {
            let result = unsafe Glibc.read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
            if result < 0 {
                if errno == EINTR { continue }
                return failure("cannot be read: \(describe(errno))")
            }
            if result == 0 { break }
            count += result
        }
        unsafe fstat(descriptor, &status)
        let text = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
        var file = ConfigFile(parsed: unsafe parser.parse(text, previous: previous), linkTarget: target)
        file.signature = signature
        file.isTorn = FileSignature(status) != signature
        return file
    }

    /// The signature of what is at `path` now; nil if nothing readable is.
    static func signature(_ path: String) -> FileSignature? {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? FileSignature(status) : nil
    }

    private static func linkTarget(_ path: String) -> String? {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return nil }
        guard let resolved = unsafe realpath(path, nil) else { return "" }
        defer { unsafe free(resolved) }
        let text = unsafe String(cString: resolved)
        return text.lastIndex(of: "/").map { String(text[..<$0]) } ?? ""
    }
}

/// The system's text for an error number.
func describe(_ error: CInt) -> String {
    unsafe String(cString: strerror(error))
}
