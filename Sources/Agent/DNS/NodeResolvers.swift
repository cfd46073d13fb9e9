import CLinux
import DNS
import Glibc

/// The servers that know the names of the world outside: those that were configured, or the node's own as resolv.conf
/// has them now.
final class NodeResolvers {
    /// How often the file is looked at, and only when somebody asks.
    private static let interval: UInt64 = 1_000_000_000

    private let path: String
    private let isSelf: (DNSUpstream) -> Bool
    private let isFixed: Bool
    private(set) var servers: [DNSUpstream]
    private var checked: UInt64?
    private var version: [Int] = []

    /// - Parameters:
    ///   - configured: used in place of the file's; empty: the file is used.
    ///   - isSelf: whether an address is one at which this agent answers.
    init(configured: [DNSUpstream], path: String = "/etc/resolv.conf", isSelf: @escaping (DNSUpstream) -> Bool) {
        self.path = path
        self.isSelf = isSelf
        isFixed = !configured.isEmpty
        servers = configured.filter { !isSelf($0) }
    }

    /// Looks whether the file has changed.
    ///
    /// - Returns: whether the servers are others than before.
    func refresh(now: UInt64) -> Bool {
        guard !isFixed else { return false }
        if let checked, now < checked + Self.interval { return false }
        checked = now
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return replace([]) }
        let version = [Int(status.st_ino), status.st_mtim.tv_sec, status.st_mtim.tv_nsec, Int(status.st_size)]
        guard version != self.version else { return false }
        self.version = version
        return replace(read())
    }

    private func replace(_ found: [DNSUpstream]) -> Bool {
        guard found != servers else { return false }
        servers = found
        return true
    }

    private func read() -> [DNSUpstream] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        // The file of a node has some hundred bytes.
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return [] }
        return ResolverConfiguration(resolvConf: String(decoding: buffer[..<count], as: UTF8.self), isSelf: isSelf)
            .servers
    }
}
