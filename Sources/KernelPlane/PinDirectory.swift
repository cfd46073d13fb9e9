public import BPF
import CLinux
import Glibc
import WeftABI

/// The directory on a bpffs in which everything lives that outlasts the agent: `maps/<name>` and `links/<program>`.
public struct PinDirectory: Sendable {
    public let path: String

    /// `<bpffs>/weft/v<layout>`; another layout's pins are another directory's.
    public static var defaultPath: String { "/sys/fs/bpf/weft/v\(WEFT_LAYOUT)" }

    public init(path: String) {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    public func map(_ name: String) -> String { "\(path)/maps/\(name)" }
    public func link(_ name: String) -> String { "\(path)/links/\(name)" }

    /// Whether an agent has ever been started on it, and it was not uninstalled since.
    public var isInstalled: Bool { FileSystem.exists("\(path)/maps") }

    /// Makes the directories, and mounts a bpffs at its usual place if that is where they belong and none is there.
    func prepare() throws(BPFError) {
        if path.hasPrefix("/sys/fs/bpf/") && !BPFSystem.isBPFFS("/sys/fs/bpf") {
            try BPFSystem.mountBPFFS(at: "/sys/fs/bpf")
        }
        var prefix = ""
        var made: [String] = []
        for component in "\(path)/maps".split(separator: "/") {
            prefix += "/\(component)"
            if try make(prefix) { made.append(prefix) }
        }
        if try make("\(path)/links") { made.append("\(path)/links") }
        guard BPFSystem.isBPFFS(path) else {
            for directory in made.reversed() { FileSystem.removeDirectory(directory) }
            throw BPFError(
                operation: "use the pin directory", subject: path, errno: EINVAL,
                detail: "it is not on a BPF file system: choose a directory below /sys/fs/bpf, or mount one"
                    + " with `mount -t bpf bpf DIR`")
        }
    }

    /// - Returns: whether it was not there before.
    private func make(_ directory: String) throws(BPFError) -> Bool {
        let code = FileSystem.makeDirectory(directory, mode: 0o700)
        guard code == 0 || code == EEXIST else {
            throw BPFError(operation: "make the directory", subject: directory, errno: code)
        }
        return code == 0
    }

    /// Takes the directory for one agent; held until the descriptor is closed, by the kernel's account of the process.
    ///
    /// - Throws: `BPFError` with EWOULDBLOCK if another agent has it.
    public func lock() throws(BPFError) -> FileDescriptor {
        let descriptor = FileSystem.openDirectory(path)
        guard descriptor.rawValue >= 0 else {
            throw BPFError(operation: "open the pin directory", subject: path, errno: weft_errno())
        }
        guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else {
            let code = weft_errno()
            throw BPFError(
                operation: "take the pin directory", subject: path, errno: code,
                detail: code == EWOULDBLOCK ? "another agent is running on it; each needs a --pin-dir of its own" : "")
        }
        return descriptor
    }

    /// Removes links, maps and the directories, and nothing else. What no longer has a pin ends with the last socket or
    /// process that uses it.
    ///
    /// What has been redirected and not read yet would be lost with its map: first nothing more is redirected, and the readers
    /// get `patience` to take what is theirs.
    ///
    /// - Parameter losingUnread: whether to go on when they have not.
    /// - Returns: the paths that were removed, links first.
    /// - Throws: `BPFError`, with EBUSY for bytes that wait for their readers.
    @discardableResult
    public func uninstall(
        dryRun: Bool = false, patience: Duration = .seconds(5), losingUnread: Bool = false
    ) throws(BPFError) -> [String] {
        if !dryRun && !losingUnread { try drainMembers(patience) }
        var removed: [String] = []
        for kind in ["links", "maps"] {
            let directory = "\(path)/\(kind)"
            for name in FileSystem.entries(of: directory) {
                let entry = "\(directory)/\(name)"
                let code = dryRun ? 0 : FileSystem.unlinkFile(entry)
                guard code == 0 else { throw BPFError(operation: "remove the pin", subject: entry, errno: code) }
                removed.append(entry)
            }
            if FileSystem.exists(directory) {
                let code = dryRun ? 0 : FileSystem.removeDirectory(directory)
                guard code == 0 else {
                    throw BPFError(operation: "remove the directory", subject: directory, errno: code)
                }
                removed.append(directory)
            }
        }
        if FileSystem.exists(path) && (dryRun || FileSystem.removeDirectory(path) == 0) { removed.append(path) }
        // `<bpffs>/weft`, if this was its last layout.
        if let slash = path.lastIndex(of: "/"), path[..<slash].hasSuffix("/weft"), !dryRun {
            FileSystem.removeDirectory(String(path[..<slash]))
        }
        return removed
    }

    private func drainMembers(_ patience: Duration) throws(BPFError) {
        guard FileSystem.exists(link("unread")), FileSystem.exists(map("settings")) else { return }
        let settings: Map<UInt32, weft_settings> = try Map.openPinned(map("settings"), name: "settings")
        if var entry = try settings.get(0), entry.acceleration != 0 {
            entry.acceleration = 0
            try settings.set(0, entry)
        }
        let unread = try Link.openPinned(link("unread"))
        let deadline = ContinuousClock.now + patience
        while true {
            let waiting = try unread.readIterator(of: UInt64.self).count
            guard waiting > 0 else { return }
            guard ContinuousClock.now < deadline else {
                throw BPFError(
                    operation: "remove the maps of", subject: path, errno: EBUSY,
                    detail:
                        "\(waiting) sockets hold bytes that their applications have not read, and would lose them: wait"
                        + " until they have, or end those applications (--force loses the bytes)")
            }
            usleep(20_000)
        }
    }
}
