import BPF
import Foundation
import KernelPlane
import Mesh
import Testing

/// A place for one test: a cgroup and a bpffs of its own, removed with it.
final class Sandbox {
    let cgroupMount: String
    let name: String
    let directory: String
    var cgroup: String { "\(cgroupMount)/\(name)" }
    var pins: String { "\(directory)/bpf/weft" }

    init(_ label: String) throws {
        cgroupMount = try #require(CgroupRoot.find(), "no cgroup v2 hierarchy is mounted")
        _ = Sandbox.sweepOnce
        name = "weft-kernel-\(label)-\(getpid())"
        directory = NSTemporaryDirectory() + name
        try FileManager.default.createDirectory(atPath: "\(directory)/bpf", withIntermediateDirectories: true)
        try BPFSystem.mountBPFFS(at: "\(directory)/bpf")
        try FileManager.default.createDirectory(atPath: cgroup, withIntermediateDirectories: true)
    }

    deinit {
        _ = try? PinDirectory(path: pins).uninstall(losingUnread: true)
        Sandbox.remove(directory: directory, cgroup: cgroup)
    }

    private static func remove(directory: String, cgroup: String) {
        _ = unsafe umount2("\(directory)/bpf", CInt(MNT_DETACH))
        try? FileManager.default.removeItem(atPath: directory)
        let children = (try? FileManager.default.contentsOfDirectory(atPath: cgroup)) ?? []
        for child in children { unsafe rmdir("\(cgroup)/\(child)") }
        unsafe rmdir(cgroup)
    }

    /// Removes what killed runs left behind, recognised by their dead process ids; once per run.
    private static let sweepOnce: Void = {
        let temporary = NSTemporaryDirectory()
        let mount = CgroupRoot.find() ?? "/nonexistent"
        var names = Set<String>()
        for place in [temporary, mount] {
            names.formUnion((try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [])
        }
        for name in names where name.hasPrefix("weft-kernel-") {
            guard let pid = name.split(separator: "-").last.flatMap({ pid_t($0) }), kill(pid, 0) != 0, errno == ESRCH
            else { continue }
            if let handle = FileHandle(forWritingAtPath: "\(mount)/\(name)/cgroup.kill") {
                try? handle.write(contentsOf: Data("1".utf8))
                usleep(100_000)
            }
            remove(directory: temporary + name, cgroup: "\(mount)/\(name)")
        }
    }()

    func plane(limits: [String: Int] = [:]) throws -> KernelPlane {
        try KernelPlane(.init(pinDirectory: pins, cgroup: cgroup, cgroupMount: cgroupMount, mapLimits: limits))
    }

    /// Starts a Python script in the cgroup of a workload below the sandbox's (made if need be), in a network namespace of
    /// its own, so that tests at the same time do not meet at a port.
    func start(
        _ script: String, in workload: String = "client", input: Pipe? = nil
    ) throws -> (process: Process, output: Pipe) {
        let group = "\(cgroup)/\(workload)"
        try FileManager.default.createDirectory(atPath: group, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/unshare")
        process.arguments = [
            "--net", "/bin/sh", "-c",
            "ip link set lo up && echo $$ > \(group)/cgroup.procs && exec timeout 60 python3 -uc \"$0\"", script,
        ]
        let output = Pipe()
        if let input { process.standardInput = input }
        process.standardOutput = output
        process.standardError = output
        try process.run()
        return (process, output)
    }

    /// Runs a Python script as `start` does, and returns what it prints.
    func python(_ script: String, in workload: String = "client") throws -> String {
        let (process, output) = try start(script, in: workload)
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func workload(_ name: String, ports: [UInt16] = [], addresses: [String] = [], enrolled: Bool = true) -> MeshWorkload
    {
        MeshWorkload(
            name: ObjectName(namespace: "shop", name: name), serviceAccount: name, labels: ["app": name],
            addresses: addresses.compactMap { IPAddress($0) },
            ports: ports.map { MeshWorkloadPort(name: "p\($0)", port: $0, transport: .tcp) },
            cgroup: enrolled ? "/\(self.name)/\(name)" : nil)
    }
}
