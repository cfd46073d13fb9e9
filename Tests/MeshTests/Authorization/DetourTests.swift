import Foundation
import Testing

extension NodeTests {
    /// Ways to a workload that do not lead through its service: a policy about its requests holds on all of them.
    @Suite("Ways around a policy")
    struct DetourTests {
        private static let reads = "[{ to: [{ operation: { methods: [GET] } }] }]"
        private static let ofClient = """
            [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }], to: [{ operation: { methods: [GET] } }] },
             { to: [{ operation: { paths: [/open] } }] }]
            """
        private static let requests = [
            HTTPRequestRow(path: "/a"), HTTPRequestRow(method: "POST", path: "/a"), HTTPRequestRow(path: "/open"),
        ]

        /// A workload of its own with the label `app: web`.
        private func workload(_ name: String, _ mesh: HTTPMesh, addresses: [String], ports: String) -> String {
            """
            apiVersion: weft.dev/v1alpha1
            kind: Workload
            metadata: { name: \(name), namespace: shop, labels: { app: web-alone } }
            spec:
              serviceAccount: web
              match: { cgroup: "\(mesh.sandbox.cgroupPath(name))" }
              addresses: [\(addresses.map { "\"\($0)\"" }.joined(separator: ", "))]
              ports: \(ports)

            """
        }

        @Test("The workload's own address, IPv4-mapped, from every client: decided as through the service")
        func ownAddress() throws {
            try HTTPMesh.run(Manifest.policy("reads", action: "ALLOW", app: "web", rules: Self.ofClient)) { mesh in
                let own = mesh.sandbox.address(1)
                let ways = [
                    (HTTPMesh.web, 80), ("::ffff:\(HTTPMesh.web)", 80), (own, 8080), ("::ffff:\(own)", 8080),
                ]
                for (address, port) in ways {
                    let client = try mesh.send(Self.requests, to: address, port: port)
                    #expect(client.map(\.status) == [200, 403, 200], "client to \(address)")
                    // A process of the guarded cgroup that is in no workload's.
                    let stranger = try mesh.send(Self.requests, to: address, port: port, from: "stranger")
                    #expect(stranger.map(\.status) == [403, 403, 200], "stranger to \(address)")
                    #expect(stranger[0].reason == "shop/reads (no rule matched)")
                }
                // A client that no hook of connect() sees.
                let outside = try mesh.send(Self.requests, to: own, port: 8080, from: nil)
                #expect(outside.map(\.status) == [403, 403, 200], "\(outside.map(\.reason))")
                #expect(outside[0].reason == "shop/reads (no rule matched)")
                #expect(outside[2].pod == "web-v1")
            }
        }

        @Test("By IPv6")
        func ipv6() throws {
            let port = Int(try Host.freePort())
            try HTTPMesh.run { mesh in
                try mesh.sandbox.makeCgroup("six")
                let server = try mesh.sandbox.start(
                    [Host.python, Host.script("echo.py"), "six", "::1", "\(port)"], in: "six")
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                try mesh.apply(
                    workload("six", mesh, addresses: ["::1"], ports: "[{ name: http, port: \(port) }]"),
                    Manifest.policy("reads", action: "ALLOW", app: "web-alone", rules: Self.ofClient))
                func statuses(_ workload: String?) throws -> [Int] {
                    try mesh.send(Self.requests, to: "::1", port: port, from: workload).map(\.status)
                }
                #expect(try statuses("client") == [200, 403, 200])
                #expect(try statuses("stranger") == [403, 403, 200])
                #expect(try statuses(nil) == [403, 403, 200])
            }
        }

