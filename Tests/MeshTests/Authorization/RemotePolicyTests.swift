import Foundation
import Testing

extension NodeTests {
    /// Policies about requests to a workload of another node: enforced there, for the identity that the tunnel proves.
    @Suite("Policies about requests between nodes")
    struct RemotePolicyTests {
        private static let api = "10.96.0.11"
        private static let address = "10.77.0.22"

        private static func documents(_ sandbox: Sandbox) -> String {
            Manifest.selecting("api", address: api, app: "api") + "---\n" + """
                apiVersion: weft.dev/v1alpha1
                kind: Workload
                metadata: { name: api, namespace: shop, labels: { app: api } }
                spec:
                  serviceAccount: api
                  node: node-b
                  addresses: ["\(address)"]
                  match: { cgroup: "\(sandbox.cgroupPath("b/api"))" }
                  ports: [{ name: http, port: 8080 }]

                """
        }

        /// GET for the client, POST for mallory; a path for everybody.
        private static func policy(_ reader: String) -> String {
            Manifest.policy(
                "api", action: "ALLOW", app: "api",
                rules: """
                    [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/\(reader)"] } }], to: [{ operation: { methods: [GET] } }] },
                     { from: [{ source: { principals: ["cluster.local/ns/shop/sa/mallory"] } }], to: [{ operation: { methods: [POST] } }] },
                     { to: [{ operation: { paths: [/open] } }] }]
                    """)
        }

        @Test("The peer's proved identity decides about each request; a plain client from outside has none")
        func identities() throws {
            try Cluster.run { cluster in
                try cluster.sandbox.makeCgroup("b/api")
                try cluster.sandbox.check([
                    "nsenter", "--net=\(cluster.b.namespace?.path ?? "")", "ip", "address", "add", "\(Self.address)/24",
                    "dev", "eth0",
                ])
                let server = try cluster.sandbox.start(
                    [Host.python, Host.script("echo.py"), "api", Self.address, "8080"], in: "b/api",
                    namespace: cluster.b.namespace)
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                let documents = Self.documents(cluster.sandbox)
                try cluster.apply(documents, Self.policy("client"))

                let requests = [
                    HTTPRequestRow(path: "/a"), HTTPRequestRow(method: "POST", path: "/a"),
                    HTTPRequestRow(path: "/open"),
                ]
                func send(from workload: String, to address: String, port: Int) throws -> [HTTPReply] {
                    try cluster.sandbox.send(
                        requests, to: address, port: port, from: workload, namespace: cluster.a.namespace)
                }
                let refused = "shop/api (no rule matched)"
                try eventually("the policy holds on node b", within: 10) {
                    try send(from: "a/client", to: Self.api, port: 80).map(\.status) == [200, 403, 200]
                }
                for (address, port) in [(Self.api, 80), (Self.address, 8080)] {
                    let client = try send(from: "a/client", to: address, port: port)
                    #expect(client.map(\.status) == [200, 403, 200], "\(address)")
                    #expect(client[1].reason == refused)
                    #expect(client[0].pod == "api")
                    let mallory = try send(from: "a/mallory", to: address, port: port)
                    #expect(mallory.map(\.status) == [403, 200, 200], "\(address)")
                }
                try cluster.b.waitForMetrics("node b has decided") {
                    $0.sum("weft_policy_decisions_total", ["policy": refused, "verdict": "deny"]) >= 4
                }
                // From a host that is no node, in the clear: no principal.
                let outside = try cluster.sandbox.send(
                    requests, to: Self.address, port: 8080, from: "", namespace: cluster.outside)
                #expect(outside.map(\.status) == [403, 403, 200])
                #expect(outside[0].reason == refused)

                // A stream that lives: its next request is decided by the policy of its moment.
                let idle = try cluster.sandbox.startHTTP(
                    "idle", ["address": Self.api, "port": 80, "count": 3], in: "a/client",
                    namespace: cluster.a.namespace)
                try idle.waitForOutput("connections open") { $0.contains("\"count\": 3") }
                try cluster.apply(documents, Self.policy("nobody"))
                try eventually("the new policy holds", within: 5) {
                    try send(from: "a/client", to: Self.api, port: 80).map(\.status) != [200, 403, 200]
                }
                try idle.write(line: "")
                let result = try idle.wait(timeout: 20)
                let last = try JSON(String(try #require(result.output.split(separator: "\n").last)))
                #expect(last["count"].int == 0, "\(result.output)")
            }
        }
    }
}
