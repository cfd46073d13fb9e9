import CLinux
public import Mesh

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A directory of YAML files as the source of a configuration.
///
/// Every `.yaml`, `.yml` and `.json` file of the directory is read, hidden ones and subdirectories are not; symbolic
/// links are followed. An error in any file rejects the new configuration as a whole: the last good one stays in force
/// until all files are good again.
///
/// For use by one thread: either poll `fileDescriptor`, call `drainEvents()` when it is readable and `reload()` at
/// `reloadDue`, or call `waitForChange(timeout:)` and `reload()` in turn.
public final class DirectorySource {
    public let path: String
    public let options: MeshOptions

    private let parser = FileParser()
    private var watch: DirectoryWatch
    private var builder: MeshBuilder
    private var pacing = ReloadPacing()
    private var changes = DirectoryWatch.Changes()

    /// The files as they are.
    private var files: [String: ConfigFile] = [:]
    /// The directories that symbolic links lead to; empty for one that leads nowhere.
    private var linkTargets: [String: String] = [:]
    /// The contents of the files that are in force.
    private var accepted: [String: ParsedFile] = [:]
    /// Files of which `files` and `accepted` have different contents.
    private var differing: Set<String> = []
    private var invalid: Set<String> = []
    private var directoryError: String?
    private var isFirst = true

    /// Nothing is read before the first `reload()`. The directory need not exist yet.
    public init(path: String, options: MeshOptions) {
        self.path = path
        self.options = options
        watch = DirectoryWatch(path: path)
        builder = MeshBuilder(options: options)
        changes.needsScan = true
    }

    /// Readable when something has changed (inotify); -1 if the kernel gave none (see `watchError`).
    public var fileDescriptor: CInt { watch.descriptor }

    /// Why changes are not seen; nil when they are.
    public var watchError: String? { watch.failure }

    /// The conditions of the objects in force.
    public var statuses: StatusTable { builder.statuses }

    /// When `reload()` is to be called (CLOCK_MONOTONIC, nanoseconds); nil when nothing has changed. Changes that come
    /// in a burst are taken together.
    public var reloadDue: UInt64? {
        pacing.due(isUnfinished: !changes.unfinished.isEmpty)
    }

    /// Reads the events that have come. Returns whether there is something to reload.
    @discardableResult
    public func drainEvents() -> Bool {
        var fresh = DirectoryWatch.Changes()
        fresh.unfinished = changes.unfinished
        watch.drain(into: &fresh)
        if !fresh.isEmpty { pacing.note(monotonicNow()) }
        changes.unfinished = fresh.unfinished
        changes.names.formUnion(fresh.names)
        changes.needsScan = changes.needsScan || fresh.needsScan
        changes.touchesLinks = changes.touchesLinks || fresh.touchesLinks
        return !changes.isEmpty
    }

    /// Waits until a reload is due, at most `timeout` milliseconds (negative: without end), or until `wake` is readable.
    /// Returns whether a reload is due.
    public func waitForChange(timeout: Int, wake: CInt = -1) -> Bool {
        let end = timeout < 0 ? UInt64.max : monotonicNow() + UInt64(timeout) * 1_000_000
        while true {
            drainEvents()
            let now = monotonicNow()
            let due = reloadDue
            if let due, due <= now { return true }
            guard now < end else { return false }
            let pause = min(end, due ?? UInt64.max)
            let milliseconds = pause == UInt64.max ? -1 : CInt(clamping: (pause - now + 999_999) / 1_000_000)
            var polled = [
                pollfd(fd: fileDescriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
            ]
            let result = unsafe poll(&polled, 2, milliseconds)
            if result > 0, polled[1].revents != 0 { return false }
        }
    }

    /// Reads what has changed and makes it the configuration in force, if all of it is right.
    public func reload() -> ConfigOutcome {
        drainEvents()
        var pending = changes
        changes = DirectoryWatch.Changes()
        pacing.reset()
        if pending.isEmpty, watch.descriptor < 0 || isFirst || directoryError != nil { pending.needsScan = true }
        if pending.needsScan {
            scan(touchesLinks: pending.touchesLinks, changed: pending.names)
        } else {
            let links = linkTargets
            for name in pending.names { read(name) }
            if links != linkTargets { renewWatches() }
        }
        let outcome = decide()
        pacing.finished(monotonicNow())
        isFirst = false
        return outcome
    }

    /// Records what became of the newest snapshot in the data plane: `failures` has a sentence for each object that
    /// could not be programmed.
    public func recordProgramming(failures: [ObjectKey: String]) {
        builder.recordProgramming(failures: failures, time: timestamp())
    }

    // MARK: - Files

    private func scan(touchesLinks: Bool, changed: Set<String>) {
        renewWatches()
        guard let directory = unsafe opendir(path) else {
            let error = errno
            directoryError =
                error == ENOENT ? "the directory does not exist" : "the directory cannot be read: \(describe(error))"
            return
        }
        defer { unsafe closedir(directory) }
        directoryError = nil
        var gone = Set(files.keys)
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard ConfigFile.isRelevant(name) else { continue }
            gone.remove(name)
            if let known = files[name], let signature = known.signature, !changed.contains(name),
                !(touchesLinks && known.linkTarget != nil), signature == ConfigFile.signature("\(path)/\(name)")
            {
                continue
            }
            read(name)
        }
        for name in gone { read(name) }
        renewWatches()
    }

    private func renewWatches() { watch.renew(linkTargets: Set(linkTargets.values).subtracting([""])) }

    private func read(_ name: String) {
        let previous = files[name]?.parsed ?? accepted[name]
        let file = ConfigFile.read("\(path)/\(name)", parser: parser, previous: previous)
        files[name] = file
        linkTargets[name] = file?.linkTarget
        if file?.isTorn == true {
            changes.names.insert(name)
            pacing.note(monotonicNow())
        }
        if let file, !file.parsed.isValid { invalid.insert(name) } else { invalid.remove(name) }
        if file?.parsed === accepted[name] { differing.remove(name) } else { differing.insert(name) }
    }

    // MARK: - Decision

    private func decide() -> ConfigOutcome {
        if let directoryError {
            return rejected([ConfigError(file: path, message: directoryError)])
        }
        guard invalid.isEmpty else {
            return rejected(invalid.sorted().flatMap { files[$0]?.parsed.errors(file: $0) ?? [] })
        }
        var difference = ConfigDifference()
        for name in differing.sorted() {
            difference.add(file: name, from: accepted[name], to: files[name]?.parsed)
        }
        let duplicates = difference.duplicates { [statuses = builder.statuses] in statuses.location(of: $0) }
        guard duplicates.isEmpty else { return rejected(duplicates) }
        for name in differing { accepted[name] = files[name]?.parsed }
        differing.removeAll()
        builder.apply(difference.change, time: timestamp())
        return ConfigOutcome(snapshot: builder.snapshot, table: builder.statuses, errors: [])
    }

    private func rejected(_ errors: [ConfigError]) -> ConfigOutcome {
        ConfigOutcome(snapshot: nil, table: builder.statuses, errors: errors)
    }
}

/// Reads a directory once, without watching it: what it means and what is wrong with it.
public func validate(directory: String, options: MeshOptions) -> ConfigOutcome {
    DirectorySource(path: directory, options: options).reload()
}
