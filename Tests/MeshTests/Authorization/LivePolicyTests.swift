import Foundation
import Testing

extension NodeTests {
    /// What becomes of open connections when the policy that let them be goes.
    @Suite("Policies that change under open connections")
    struct LivePolicyTests {
        private func allow(_ who: String, app: String = "web", _ operation: String? = nil) -> String {
            let to = operation.map { ", to: [{ operation: \($0) }]" } ?? ""
            return Manifest.policy(
                "allow", action: "ALLOW", app: app,
                rules: "[{ from: [{ source: { principals: [\"cluster.local/ns/shop/sa/\(who)\"] } }]\(to) }]")
        }

        @Test("In the kernel's lane: who has lost its ALLOW loses its connections within a second, and nobody else")
        func kernel() throws {
            let both = Manifest.policy("allow", action: "ALLOW", app: "web", rules: Manifest.from("alice", "mallory"))
            try Shop.run(both) { shop in
                let alice = try shop.sandbox.hold(Shop.service, 80, count: 3, in: "alice")
                let mallory = try shop.sandbox.hold(Shop.service, 80, count: 3, in: "mallory")
                let before = Date.now.timeIntervalSince1970
                try shop.apply(allow("alice"))
                try eventually("the connections end", within: 5) { mallory.ended.count == 3 }
                #expect(mallory.ended.allSatisfy { $0.at - before < 3 })
                #expect(try alice.echo() == 3)
            }
        }

        @Test("Older than the first rule about requests: connections past the proxy end, and come back through it")
        func captured() throws {
            try HTTPMesh.run { mesh in
                let client = try mesh.startHTTP(
                    "idle", ["address": HTTPMesh.web, "port": 80, "count": 5], in: "client")
                try client.waitForOutput("connections open") { $0.contains("\"count\": 5") }
                try mesh.apply(allow("client", "{ methods: [POST] }"))
                try eventually("the agent has ended them", within: 5) {
                    mesh.node.agentLog.contains("ended connections")
                }
                try client.write(line: "")
                let result = try client.wait(timeout: 20)
                let answer = try JSON(String(try #require(result.output.split(separator: "\n").last)))
                #expect(answer["statuses"]["closed"].int == 5, "\(result.output)")
                #expect(try mesh.get("/").status == 403)
            }
        }

        @Test("Captured for rules that are gone: a later DENY ends the connections all the same")
        func left() throws {
            let route = """
                apiVersion: gateway.networking.k8s.io/v1
                kind: HTTPRoute
                metadata: { name: web, namespace: shop }
                spec:
                  parentRefs: [{ group: "", kind: Service, name: web, port: 80 }]
                  rules: [{ matches: [{ method: GET }], backendRefs: [{ name: web-v1, port: 80 }] }]

                """
            try HTTPMesh.run(route) { mesh in
                let client = try mesh.startHTTP(
                    "idle", ["address": HTTPMesh.web, "port": 80, "count": 5], in: "client")
                try client.waitForOutput("connections open") { $0.contains("\"count\": 5") }
                try mesh.apply()
                try eventually("the route is gone", within: 5) {
                    let explanation = try mesh.node.weft(
                        "explain", "connect", "\(HTTPMesh.web):80", "--from", "shop/client", "-o", "json")
                    return try JSON(explanation.output)["lane"].string == "kernel"
                }
                try mesh.apply(Manifest.policy("deny", action: "DENY", app: "web", rules: Manifest.from("client")))
                try eventually("the agent has ended them", within: 5) {
                    mesh.node.agentLog.contains("ended connections")
                }
                try client.write(line: "")
                let result = try client.wait(timeout: 20)
                let answer = try JSON(String(try #require(result.output.split(separator: "\n").last)))
                #expect(answer["statuses"]["closed"].int == 5, "\(result.output)")
            }
        }

        @Test("In the proxy lane: the next request on a connection is decided by the policy of its moment")
        func proxy() throws {
            try HTTPMesh.run(allow("client", "{ methods: [GET] }")) { mesh in
                func next(_ documents: String...) throws -> JSON {
                    let client = try mesh.startHTTP(
                        "idle", ["address": HTTPMesh.web, "port": 80, "count": 5], in: "client")
                    try client.waitForOutput("connections open") { $0.contains("\"count\": 5") }
                    try mesh.apply(documents.joined(separator: "---\n"))
                    try eventually("the new policy holds", within: 5) { try mesh.get("/").status != 200 }
                    try client.write(line: "")
                    let result = try client.wait(timeout: 20)
                    return try JSON(String(try #require(result.output.split(separator: "\n").last)))["statuses"]
                }
                #expect(try next(allow("client", "{ methods: [POST] }"))["403"].int == 5)
                try mesh.apply(allow("client", "{ methods: [GET] }"))
                try eventually("it is allowed again", within: 5) { try mesh.get("/").status == 200 }
                // Nobody of the client's account gets in at all now: its connections may end too.
                let statuses = try next(allow("other", "{ methods: [GET] }"))
                #expect((statuses["403"].int ?? 0) + (statuses["closed"].int ?? 0) == 5, "\(statuses)")
            }
        }
    }
}
