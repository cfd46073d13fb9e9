import CLinux

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// inotify on a directory, on the way to it, and on the directories that symbolic links in it lead to.
struct DirectoryWatch: ~Copyable {
    /// What has happened since it was last asked.
    struct Changes {
        /// Files that were written, replaced, made or removed.
        var names: Set<String> = []
        /// The directory has to be listed again.
        var needsScan = false
        /// What symbolic links lead to may have changed.
        var touchesLinks = false
        /// Files that somebody is writing to: what they hold is not what they shall hold.
        var unfinished: Set<String> = []

        var isEmpty: Bool { names.isEmpty && !needsScan }
    }

    private enum Role {
        case directory
        /// A directory on the way, in which that name is the next one.
        case ancestor(next: String)
        case linkTarget
    }

    let path: String
    /// -1 if the kernel gave none.
    let descriptor: CInt
    /// Why nothing is watched.
    private(set) var failure: String?

    private var roles: [CInt: Role] = [:]
    private var targets: [String: CInt] = [:]

    private static let mask = UInt32(
        IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF
            | IN_MOVE_SELF)

    init(path: String) {
        self.path = path
        descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
        if descriptor < 0 { failure = "inotify_init1: \(describe(errno))" }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Watches what is there now, with the directories that links lead to. To be called before the directory is read.
    mutating func renew(linkTargets: Set<String>) {
        guard descriptor >= 0 else { return }
        failure = nil
        var old = roles
        roles = [:]
        // Ancestors first: an inode has one watch, and its closest role counts.
        for (ancestor, next) in Self.ancestors(of: path) {
            if let watch = add(ancestor) { roles[watch] = .ancestor(next: next) }
        }
        targets = [:]
        for target in linkTargets {
            if let watch = add(target) {
                roles[watch] = .linkTarget
                targets[target] = watch
            }
        }
        if let watch = add(path) { roles[watch] = .directory }
        for watch in roles.keys { old[watch] = nil }
        for watch in old.keys { inotify_rm_watch(descriptor, watch) }
    }

    /// The parent, and above it what is needed until something exists.
    private static func ancestors(of path: String) -> [(String, next: String)] {
        var ancestors: [(String, next: String)] = []
        var rest = path
        while rest.count > 1, rest.hasSuffix("/") { rest.removeLast() }
        while true {
            let slash = rest.lastIndex(of: "/")
            let next = slash.map { String(rest[rest.index(after: $0)...]) } ?? rest
            let parent = slash.map { $0 == rest.startIndex ? "/" : String(rest[..<$0]) } ?? "."
            guard !next.isEmpty else { break }
            ancestors.append((parent, next))
            if unsafe access(parent, F_OK) == 0 || parent == "/" || parent == "." { break }
            rest = parent
        }
        return ancestors.reversed()
    }

    private mutating func add(_ directory: String) -> CInt? {
        let watch = unsafe inotify_add_watch(descriptor, directory, Self.mask | UInt32(IN_ONLYDIR))
        if watch >= 0 { return watch }
        let error = errno
        if error == ENOSPC || error == ENOMEM || error == EACCES {
            failure =
                "\(directory) cannot be watched: \(describe(error))"
                + (error == ENOSPC ? " (raise fs.inotify.max_user_watches)" : "")
        }
        return nil
    }

    /// Takes the events that have come. Does not wait.
    mutating func drain(into changes: inout Changes) {
        guard descriptor >= 0 else { return }
        let size = 65536
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: size, alignment: MemoryLayout<inotify_event>.alignment)
        defer { unsafe buffer.deallocate() }
        while true {
            let count = unsafe Glibc.read(descriptor, buffer.baseAddress, size)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            let header = MemoryLayout<inotify_event>.size
            var offset = 0
            while offset + header <= count {
                let event = unsafe buffer.load(fromByteOffset: offset, as: inotify_event.self)
                let field = unsafe buffer[(offset + header)..<min(offset + header + Int(event.len), count)]
                let name = unsafe String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
                handle(event, name, &changes)
                offset += header + Int(event.len)
            }
        }
    }

    private mutating func handle(_ event: inotify_event, _ name: String, _ changes: inout Changes) {
        func has(_ flags: Int32) -> Bool { event.mask & UInt32(flags) != 0 }
        if has(Int32(IN_Q_OVERFLOW)) {
            changes.needsScan = true
            changes.touchesLinks = true
            changes.unfinished = []
            return
        }
        guard let role = roles[event.wd] else { return }
        switch role {
        case .ancestor(let next):
            if name == next, !has(Int32(IN_MODIFY | IN_CLOSE_WRITE)) { changes.needsScan = true }
        case .linkTarget:
            changes.needsScan = true
            changes.touchesLinks = true
        case .directory:
            if name.isEmpty {
                // The directory itself was removed, moved or changed.
                changes.needsScan = true
            } else if ConfigFile.isRelevant(name) {
                changes.names.insert(name)
                if has(Int32(IN_MODIFY)) {
                    changes.unfinished.insert(name)
                } else if !has(Int32(IN_ATTRIB)) {
                    changes.unfinished.remove(name)
                }
            } else if !targets.isEmpty, !has(Int32(IN_MODIFY)) {
                // A step on the way of a link, such as the ..data of a mounted ConfigMap.
                changes.needsScan = true
                changes.touchesLinks = true
            }
        }
    }
}
