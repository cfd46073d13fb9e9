import BPF
import CLinux
import Glibc

/// Network namespaces of this machine, by the cookie under which the programs know them.
enum NetworkNamespace {
    /// The cookie of the calling thread's namespace; 0 if the kernel has none.
    static var currentCookie: UInt64 {
        let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        return weft_netns_cookie(descriptor)
    }

    /// Leads to the calling thread's namespace.
    static let own = "/proc/thread-self/ns/net"

    /// A file that leads to the namespace in which a cgroup's processes are; nil if it has none. A sub-cgroup counts.
    static func file(ofCgroup path: String) -> String? {
        firstProcess(of: path, depth: 4).map { "/proc/\($0)/ns/net" }
    }

    /// The cookie of that namespace.
    static func cookie(ofCgroup path: String) -> UInt64? {
        guard let file = file(ofCgroup: path), let inode = FileSystem.inode(file) else { return nil }
        if inode == FileSystem.inode(own) { return currentCookie }
        let own = FileSystem.openFile(Self.own)
        let other = FileSystem.openFile(file)
        guard own.rawValue >= 0, other.rawValue >= 0, weft_enter_netns(other.rawValue) == 0 else { return nil }
        defer { weft_enter_netns(own.rawValue) }
        return currentCookie
    }

    /// Adds the namespaces of all processes of a cgroup and its sub-cgroups: by inode, a file that leads there.
    static func collect(ofCgroup path: String, into found: inout [UInt64: String], depth: Int = 4) {
        for process in FileSystem.text("\(path)/cgroup.procs")?.split(separator: "\n") ?? [] {
            let file = "/proc/\(process)/ns/net"
            if let inode = FileSystem.inode(file), found[inode] == nil { found[inode] = file }
        }
        guard depth > 0 else { return }
        for child in FileSystem.entries(of: path) where FileSystem.exists("\(path)/\(child)/cgroup.procs") {
            collect(ofCgroup: "\(path)/\(child)", into: &found, depth: depth - 1)
        }
    }

    /// Runs `body` in the namespace of that file, and comes back; `body` must not suspend.
    ///
    /// - Returns: nil if it cannot be entered.
    static func inside<Result>(file: borrowing FileDescriptor, _ body: () -> Result) -> Result? {
        let own = FileSystem.openFile(Self.own)
        guard own.rawValue >= 0, weft_enter_netns(file.rawValue) == 0 else { return nil }
        defer { weft_enter_netns(own.rawValue) }
        return body()
    }

    private static func firstProcess(of cgroup: String, depth: Int) -> Substring? {
        if let process = FileSystem.text("\(cgroup)/cgroup.procs")?.split(separator: "\n").first { return process }
        guard depth > 0 else { return nil }
        for child in FileSystem.entries(of: cgroup) {
            if let process = firstProcess(of: "\(cgroup)/\(child)", depth: depth - 1) { return process }
        }
        return nil
    }

    /// Runs `body` in the namespace with that cookie, and comes back. Namespaces belong to threads: `body` must not
    /// suspend.
    ///
    /// - Returns: nil if no process is in such a namespace, or it cannot be entered.
    static func inside<Result>(_ cookie: UInt64, _ body: () -> Result) -> Result? {
        var result: Result?
        _ = visit([cookie == 0 ? currentCookie : cookie]) { result = body() }
        return result
    }

    /// Runs `body` in each of the namespaces with these cookies, and comes back, as `inside` does.
    ///
    /// - Returns: how many were not found, or could not be entered.
    static func visit(_ cookies: Set<UInt64>, _ body: () -> Void) -> Int {
        var wanted = cookies
        if wanted.remove(currentCookie) != nil { body() }
        let own = FileSystem.openFile(Self.own)
        guard !wanted.isEmpty, own.rawValue >= 0 else { return wanted.count }
        var seen: Set<UInt64> = []
        for process in FileSystem.entries(of: "/proc") where CInt(process) != nil {
            let path = "/proc/\(process)/ns/net"
            guard let inode = FileSystem.inode(path), seen.insert(inode).inserted else { continue }
            let other = FileSystem.openFile(path)
            guard other.rawValue >= 0, weft_enter_netns(other.rawValue) == 0 else { continue }
            defer { weft_enter_netns(own.rawValue) }
            if wanted.remove(currentCookie) != nil { body() }
            if wanted.isEmpty { break }
        }
        return wanted.count
    }
}
