import CLinux
import Glibc
import KernelPlane
import Mesh
import WeftABI

/// Who opens a connection.
struct Source {
    /// 0: not enrolled.
    var workload: UInt64
    /// Nil if it cannot be known without the process.
    var netnsCookie: UInt64?
    /// The address that it binds to; nil if the kernel chooses.
    var address: IPAddress?
    /// How it was found.
    var finding: String

    /// A workload by its name, or `unknown`, that connects from this process's network namespace.
    init(named text: String, _ resolver: Resolver) throws {
        guard text != "unknown" else {
            self.init(workload: 0, finding: "a process of no workload in this network namespace")
            netnsCookie = Self.ownNetnsCookie()
            return
        }
        self.init(
            workload: try resolver.id(text, .workload),
            finding: "workload \(text), connecting from this network namespace")
        netnsCookie = Self.ownNetnsCookie()
    }

    init(workload: UInt64, finding: String) {
        self.workload = workload
        self.finding = finding
    }

    /// A process: the workload of its nearest enrolled ancestor cgroup.
    init(process pid: Int32, _ maps: NodeMaps, _ resolver: Resolver) throws {
        let path = try cgroupPath(ofProcess: pid)
        guard let root = CgroupRoot.find() else { throw Failure.unknown("no cgroup v2 hierarchy is mounted") }
        workload = 0
        finding = "process \(pid) in cgroup \(path), of which no ancestor is enrolled"
        var current = path
        while true {
            let id = unsafe weft_cgroup_id(root + current)
            if id != 0, let enrolled = try maps.cgroups.get(id) {
                workload = enrolled
                let place = current == path ? "enrolled" : "below enrolled \(current)"
                finding = "process \(pid) in cgroup \(path), \(place): workload \(resolver.name(enrolled))"
                break
            }
            guard let slash = current.lastIndex(of: "/"), current != "/" else { break }
            current = slash == current.startIndex ? "/" : String(current[..<slash])
        }
        netnsCookie = Self.netnsCookie(ofProcess: pid)
    }

    /// The source address as the programs know it before the route is looked up (bpf/connect.bpf.c, source_address).
    func address(towards peer: IPAddress, _ maps: NodeMaps) throws -> IPAddress? {
        if let address { return address }
        if peer.isLoopback { return peer.isIPv4 ? IPAddress("127.0.0.1") : peer }
        guard let entry = try maps.workloads.get(workload) else { return nil }
        let own = IPAddress(entry.address)
        return !own.isUnspecified && own.isIPv4 == peer.isIPv4 ? own : nil
    }

    /// Enters the process's network namespace, asks a socket, and comes back.
    private static func netnsCookie(ofProcess pid: Int32) -> UInt64? {
        let home = unsafe open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)
        let other = unsafe open("/proc/\(pid)/ns/net", O_RDONLY | O_CLOEXEC)
        defer {
            if home >= 0 { close(home) }
            if other >= 0 { close(other) }
        }
        guard home >= 0, other >= 0, weft_enter_netns(other) == 0 else { return nil }
        // Nothing after this opens a network socket, so a failure to come back would change nothing.
        defer { _ = weft_enter_netns(home) }
        return ownNetnsCookie()
    }

    private static func ownNetnsCookie() -> UInt64? {
        let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let cookie = weft_netns_cookie(descriptor)
        return cookie == 0 ? nil : cookie
    }
}
