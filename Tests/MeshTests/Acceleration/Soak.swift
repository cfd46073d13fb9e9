import Foundation

/// `tools/soak`: both ends of connections whose every byte is known before.
enum Soak {
    /// How the program waits and moves bytes: see `tools/soak/main.c`.
    enum Mode: String {
        case poll, epoll, uring, blocking
        case uringBlocking = "uring-blocking"
    }

    /// What one end has to say when it is done.
    struct Totals {
        let json: JSON
        /// Of everything that was sent and received, what did not come as it was sent; nil: all did.
        var failure: String? { json["failure"].string }
        var connections: Int { number("connections") }
        var sentBytes: Int { number("sentBytes") }
        var receivedBytes: Int { number("receivedBytes") }
        var halfCloses: Int { number("halfCloses") }
        /// Connections that this end broke off, with a reset or with bytes unread.
        var brokenOff: Int { number("aborts") + number("leaves") }
        /// Connections that the other end, or somebody else, broke off.
        var broken: Int { number("broken") }
        /// Sleeps of readers.
        var stalls: Int { number("stalls") }
        /// The most bytes that one connection took while its reader slept.
        var queuedBytes: Int { number("queuedBytes") }
        var unfinished: Int { number("unfinished") }
        var seconds: Double { json["seconds"].double ?? 0 }
        /// By the name of the errno, those that are part of the plan included.
        var errors: [String: Int] { json["errors"].object.compactMapValues(\.int) }

        private func number(_ key: String) -> Int { json[key].int ?? -1 }
    }

    /// The program, built once for this run of the tests in a directory that the next run removes.
    static func program() throws -> String { try built.get() }

    private static let built = Result { () throws -> String in
        try Host.require([("cc", "gcc")])
        let directory = "/tmp/weft-test-\(getpid())-0"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let sources = try FileManager.default.contentsOfDirectory(atPath: Host.tool("soak"))
            .filter { $0.hasSuffix(".c") }.map { Host.tool("soak/\($0)") }
        let program = "\(directory)/soak"
        let compiler = try Command(
            ["cc", "-std=gnu17", "-O2", "-pthread", "-o", program] + sources, directory: directory)
        let result = try compiler.wait(timeout: 120)
        guard result.succeeded else { throw TestFailure("the soak does not compile: \(result.errors)") }
        return program
    }

    /// Waits for a client's end and tells its server to end; what both have to say.
    static func finish(
        _ client: Command, _ servers: [Command], within seconds: Double
    ) throws -> (client: Totals, servers: [Totals]) {
        let own = try totals(client.wait(timeout: seconds))
        for server in servers { server.signal(SIGTERM) }
        return (own, try servers.map { try totals($0.wait(timeout: 15)) })
    }

    static func totals(_ result: Command.Result) throws -> Totals {
        guard let line = result.output.split(separator: "\n").last, let json = try? JSON(String(line)),
            json["role"].string != nil
        else { throw TestFailure("the soak ended with \(result.status) and says nothing: \(result.errors)") }
        let totals = Totals(json: json)
        guard result.succeeded == (totals.failure == nil) else {
            throw TestFailure("the soak ended with \(result.status): \(result.output)\(result.errors)")
        }
        return totals
    }
}

extension Sandbox {
    /// Starts the server's end, and waits until it listens.
    func soakServer(
        _ address: String, _ port: Int, _ mode: Soak.Mode, in workload: String = "server",
        _ options: [String] = []
    ) throws -> Command {
        let server = try start(
            [Soak.program(), "serve", address, "\(port)", "--mode", mode.rawValue] + options, in: workload)
        try server.waitForOutput("listening") { $0.contains("ready\n") }
        return server
    }

    /// Starts the client's end.
    func soakClient(
        _ address: String, _ port: Int, _ mode: Soak.Mode, in workload: String = "client", _ options: [String]
    ) throws -> Command {
        try start([Soak.program(), "run", address, "\(port)", "--mode", mode.rawValue] + options, in: workload)
    }
}
