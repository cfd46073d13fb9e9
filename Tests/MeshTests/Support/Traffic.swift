import Foundation

/// The servers and clients of Scripts/, started in a sandbox.
extension Sandbox {
    /// Starts servers (`NAME,KIND,ADDRESS,PORT` each) and waits until they listen.
    @discardableResult
    func serve(
        _ listeners: [String], in workload: String, namespace: NetworkNamespace? = nil
    ) throws -> Command {
        let server = try start(
            [Host.python, Host.script("server.py")] + listeners, in: workload, namespace: namespace)
        try server.waitForOutput("listening") { $0.contains("ready\n") }
        return server
    }

    /// Runs one mode of client.py to its end.
    func client(
        _ mode: String, _ parameters: [String: Any], in workload: String? = "client",
        namespace: NetworkNamespace? = nil, timeout: Double = 90
    ) throws -> JSON {
        let result = try startClient(mode, parameters, in: workload, namespace: namespace).wait(timeout: timeout)
        guard result.succeeded else { throw TestFailure("client \(mode) failed: \(result.errors)") }
        return try JSON(result.output)
    }

    func startClient(
        _ mode: String, _ parameters: [String: Any], in workload: String? = "client",
        namespace: NetworkNamespace? = nil
    ) throws -> Command {
        let json = try JSONSerialization.data(withJSONObject: parameters, options: .sortedKeys)
        return try start(
            [Host.python, Host.script("client.py"), mode, String(decoding: json, as: UTF8.self)],
            in: workload, namespace: namespace)
    }

    /// Who answers each of `count` connections.
    func pick(
        _ address: String, _ port: Int, count: Int, binds: [String]? = nil, in workload: String? = "client",
        namespace: NetworkNamespace? = nil
    ) throws -> Picks {
        var parameters: [String: Any] = ["address": address, "port": port, "count": count]
        if let binds { parameters["binds"] = binds }
        let answer = try client("pick", parameters, in: workload, namespace: namespace)
        return Picks(
            names: answer["names"].object.compactMapValues(\.int),
            errors: answer["errors"].object.compactMapValues(\.int),
            byBind: answer["byBind"].object.compactMapValues(\.string))
    }

    /// Opens one connection: what came of it.
    func connect(
        _ address: String, _ port: Int, mapped: Bool = false, protocol transport: String = "tcp",
        in workload: String? = "client", namespace: NetworkNamespace? = nil
    ) throws -> Attempt {
        let answer = try client(
            "connect", ["address": address, "port": port, "mapped": mapped, "protocol": transport], in: workload,
            namespace: namespace)
        return Attempt(
            result: answer["result"].string ?? "", milliseconds: answer["milliseconds"].double ?? .infinity,
            peerAddress: answer["peer"][0].string, peerPort: answer["peer"][1].int,
            greeting: answer["greeting"].string)
    }

    /// Opens connections that stay open.
    func hold(
        _ address: String, _ port: Int, count: Int, in workload: String? = "client",
        namespace: NetworkNamespace? = nil
    ) throws -> HeldConnections {
        let command = try startClient(
            "hold", ["address": address, "port": port, "count": count], in: workload, namespace: namespace)
        let held = HeldConnections(command: command)
        try command.waitForOutput("connections open") { $0.contains("\"open\"") }
        return held
    }
}

struct Picks {
    let names: [String: Int]
    let errors: [String: Int]
    /// By bound source address: who answered last.
    let byBind: [String: String]
}

struct Attempt {
    /// `connected`, or the name of the errno.
    let result: String
    let milliseconds: Double
    let peerAddress: String?
    let peerPort: Int?
    let greeting: String?
    /// The server that answered.
    var server: String? { greeting?.split(separator: " ").first.map(String.init) }
}

/// Connections that a client keeps open, and what becomes of them.
struct HeldConnections {
    let command: Command

    private var events: [JSON] { command.lines.compactMap { try? JSON(String($0)) } }

    /// The servers of the connections, in order.
    var names: [String] {
        events.first { $0["event"].string == "open" }?["names"].array.compactMap(\.string) ?? []
    }

    /// The connections that ended: when (seconds since 1970), of which server and how.
    var ended: [(name: String, how: String, at: Double)] {
        events.filter { $0["event"].string == "ended" }.map {
            ($0["name"].string ?? "", $0["how"].string ?? "", $0["at"].double ?? 0)
        }
    }

    /// Sends a line over every connection; how many brought it back.
    func echo(_ order: String = "echo") throws -> Int {
        func answers() -> [JSON] { events.filter { $0["event"].string == "alive" } }
        let before = answers().count
        try command.write(line: order)
        try eventually("the connections echo", within: 20) { answers().count > before }
        return answers().last?["count"].int ?? 0
    }

    /// Closes all of them in good order.
    func close() throws {
        try command.write(line: "close")
        try command.wait(timeout: 10)
    }
}
