import Foundation

/// Connections that echo lines at a steady rate while something else happens.
struct SteadyLoad {
    struct Books {
        /// Lines that came back over connections that stayed open, and over new ones.
        let kept: Int
        let new: Int
        let errors: [String: Int]
        /// Seconds.
        let slowest: Double
    }

    private let command: Command

    /// Starts `kept` lines a second over 16 connections that stay open, and `new` connections a second.
    init(_ cluster: Cluster, kept: Int, new: Int) throws {
        command = try cluster.sandbox.startClient(
            "steady",
            ["address": Cluster.service, "port": 80, "connections": 16, "rate": kept, "newRate": new],
            in: "a/client", namespace: cluster.a.namespace)
        try command.waitForOutput("the load runs") { $0.contains("started\n") }
    }

    /// Ends it.
    func finish() throws -> Books {
        try command.write(line: "end")
        let result = try command.wait(timeout: 30)
        guard result.succeeded, let line = command.lines.last else {
            throw TestFailure("client steady failed: \(result.errors)")
        }
        let answer = try JSON(String(line))
        return Books(
            kept: answer["counts"]["kept"].int ?? 0, new: answer["counts"]["new"].int ?? 0,
            errors: answer["errors"].object.compactMapValues(\.int),
            slowest: answer["slowest"].object.values.compactMap(\.double).max() ?? .infinity)
    }
}