        @Test("By addresses of the node that nobody has declared, to a server that listens at all of them")
        func undeclaredAddresses() throws {
            let port = Int(try Host.freePort())
            try HTTPMesh.run { mesh in
                try mesh.sandbox.makeCgroup("wide")
                try mesh.apply(
                    workload(
                        "wide", mesh, addresses: [mesh.sandbox.address(9)], ports: "[{ name: http, port: \(port) }]"),
                    Manifest.policy("reads", action: "ALLOW", app: "web-alone", rules: Self.ofClient))
                let server = try mesh.sandbox.start(
                    [Host.python, Host.script("echo.py"), "wide", "::", "\(port)"], in: "wide")
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                let declared = try mesh.send(Self.requests, to: mesh.sandbox.address(9), port: port)
                #expect(declared.map(\.status) == [200, 403, 200])
                for address in ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::"] {
                    for client in ["client", "stranger"] {
                        let statuses = try mesh.send(Self.requests, to: address, port: port, from: client).map(\.status)
                        #expect(
                            statuses == (client == "client" ? [200, 403, 200] : [403, 403, 200]), "\(client) \(address)"
                        )
                    }
                    // What it says to itself is its own business.
                    let itself = try mesh.send(Self.requests, to: address, port: port, from: "wide").map(\.status)
                    #expect(itself == [200, 200, 200], "\(address)")
                }
                // A client that no hook sees meets the rules too, before the workload sees a byte.
                for address in ["127.0.0.1", "127.0.0.2", "::1"] {
                    let outside = try mesh.send(Self.requests, to: address, port: port, from: nil)
                    #expect(outside.map(\.status) == [403, 403, 200], "outside \(address)")
                    #expect(outside[0].reason == "shop/reads (no rule matched)")
                }
                #expect(!mesh.node.agentLog.contains("ended connections"))
            }
        }

        @Test("To another port of the workload, where no requests are read, and by datagrams")
        func otherPorts() throws {
            let ports = """
                [{ name: http, port: 8080 }, { name: tcp-raw, port: 8081 }, { name: dns, port: 8053, protocol: UDP }]
                """
            try HTTPMesh.run { mesh in
                try mesh.sandbox.makeCgroup("many")
                let own = mesh.sandbox.address(9)
                try mesh.apply(
                    workload("many", mesh, addresses: [own], ports: ports),
                    Manifest.policy("reads", action: "ALLOW", app: "web-alone", rules: Self.reads))
                try mesh.sandbox.serve(
                    ["raw,tcp,\(own),8081", "late,tcp,\(own),8082", "dns,udp,\(own),8053"], in: "many")
                // ALLOW of what only a request has allows nothing where there are none.
                #expect(try mesh.sandbox.connect(own, 8081, in: "client").result == "EPERM")
                #expect(try mesh.sandbox.connect(own, 8081, in: nil).result == "ECONNREFUSED")
                #expect(try mesh.sandbox.connect(own, 8053, protocol: "udp", in: "client").result == "EPERM")
                let datagram = try mesh.sandbox.client("udp", ["exchanges": [[own, 8053, "x"]]])
                #expect(datagram["result"].string == "EPERM")
                // A port that it has not declared, but listens at: its process tells who it is, and the connection ends.
                for client in ["client", nil] {
                    let held = try mesh.sandbox.startClient(
                        "hold", ["address": own, "port": 8082, "count": 1], in: client)
                    try eventually("the connection of \(client ?? "outside") to 8082 ends", within: 3) {
                        held.output.contains("\"ended\"") || !held.isRunning
                    }
                }
            }
        }

        @Test("While the agent is dead nobody gets in, by whatever way, and the next agent decides again")
        func death() throws {
            try HTTPMesh.run(Manifest.policy("reads", action: "ALLOW", app: "web", rules: Self.reads)) { mesh in
                let own = mesh.sandbox.address(1)
                let ways: [(String, Int, String?)] = [
                    (HTTPMesh.web, 80, "client"), (own, 8080, "client"), (own, 8080, "stranger"), (own, 8080, nil),
                ]
                for (address, port, client) in ways {
                    let replies = try mesh.send(Self.requests, to: address, port: port, from: client)
                    #expect(replies.map(\.status) == [200, 403, 200], "\(client ?? "outside") to \(address)")
                }
                try mesh.node.kill()
                for (address, port, client) in ways {
                    let replies = try mesh.send(Self.requests, to: address, port: port, from: client)
                    #expect(replies.map(\.status) == [0, 0, 0], "\(client ?? "outside") to \(address)")
                }
                try mesh.node.start()
                for (address, port, client) in ways {
                    try eventually("requests are served again") {
                        try mesh.send([Self.requests[0]], to: address, port: port, from: client)[0].status == 200
                    }
                    #expect(try mesh.send([Self.requests[1]], to: address, port: port, from: client)[0].status == 403)
                }
            }
        }
    }
}
