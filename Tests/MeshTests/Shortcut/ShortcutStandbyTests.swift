import Foundation
import Testing

extension NodeTests {
    /// Connections that the kernel decides about outlive the agent: a standby process has their sockets too.
    @Suite("Shortcut: the agent killed, replaced and removed")
    struct ShortcutStandbyTests {
        /// Requests that the kernel can decide, on connections that stay.
        private static let steady = [
            "--plain", "--small", "--split", "0", "--pipeline", "0", "--abort", "0", "--leave", "0", "--stall", "0",
            "--connections", "10", "--requests", "10000000",
        ]

        private func straight(_ mesh: ShortcutMesh) throws -> Double {
            try mesh.node.scrape().sum("istio_requests_total", ["reporter": "source", "weft_lane": "shortcut"])
        }

        /// Answers that a client has got between two times.
        private func answers(_ report: JSON, from begin: Date, to end: Date) -> Int {
            let tenths = Int(begin.timeIntervalSince1970 * 10) + 1..<Int(end.timeIntervalSince1970 * 10)
            return tenths.reduce(0) { $0 + (report["timeline"]["\($1)"].int ?? 0) }
        }

        private func standbyIsThere(_ mesh: ShortcutMesh) -> Bool {
            FileManager.default.fileExists(atPath: "\(mesh.node.runDirectory)/standby.sock")
        }

        /// Runs a steady load and ends the agent in its midst; then `meanwhile`, and starts another.
        private func replaceUnderLoad(
            _ options: [String] = [], waitsForAgent: Bool = false, end: (ShortcutMesh) throws -> Void,
            meanwhile: (ShortcutMesh) throws -> Void = { _ in }
        ) throws {
            try ShortcutMesh.run { mesh in
                let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                let client = try mesh.startClient(Self.steady + options)
                try eventually("the kernel takes requests, and the standby process is there") {
                    try straight(mesh) > 2000 && standbyIsThere(mesh)
                }
                // Each connection is offered again, and held then.
                try mesh.node.apply(mesh.manifest(denied: ["/other"]))
                Thread.sleep(forTimeInterval: 0.5)
                try end(mesh)
                let ended = Date()
                Thread.sleep(forTimeInterval: 1)
                let alone = Date()
                try meanwhile(mesh)
                try mesh.node.start(mesh.startOptions)
                #expect(mesh.node.agentLog.contains("taking over connections of an earlier agent"))
                try mesh.node.apply(mesh.manifest(denied: ["/another"]))
                let adopted = try straight(mesh)
                Thread.sleep(forTimeInterval: 1)
                #expect(try straight(mesh) > adopted + 1000, "the kernel goes on under the next agent")
                client.signal(SIGTERM)
                let report = try ShortcutMesh.report(client)
                #expect(report["failed"].int == 0, "\(report)\n\(mesh.node.agentLog)")
                #expect(report["connections"].int == 10, "no connection was made anew")
                if !waitsForAgent {
                    #expect(answers(report, from: ended, to: alone) > 1000, "the kernel goes on without an agent")
                }
                let told = try mesh.finish(servers)
                #expect(told.allSatisfy { $0["twice"].array.isEmpty })
                // Every request was counted, by whoever served it.
                let answered = report["answered"].int ?? 0
                try eventually("all \(answered) requests are counted: \(try mesh.counted())") {
                    try mesh.counted().values.reduce(0) { $0 + ($1["200"] ?? 0) } <= answered
                }
                try mesh.node.kill()
                try eventually("the standby process has ended with its connections") {
                    try mesh.sandbox.run(["pgrep", "-f", "standby --pin-dir \(mesh.node.pinDirectory)"]).status != 0
                }
            }
        }

        @Test("Killed: what the kernel has goes on by the last rules, and the next agent takes it over; none fails")
        func killed() throws {
            try replaceUnderLoad(end: { try $0.node.kill() })
        }

        @Test("Killed twice: what was taken over is held, too")
        func killedTwice() throws {
            try replaceUnderLoad(
                end: { try $0.node.kill() },
                meanwhile: { mesh in
                    try mesh.node.start(mesh.startOptions)
                    try mesh.node.apply(mesh.manifest(denied: ["/third"]))
                    let before = try straight(mesh)
                    try eventually("the kernel has them again") { try straight(mesh) > before + 1000 }
                    Thread.sleep(forTimeInterval: 0.5)
                    try mesh.node.kill()
                    Thread.sleep(forTimeInterval: 0.5)
                })
        }

        @Test("Replaced as by an upgrade (SIGTERM, and another one starts): none fails")
        func upgraded() throws {
            try replaceUnderLoad(end: { try $0.node.terminate() })
        }

        @Test("Requests that need the agent wait for the next one, and are answered by it")
        func needed() throws {
            try replaceUnderLoad(
                ["--paths"] + [String](repeating: "/x", count: 999) + ["/by-header"], waitsForAgent: true,
                end: { try $0.node.kill() })
        }

        @Test("Stopped for good: weft uninstall, and an agent that detaches, end what was held")
        func removed() throws {
            for detaches in [false, true] {
                try ShortcutMesh.run(detaches ? ["--detach-on-exit"] : []) { mesh in
                    let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                    let client = try mesh.startClient(Self.steady)
                    try eventually("the kernel takes requests, and the standby process is there") {
                        try straight(mesh) > 2000 && standbyIsThere(mesh)
                    }
                    try mesh.node.terminate()
                    if !detaches {
                        let removed = try mesh.node.weft("uninstall")
                        #expect(removed.status == 0, "\(removed.output)\(removed.errors)")
                    }
                    // Its connections end, and there is nobody to make new ones to.
                    let report = try ShortcutMesh.report(client)
                    #expect((report["failed"].int ?? 0) > 0)
                    try eventually("the standby process has ended") {
                        try mesh.sandbox.run(["pgrep", "-f", "standby --pin-dir \(mesh.node.pinDirectory)"]).status != 0
                    }
                    _ = try mesh.finish(servers)
                }
            }
        }
    }
}
