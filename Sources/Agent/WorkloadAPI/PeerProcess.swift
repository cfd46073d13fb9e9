import CLinux
import Glibc

/// The process at the other end of a Unix socket, held by a descriptor so that its pid cannot come to mean another one.
///
/// The kernel says which process called connect(); what it has done with the socket since is its own affair: a child that
/// inherited the socket speaks as its parent, and for as long as that lives.
struct PeerProcess: ~Copyable {
    let pid: pid_t
    private let descriptor: CInt

    /// nil if the process is gone, or in a pid namespace that this process does not see.
    init?(of socket: CInt) {
        var descriptor: CInt = -1
        pid = unsafe weft_peer_process(socket, &descriptor)
        self.descriptor = descriptor
        guard pid > 0 else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private var hasEnded: Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe Glibc.poll(&poll, 1, 0) != 0
    }

    /// The path of its cgroup below the root of the cgroup v2 hierarchy (`/shop.slice/web.service`) as it is now; nil if
    /// it has ended or its cgroup is outside of this process's cgroup namespace.
    func cgroup() -> String? {
        guard let text = Self.read("/proc/\(pid)/cgroup") else { return nil }
        // It lived after the file was read, so the pid was its own then.
        guard !hasEnded else { return nil }
        return Self.unifiedPath(text)
    }

    /// The path in the line `0::PATH` (cgroups(7)).
    static func unifiedPath(_ text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix("0::/") {
            let path = line.dropFirst(3)
            return path.split(separator: "/").contains("..") ? nil : String(path)
        }
        return nil
    }

    private static func read(_ path: String) -> String? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 8192)
        // With cgroup v1 beside v2 there are a dozen lines, each of at most PATH_MAX bytes.
        while bytes.count < 1 << 16 {
            let count = unsafe Glibc.read(file, &buffer, buffer.count)
            guard count >= 0 else { return nil }
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
