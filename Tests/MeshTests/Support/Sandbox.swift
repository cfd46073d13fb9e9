import Foundation
import Synchronization

/// Everything that one test makes on the machine, under one unique name, and its removal.
///
/// Names are `weft-test-<pid>-<n>`: what a killed run left behind is recognised by its dead pid and removed by the next.
final class Sandbox {
    let name: String
    /// A directory for files; removed at the end.
    let directory: String
    /// The cgroup that the test's agent guards. Processes live in its children.
    let cgroup: String
    /// The cgroup of the agents themselves, outside of the guarded one.
    let agentCgroup: String
    /// A cgroup that nobody guards: what runs in no workload's.
    let outsideCgroup: String

    private var commands: [Command] = []
    private var namespaces: [String] = []
    private static let counter = Mutex(0)

    /// Runs `body` in a sandbox of its own and removes whatever it made, also after a failure.
    static func run(_ body: (Sandbox) throws -> Void) throws {
        let sandbox = try Sandbox()
        defer { sandbox.remove() }
        try body(sandbox)
    }

    private init() throws {
        try Host.requirePrivileges()
        guard let root = Host.cgroupRoot else { throw TestFailure("no cgroup v2 is mounted") }
        _ = Sandbox.sweepOnce
        let number = Sandbox.counter.withLock { counter in
            counter += 1
            return counter
        }
        name = "weft-test-\(getpid())-\(number)"
        directory = "/tmp/\(name)"
        cgroup = "\(root)/\(name)"
        agentCgroup = "\(root)/\(name)-agent"
        outsideCgroup = "\(root)/\(name)-outside"
        for path in [directory, cgroup, agentCgroup, outsideCgroup] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        }
    }

    /// A loopback address of the tests' own, so that servers of two runs do not want the same one. `number` is 1...254.
    func address(_ number: Int) -> String {
        let pid = Int(getpid())
        return "127.\(100 + pid / 250 % 100).\(pid % 250).\(number)"
    }

    // MARK: Processes

    /// Starts a program, in a child of the guarded cgroup (made if it is not there) or outside, and in a network
    /// namespace or the host's. An agent is started in a cgroup of its own: the kernel knows its sockets by that.
    func start(
        _ arguments: [String], in workload: String? = nil, namespace: NetworkNamespace? = nil,
        environment: [String: String] = [:], isAgent: Bool = false
    ) throws -> Command {
        let group =
            workload.map { $0.isEmpty ? cgroup : "\(cgroup)/\($0)" } ?? (isAgent ? agentCgroup : outsideCgroup)
        try FileManager.default.createDirectory(atPath: group, withIntermediateDirectories: true)
        // The shell moves itself, so no instruction of the program runs outside of the cgroup.
        var line = ["sh", "-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\"", group]
        if let namespace { line += ["nsenter", "--net=\(namespace.path)", "--"] }
        let command = try Command(line + arguments, directory: directory, environment: environment)
        commands.append(command)
        return command
    }

    /// Runs a program to its end.
    @discardableResult
    func run(
        _ arguments: [String], in workload: String? = nil, namespace: NetworkNamespace? = nil, timeout: Double = 60,
        environment: [String: String] = [:]
    ) throws -> Command.Result {
        try start(arguments, in: workload, namespace: namespace, environment: environment).wait(timeout: timeout)
    }

    /// The path of a workload's cgroup below the cgroup v2 root, as `match.cgroup` of a Workload wants it.
    func cgroupPath(_ workload: String) -> String { "/\(name)/\(workload)" }

    func makeCgroup(_ workload: String) throws {
        try FileManager.default.createDirectory(atPath: "\(cgroup)/\(workload)", withIntermediateDirectories: true)
    }

    /// Makes a network namespace with its loopback interface up.
    func makeNamespace(_ suffix: String) throws -> NetworkNamespace {
        let namespace = NetworkNamespace(name: "\(name)-\(suffix)")
        namespaces.append(namespace.name)
        try check(["ip", "netns", "add", namespace.name])
        try check(["nsenter", "--net=\(namespace.path)", "ip", "link", "set", "lo", "up"])
        return namespace
    }

    /// Runs a program that has to succeed, outside of the guarded cgroup.
    @discardableResult
    func check(_ arguments: [String]) throws -> String {
        let result = try run(arguments)
        guard result.succeeded else {
            throw TestFailure("\(arguments.joined(separator: " ")) failed (\(result.status)): \(result.errors)")
        }
        return result.output
    }

    // MARK: Removal

    private func remove() {
        for command in commands { command.stop() }
        Sandbox.removeTraces(of: name)
    }

    private static let sweepOnce: Void = sweep()

    /// Removes what killed runs left behind: everything named after a process that is no more.
    static func sweep() {
        var names = Set<String>()
        let places = ["/tmp", "/var/run/netns", Host.cgroupRoot ?? "/nonexistent"]
        for place in places {
            for entry in (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [] {
                let parts = entry.split(separator: "-")
                guard parts.count >= 4, parts[0] == "weft", parts[1] == "test", let pid = pid_t(parts[2]) else {
                    continue
                }
                if kill(pid, 0) != 0 && errno == ESRCH { names.insert(parts[0..<4].joined(separator: "-")) }
            }
        }
        for name in names { removeTraces(of: name) }
    }

    private static func removeTraces(of name: String) {
        guard let root = Host.cgroupRoot else { return }
        for path in ["\(root)/\(name)", "\(root)/\(name)-agent", "\(root)/\(name)-outside"] { removeCgroup(path) }
        let mounts = FileManager.default.contents(atPath: "/proc/self/mountinfo") ?? Data()
        for line in String(decoding: mounts, as: UTF8.self).split(separator: "\n").reversed() {
            let fields = line.split(separator: " ")
            // Unmounting an own bpffs removes every pin in it, and with the pins the links and maps.
            if fields.count > 4, fields[4].hasPrefix("/tmp/\(name)/") {
                _ = unsafe umount2(String(fields[4]), Int32(MNT_DETACH))
            }
        }
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/var/run/netns")) ?? []
        where entry.hasPrefix("\(name)-") {
            unsafe umount2("/var/run/netns/\(entry)", Int32(MNT_DETACH))
            unsafe unlink("/var/run/netns/\(entry)")
        }
        try? FileManager.default.removeItem(atPath: "/tmp/\(name)")
    }

    /// Kills every process of a cgroup, and removes it with its children.
    private static func removeCgroup(_ path: String) {
        guard FileManager.default.fileExists(atPath: path) else { return }
        try? write("1", to: "\(path)/cgroup.kill")
        try? eventually("\(path) is empty", within: 5) {
            let events = FileManager.default.contents(atPath: "\(path)/cgroup.events") ?? Data()
            return String(decoding: events, as: UTF8.self).contains("populated 0")
        }
        func removeTree(_ path: String) {
            for entry in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
                var isDirectory: ObjCBool = false
                if unsafe FileManager.default.fileExists(atPath: "\(path)/\(entry)", isDirectory: &isDirectory),
                    isDirectory.boolValue
                {
                    removeTree("\(path)/\(entry)")
                }
            }
            unsafe rmdir(path)
        }
        removeTree(path)
    }

    /// Kernel files want one plain write, not a rename.
    private static func write(_ text: String, to path: String) throws {
        guard let handle = FileHandle(forWritingAtPath: path) else { throw TestFailure("\(path) cannot be opened") }
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }
}

struct NetworkNamespace {
    let name: String
    var path: String { "/var/run/netns/\(name)" }
}
