import Foundation
import Mesh
import Synchronization
import Testing

@testable import Agent

/// A Workload API on a thread of its own, on a socket in a directory of its own.
final class WorkloadAPITestServer {
    let directory: String
    let path: String
    private let mailbox: ReactorMailbox
    private let server: ReactorLocal<WorkloadAPIServer>
    private let thread: TestThread

    private final class Shared: Sendable {
        let everybody = Mutex<String?>(nil)
        let cgroups = Mutex<[String]>([])
        let started = Mutex<Result<(ReactorMailbox, ReactorLocal<WorkloadAPIServer>), SystemError>?>(nil)
    }
    private let shared = Shared()

    /// Cgroups that callers were found in.
    var cgroups: [String] { shared.cgroups.withLock { $0 } }

    /// - Parameter identity: of every caller.
    init(identity: String?, limits: WorkloadAPIServer.Limits = .init()) throws {
        directory = NSTemporaryDirectory() + "weft-workload-api-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        path = "\(directory)/workload.sock"
        let (shared, path) = (shared, path)
        shared.everybody.withLock { $0 = identity }
        thread = try TestThread {
            do throws(SystemError) {
                let reactor = try Reactor()
                Reactor.ignoreBrokenPipes()
                let server = WorkloadAPIServer(reactor: reactor, limits: limits) { cgroup in
                    shared.cgroups.withLock { $0.append(cgroup) }
                    return shared.everybody.withLock { $0 }
                }
                try server.listen(path: path)
                let local = ReactorLocal(server, of: reactor)
                shared.started.withLock { $0 = .success((reactor.mailbox, local)) }
                try reactor.run()
                server.close()
            } catch {
                shared.started.withLock { $0 = .failure(error) }
            }
        }
        while true {
            if let started = shared.started.withLock({ $0 }) {
                (mailbox, server) = try started.get()
                return
            }
            usleep(500)
        }
    }

    func update(_ trust: TrustSnapshot) {
        mailbox.post { [server] in server.get(on: $0).update(trust) }
    }

    /// Changes who every caller is.
    func identify(as identity: String?) {
        shared.everybody.withLock { $0 = identity }
        mailbox.post { [server] in server.get(on: $0).refresh() }
    }

    /// Waits for so many connections.
    func waitForConnections(_ count: Int) -> Bool {
        for _ in 0..<500 {
            let answered = DispatchSemaphore(value: 0)
            let box = Box()
            mailbox.post { [server] reactor in
                let count = server.get(on: reactor).connectionCount
                box.count.withLock { $0 = count }
                answered.signal()
            }
            answered.wait()
            if box.count.withLock({ $0 }) == count { return true }
            usleep(10_000)
        }
        return false
    }

    private final class Box: Sendable { let count = Mutex(0) }

    func stop() {
        mailbox.post { $0.stop() }
        thread.join()
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Clients

    /// Starts `Tests/Support/WorkloadAPI/SCRIPT SOCKET ARGUMENTS…`.
    func start(_ script: String, _ arguments: [String]) throws -> WorkloadAPIClient {
        try WorkloadAPIClient(script, [path] + arguments)
    }

    /// The lines that a script prints until it ends.
    func run(_ script: String, _ arguments: String...) throws -> [[String: Any]] {
        let client = try start(script, arguments)
        var lines: [[String: Any]] = []
        while let line = try client.next() { lines.append(line) }
        return lines
    }
}

/// A script of `Tests/Support/WorkloadAPI`, as a process.
final class WorkloadAPIClient {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var buffer = Data()

    init(_ script: String, _ arguments: [String]) throws {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache"
        let packages = environment["WEFT_TEST_PYTHON"] ?? "\(cache)/weft/python"
        guard FileManager.default.fileExists(atPath: "\(packages)/spiffe") else {
            throw MissingPackages(place: packages)
        }
        process.executableURL = URL(filePath: "/usr/bin/python3")
        // Without the system's own packages, which are of other versions.
        process.arguments = ["-S", tests.appending(path: "Support/WorkloadAPI/\(script)").path] + arguments
        process.environment = environment.merging(["PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"]) { $1 }
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    struct MissingPackages: Error, CustomStringConvertible {
        let place: String
        var description: String { "this test needs the packages that tools/test installs into \(place)" }
    }

    deinit { finish() }

    /// What it prints next; nil at its end.
    func next() throws -> [String: Any]? {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let line = buffer[buffer.startIndex..<end]
                buffer = Data(buffer[buffer.index(after: end)...])
                return try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            }
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { return nil }
            buffer += more
        }
    }

    func signal(_ number: Int32) { _ = kill(process.processIdentifier, number) }

    /// Lets it end by itself.
    func finish() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}
