import Foundation
import Testing

extension NodeTests {
    /// Rules about requests, on a whole node.
    @Suite("Policies about requests")
    struct RequestPolicyTests {
        private static let readers = """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { name: readers, namespace: shop }
            spec:
              selector: { matchLabels: { app: web } }
              action: ALLOW
              rules:
              - from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }]
                to: [{ operation: { methods: ["GET"], paths: ["/public*"] } }]

            """

        private func curl(_ mesh: HTTPMesh, _ path: String, _ options: String...) throws -> String {
            let result = try mesh.sandbox.run(
                ["curl", "-sS", "-i", "--path-as-is", "--max-time", "10"] + options
                    + ["http://\(HTTPMesh.web)\(path)"], in: "client")
            #expect(result.succeeded, "\(result)")
            return result.output
        }

        @Test("What a rule allows gets through, and what none allows is refused by its name")
        func refusals() throws {
            try HTTPMesh.run(Self.readers) { mesh in
                #expect(try curl(mesh, "/public/x").hasPrefix("HTTP/1.1 200 "))
                for (path, options) in [("/admin", []), ("/public/../admin", []), ("/public", ["-X", "DELETE"])] {
                    let answer = try mesh.sandbox.run(
                        ["curl", "-sS", "-i", "--path-as-is", "--max-time", "10"] + options
                            + ["http://\(HTTPMesh.web)\(path)"], in: "client"
                    ).output
                    #expect(answer.hasPrefix("HTTP/1.1 403 "), "\(answer)")
                    #expect(answer.lowercased().contains("x-weft-reason: shop/readers (no rule matched)"))
                    #expect(answer.hasSuffix("RBAC: access denied"))
                }
                try mesh.node.waitForMetrics("the decisions are counted") { metrics in
                    metrics.sum(
                        "weft_policy_decisions_total",
                        ["policy": "shop/readers (no rule matched)", "verdict": "deny", "mode": "enforce"]) >= 3
                }
                for (path, status) in [("/public/x", 0), ("/admin", 1)] {
                    let answer = try mesh.node.weft(
                        "policy", "test", "--from", "shop/client", "--to", "shop/web-v1", "--port", "8080", "--path",
                        path)
                    #expect(answer.status == status, "\(answer)")
                    #expect(answer.output.contains("shop/readers"))
                }
                try mesh.apply()
                try eventually("without the policy nothing is refused") {
                    try curl(mesh, "/admin").hasPrefix("HTTP/1.1 200 ")
                }
            }
        }
    }
}
