import Foundation
import Testing

extension NodeTests {
    /// What changes while the kernel decides about requests: the next request is decided by what is in force then.
    @Suite("Shortcut: changes under load")
    struct ShortcutChangeTests {
        private static let plain = [
            "--plain", "--split", "0", "--pipeline", "0", "--abort", "0", "--leave", "0", "--connections", "10",
            "--requests", "10000000",
        ]

        /// Seconds that a change may take from when the agent says that it is programmed.
        private static let soon = 1.0

        /// Runs a load of plain requests, and `change` in its midst; it goes on for `seconds` after that.
        ///
        /// - Returns: what the client and the servers told, and when the change was in force (seconds since 1970).
        private func load(
            _ mesh: ShortcutMesh, _ options: [String], seconds: Double = 2, _ change: ([Command]) throws -> Void
        ) throws -> (client: JSON, servers: [JSON], changed: Double) {
            let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
            let client = try mesh.startClient(Self.plain + options)
            try eventually("the kernel takes requests") {
                try mesh.node.scrape().sum(
                    "istio_requests_total", ["reporter": "source", "weft_lane": "shortcut"]) > 1000
            }
            try change(servers)
            let changed = Date().timeIntervalSince1970
            Thread.sleep(forTimeInterval: seconds)
            client.signal(SIGTERM)
            let report = try ShortcutMesh.report(client)
            return (report, try mesh.finish(servers.filter(\.isRunning)), changed)
        }

        @Test("A path that is denied from now on: no request passes any more, and none fails in another way")
        func denial() throws {
            try ShortcutMesh.run { mesh in
                let told = try load(mesh, ["--paths", "/x", "/later", "--tolerated", "403"]) { _ in
                    try mesh.node.apply(mesh.manifest(denied: ["/later"]))
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
                #expect((told.client["refused"]["/later"].int ?? 0) > 100)
                #expect(told.client["refused"]["/x"].int == nil)
                let last = told.client["last"]["/later"].double ?? .infinity
                #expect(last < told.changed + Self.soon, "\(last - told.changed) s after the change")
                #expect((told.client["last"]["/x"].double ?? 0) > told.changed + 1)
            }
        }

        @Test("A route that sends a path elsewhere from now on: not one request goes where it went before")
        func route() throws {
            try ShortcutMesh.run { mesh in
                let redirect = """
                      - matches: [{ path: { type: PathPrefix, value: /later } }]
                        filters: [{ type: RequestRedirect, requestRedirect: { hostname: elsewhere.example } }]

                    """
                let told = try load(mesh, ["--paths", "/x", "/later", "--tolerated", "302"]) { _ in
                    try mesh.node.apply(mesh.manifest(rules: redirect + ShortcutMesh.rules))
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
                #expect((told.client["statuses"]["302"].int ?? 0) > 100)
                #expect((told.client["last"]["/later"].double ?? .infinity) < told.changed + Self.soon)
            }
        }

        @Test("An endpoint that is taken out, and one that is drained, get no further request; nothing fails")
        func endpoint() throws {
            try ShortcutMesh.run { mesh in
                let told = try load(mesh, ["--paths", "/x"]) { _ in
                    try mesh.node.apply(mesh.manifest(servers: ["a"]))
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
                #expect((told.client["last"]["b"].double ?? .infinity) < told.changed + Self.soon)
                #expect((told.client["last"]["a"].double ?? 0) > told.changed + 1)
                #expect((told.client["servers"]["b"].int ?? 0) > 100)
            }
            try ShortcutMesh.run { mesh in
                let told = try load(mesh, ["--paths", "/x"]) { _ in
                    let drained = try mesh.node.weft(
                        "endpoint", "drain", "shop/web", "\(mesh.address(of: "b")):\(ShortcutMesh.port)")
                    #expect(drained.status == 0, "\(drained.output)\(drained.errors)")
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
                #expect((told.client["last"]["b"].double ?? .infinity) < told.changed + Self.soon)
            }
        }

        @Test("A backend that is killed: what it had is answered with 503, and everything else by the other one")
        func backendDies() throws {
            try ShortcutMesh.run { mesh in
                let told = try load(mesh, ["--paths", "/x", "--tolerated", "503"]) { servers in
                    servers[1].signal(SIGKILL)
                    _ = try servers[1].wait()
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
                #expect((told.client["statuses"]["503"].int ?? 0) < 500, "\(told.client)")
                #expect((told.client["last"]["a"].double ?? 0) > told.changed + 1)
            }
        }

        @Test("Acceleration is taken back and given again: the agent takes the requests meanwhile, and none fails")
        func pause() throws {
            try ShortcutMesh.run { mesh in
                let told = try load(mesh, ["--paths", "/x"]) { _ in
                    try mesh.node.apply(mesh.manifest(isAccelerated: false))
                    Thread.sleep(forTimeInterval: 1)
                    try mesh.node.apply(mesh.manifest())
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
                let counted = try mesh.counted()
                #expect(
                    (counted["shortcut"]?["200"] ?? 0) > 1000 && (counted["proxy"]?["200"] ?? 0) > 100, "\(counted)")
                #expect(told.servers.allSatisfy { $0["twice"].array.isEmpty })
            }
        }

        @Test("Whoever taps the service sees its requests: meanwhile they are the agent's")
        func tap() throws {
            try ShortcutMesh.run { mesh in
                let told = try load(mesh, ["--paths", "/x"]) { _ in
                    let tap = try mesh.sandbox.start(
                        [Host.product("weft"), "tap", "shop/web"], environment: mesh.node.cliEnvironment)
                    try tap.waitForOutput("requests are told of") { $0.split(separator: "\n").count >= 20 }
                    tap.stop()
                }
                #expect(told.client["failed"].int == 0, "\(told.client)")
            }
        }
    }
}
