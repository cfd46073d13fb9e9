import BPF
import CLinux
import Foundation
import Testing

/// A BPF file system of its own at a temporary directory, gone when the value is.
struct TestBPFFS: ~Copyable {
    let path: String

    init() throws(BPFError) {
        _ = TestLeftovers.areRemoved
        path =
            FileManager.default.temporaryDirectory.appending(path: "weft-bpffs-\(getpid())-\(UUID().uuidString)").path
        try BPFSystem.mountBPFFS(at: path)
    }

    deinit {
        unsafe umount2(path, CInt(MNT_DETACH))
        unsafe rmdir(path)
    }
}

/// A new cgroup below the root of the cgroup v2 mount, gone when the value is.
struct TestCgroup: ~Copyable {
    let path: String
    let descriptor: FileDescriptor

    init() throws {
        _ = TestLeftovers.areRemoved
        let mounts = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
        let root = mounts.split(separator: "\n").first { $0.contains(" - cgroup2 ") }?.split(separator: " ")[4]
        let path = "\(try #require(root))/weft-test-\(getpid())-\(UUID().uuidString.prefix(8))"
        let result = unsafe mkdir(path, 0o755)
        try #require(result == 0, "cannot make the cgroup \(path): errno \(weft_errno())")
        descriptor = try FileDescriptor(directory: path)
        self.path = path
    }

    /// The errno of a connect() by a process in the cgroup, the last of `times`; 0 when it succeeded.
    func connect(times: Int = 1) -> CInt {
        var result: CInt = 0
        for _ in 0..<times { result = weft_connect_in_cgroup(descriptor.rawValue, UInt32(bigEndian: 0x7f00_0001), 9) }
        return result
    }

    deinit {
        unsafe rmdir(path)
    }
}

/// What a run that was killed left behind: file systems and cgroups with the number of a process that is gone.
enum TestLeftovers {
    static let areRemoved: Bool = {
        for line in (readMounts() ?? "").split(separator: "\n") {
            let mountPoint = line.split(separator: " ")[4]
            if line.contains(" - cgroup2 ") { removeCgroups(in: String(mountPoint)) }
            let name = mountPoint.split(separator: "/").last ?? ""
            guard line.contains(" - bpf "), isLeftover(name, prefix: "weft-bpffs-") else { continue }
            unsafe umount2(String(mountPoint), CInt(MNT_DETACH))
            unsafe rmdir(String(mountPoint))
        }
        return true
    }()

    private static func readMounts() -> String? {
        try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
    }

    private static func removeCgroups(in root: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        for name in names where isLeftover(name[...], prefix: "weft-test-") { unsafe rmdir(root + "/" + name) }
    }

    private static func isLeftover(_ name: Substring, prefix: String) -> Bool {
        guard name.hasPrefix(prefix), let process = name.dropFirst(prefix.count).split(separator: "-").first,
            let pid = pid_t(process)
        else { return false }
        return kill(pid, 0) != 0 && weft_errno() == ESRCH
    }
}
