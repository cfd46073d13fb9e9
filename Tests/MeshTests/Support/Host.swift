import Foundation
import Synchronization

/// The machine that the tests run on: where things are, and what has to be installed.
enum Host {
    /// The cgroup v2 mount, which need not be /sys/fs/cgroup.
    static let cgroupRoot: String? = {
        guard let mounts = FileManager.default.contents(atPath: "/proc/self/mountinfo") else { return nil }
        for line in String(decoding: mounts, as: UTF8.self).split(separator: "\n") {
            // proc_pid_mountinfo(5): optional fields end with a hyphen, the file-system type follows it.
            let fields = line.split(separator: " ")
            guard let hyphen = fields.firstIndex(of: "-"), fields.count > hyphen + 1, fields.count > 4 else { continue }
            if fields[hyphen + 1] == "cgroup2" { return String(fields[4]) }
        }
        return nil
    }()

    /// The interpreter itself rather than a version manager's shim, which takes longer to start than the test.
    static let python =
        FileManager.default.isExecutableFile(atPath: "/usr/bin/python3") ? "/usr/bin/python3" : "python3"

    static func script(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Scripts/\(name)").path
    }

    /// A file below `Tests/Support`.
    static func support(_ path: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Support/\(path)").path
    }

    /// The directory of the Python packages of `install_python_packages` of `tools/lib/dependencies.sh`.
    static func pythonPackages() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache"
        let path = environment["WEFT_TEST_PYTHON"] ?? "\(cache)/weft/python"
        guard FileManager.default.fileExists(atPath: "\(path)/spiffe") else {
            throw TestFailure("this test needs Python packages in \(path) (WEFT_TEST_PYTHON): tools/test installs them")
        }
        return path
    }

    /// The directory of the Python modules of OTLP's messages: other packages bring older ones.
    static func otlpPackages() throws -> String {
        let path = try pythonPackages()
        guard FileManager.default.fileExists(atPath: "\(path)/otlp/opentelemetry") else {
            throw TestFailure("this test needs opentelemetry-proto in \(path)/otlp: tools/test installs it")
        }
        return "\(path)/otlp"
    }

    /// A file below `tools`.
    static func tool(_ path: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "tools/\(path)").path
    }

    /// Envoy's binary, where `install_envoy` of `tools/lib/dependencies.sh` puts it.
    static func envoy() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache"
        let path = environment["WEFT_TEST_ENVOY"] ?? "\(cache)/weft/envoy-1.40.0/envoy"
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw TestFailure("this test needs Envoy at \(path) or in WEFT_TEST_ENVOY: tools/test installs it")
        }
        return path
    }

    /// An executable that this package builds; it lies beside the test bundle.
    static func product(_ name: String) throws -> String {
        var candidates: [String] = []
        if let directory = ProcessInfo.processInfo.environment["WEFT_TEST_PRODUCTS"] { candidates.append(directory) }
        let maps = FileManager.default.contents(atPath: "/proc/self/maps").map { String(decoding: $0, as: UTF8.self) }
        for line in (maps ?? "").split(separator: "\n") where line.contains(".xctest") {
            guard let slash = line.firstIndex(of: "/"), let end = line.range(of: ".xctest") else { continue }
            candidates.append(URL(filePath: String(line[slash..<end.lowerBound])).deletingLastPathComponent().path)
            break
        }
        candidates.append(URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().path)
        for directory in candidates {
            let path = "\(directory)/\(name)"
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        throw TestFailure("\(name) is not beside the test bundle (looked in \(candidates)); run swift build first")
    }

    /// Fails with the package to install when a program is missing. Nothing is skipped.
    static func require(_ programs: [(name: String, package: String)]) throws {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let directories = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
        for (name, package) in programs {
            guard directories.contains(where: { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }) else {
                throw TestFailure("this test needs \(name): apt-get install \(package)")
            }
        }
    }

    /// What every privileged test needs.
    static func requirePrivileges() throws {
        guard geteuid() == 0 else {
            throw TestFailure("this test loads programs into the kernel: run it as root (sudo tools/test)")
        }
        guard cgroupRoot != nil else {
            throw TestFailure("no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
        }
        try require([
            ("python3", "python3"), ("ip", "iproute2"), ("nsenter", "util-linux"), ("mount", "mount"),
        ])
    }

    /// Longer forms of soaks: more rounds of the same test.
    static let isLong = ProcessInfo.processInfo.environment["WEFT_TEST_LONG"] == "1"

    /// A port of 127.0.0.1 that nobody uses at this moment, for TCP and UDP. It is below those that the kernel gives to
    /// clients, and given out once: what a test starts a moment later finds it free.
    static func freePort() throws -> UInt16 {
        for _ in 0..<1000 {
            let port = nextPort.withLock { next in
                next = next < 31_999 ? next + 1 : 20_000
                return next
            }
            if isFree(port, Int32(SOCK_STREAM.rawValue)), isFree(port, Int32(SOCK_DGRAM.rawValue)) { return port }
        }
        throw TestFailure("no free port between 20000 and 32000")
    }

    private static let nextPort = Mutex(UInt16(20_000 + Int(getpid()) * 61 % 12_000))

    private static func isFree(_ port: UInt16, _ kind: Int32) -> Bool {
        let descriptor = socket(AF_INET, kind, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = port.bigEndian
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
