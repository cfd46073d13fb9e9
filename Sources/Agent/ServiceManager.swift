import CLinux
import Glibc

/// The service manager that started the agent (systemd, or whatever speaks its protocol): sd_notify(3) without libsystemd.
/// Without one, everything here does nothing.
public struct ServiceManager: Sendable {
    private let socketName: [UInt8]?
    /// How often the manager wants to hear that the agent is alive; nil if it does not.
    public let watchdogInterval: Duration?

    /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    ///
    /// - Parameter processID: of this process by default.
    public init(environment: [String: String], processID: Int32? = nil) {
        socketName = environment["NOTIFY_SOCKET"].flatMap { Self.socketName($0) }
        let isForUs = environment["WATCHDOG_PID"].map { $0 == "\(processID ?? getpid())" } ?? true
        if isForUs, let microseconds = environment["WATCHDOG_USEC"].flatMap({ UInt64($0) }), microseconds > 0,
            microseconds <= UInt64(Int64.max)
        {
            watchdogInterval = .microseconds(Int64(microseconds))
        } else {
            watchdogInterval = nil
        }
    }

    /// Whether there is a manager to tell.
    public var isPresent: Bool { socketName != nil }

    /// A path, or `@` and a name in the abstract namespace.
    private static func socketName(_ text: String) -> [UInt8]? {
        var bytes = Array(text.utf8)
        guard bytes.count > 1, bytes[0] == UInt8(ascii: "/") || bytes[0] == UInt8(ascii: "@") else { return nil }
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        return bytes
    }

    /// The agent serves. `status` is for people.
    public func ready(status: String) { notify("READY=1\nSTATUS=\(Self.line(status))") }

    /// A configuration is being read; `ready` ends it.
    public func reloading() {
        notify("RELOADING=1\nMONOTONIC_USEC=\(Reactor.now() / 1000)")
    }

    public func stopping() { notify("STOPPING=1") }

    public func status(_ status: String) { notify("STATUS=\(Self.line(status))") }

    public func watchdog() { notify("WATCHDOG=1") }

    /// Reports that the agent is alive twice per interval, from the reactor that does its work: one that hangs reports
    /// nothing. Nil if the manager did not ask.
    @discardableResult
    public func keepAlive(on reactor: Reactor) -> Reactor.TimerID? {
        guard isPresent, let watchdogInterval else { return nil }
        return reactor.every(watchdogInterval / 2) { watchdog() }
    }

    private static func line(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// Sends one datagram. Never fails and never waits: the agent works without its manager.
    private func notify(_ message: String) {
        guard let socketName, let (found, length) = HTTPListenAddress.unixAddress(socketName) else { return }
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var storage = found
        let bytes = Array(message.utf8)
        _ = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe sendto(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL | MSG_DONTWAIT), $0, length)
            }
        }
    }
}
