import CLinux
import ConfigSources
import Dispatch
import Glibc
import Mesh

/// Reads the configuration on a thread of its own, so that a large one does not hold up the reactor, and reports what it
/// means whenever it has changed.
final class ConfigWatcher: Sendable {
    /// How often a directory that cannot be watched (it is missing) is looked at.
    private static let pollMilliseconds = 2000

    private let wake: CInt
    private let stopped = DispatchSemaphore(value: 0)

    /// Starts watching; `report` is called on the watcher's thread, first for the configuration as it is.
    init(path: String, options: MeshOptions, report: @escaping @Sendable (ConfigOutcome) -> Void) throws(SystemError) {
        let wake = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        guard wake >= 0 else { throw SystemError("create an event descriptor") }
        self.wake = wake
        let stopped = stopped
        DispatchQueue(label: "weft.config").async {
            // The source belongs to this thread alone: it is made here and never leaves.
            let source = DirectorySource(path: path, options: options)
            report(source.reload())
            while !Self.isReadable(wake) {
                let isWatched = source.fileDescriptor >= 0 && source.watchError == nil
                if source.waitForChange(timeout: isWatched ? -1 : Self.pollMilliseconds, wake: wake) {
                    report(source.reload())
                } else if !isWatched && !Self.isReadable(wake) {
                    report(source.reload())
                }
            }
            stopped.signal()
        }
    }

    /// Ends the thread and waits for it.
    func stop() {
        var one: UInt64 = 1
        _ = unsafe write(wake, &one, 8)
        stopped.wait()
        close(wake)
    }

    private static func isReadable(_ descriptor: CInt) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, 0) > 0
    }
}
