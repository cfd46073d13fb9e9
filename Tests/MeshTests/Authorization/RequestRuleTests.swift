import Foundation
import Testing

extension NodeTests {
    /// AuthorizationPolicies about requests, as captured clients meet them.
    @Suite("Rules about requests")
    struct RequestRuleTests {
        /// A request, and what becomes of it: the status, and who says so.
        struct Case {
            var method = "GET"
            var path = "/"
            var headers: [String: String] = [:]
            let status: Int
            var reason: String?

            var row: HTTPRequestRow { HTTPRequestRow(method: method, path: path, headers: headers) }
        }

        private func expect(
            _ cases: [Case], _ mesh: HTTPMesh, from workload: String = "client",
            _ location: SourceLocation = #_sourceLocation
        ) throws {
            let replies = try mesh.send(cases.map(\.row), from: workload)
            try #require(replies.count == cases.count, sourceLocation: location)
            for (one, reply) in zip(cases, replies) {
                let what = "\(workload) \(one.method) \(one.path) \(one.headers): \(reply.status) \(reply.reason ?? "")"
                #expect(reply.status == one.status, "\(what)", sourceLocation: location)
                #expect(reply.reason == one.reason, "\(what)", sourceLocation: location)
                #expect((reply.pod == nil) == (one.status != 200), "\(what)", sourceLocation: location)
            }
        }

        @Test("ALLOW by method, path, template, host, header and principal; the refusal names policy and rule")
        func allow() throws {
            let rules = """
                [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }],
                   to: [{ operation: { methods: [GET], paths: [/exact, "/public/*", "*.css", "/items/{*}/price", "/tree/{**}"] } }] },
                 { to: [{ operation: { hosts: [admin.shop, "*.admin.shop"], methods: [POST] } }],
                   when: [{ key: "request.headers[x-role]", values: [editor, "lead-*"] }] },
                 { to: [{ operation: { notMethods: [GET, POST], paths: [/other], ports: ["8080"] } }] }]
                """
            let refused = "shop/rules (no rule matched)"
            try HTTPMesh.run(Manifest.policy("rules", action: "ALLOW", app: "web", rules: rules)) { mesh in
                let admin = ["Host": "admin.shop", "x-role": "editor"]
                try expect(
                    [
                        Case(path: "/exact", status: 200),
                        Case(path: "/exact?x=1", status: 200),
                        Case(path: "/exact/", status: 403, reason: refused),
                        Case(path: "/Exact", status: 403, reason: refused),
                        Case(method: "HEAD", path: "/exact", status: 403, reason: refused),
                        Case(path: "/public/a/b", status: 200),
                        Case(path: "/public", status: 403, reason: refused),
                        Case(path: "/a/style.css", status: 200),
                        Case(path: "/items/7/price", status: 200),
                        Case(path: "/items/7/8/price", status: 403, reason: refused),
                        Case(path: "/items//price", status: 403, reason: refused),
                        Case(path: "/tree/a/b/c", status: 200),
                        Case(method: "POST", path: "/anything", headers: admin, status: 200),
                        Case(
                            method: "POST", headers: ["Host": "A.ADMIN.shop:80", "X-Role": "lead-2"], status: 200),
                        Case(method: "POST", headers: ["Host": "admin.shop"], status: 403, reason: refused),
                        Case(
                            method: "POST", headers: ["Host": "admin.shop", "x-role": "Editor"], status: 403,
                            reason: refused),
                        Case(
                            method: "POST", headers: ["Host": "shop", "x-role": "editor"], status: 403, reason: refused),
                        Case(method: "DELETE", path: "/other", status: 200),
                        Case(path: "/other", status: 403, reason: refused),
                    ], mesh)
                // Nobody's workload has no principal; what asks for none holds for it too.
                try expect(
                    [
                        Case(path: "/exact", status: 403, reason: refused),
                        Case(method: "POST", headers: admin, status: 200),
                        Case(method: "PUT", path: "/other", status: 200),
                    ], mesh, from: "stranger")
                try mesh.node.waitForMetrics("decisions are counted for their rules") {
                    let name = "weft_policy_decisions_total"
                    return $0.sum(name, ["policy": "shop/rules[1]", "verdict": "allow", "mode": "enforce"]) >= 3
                        && $0.sum(name, ["policy": refused, "verdict": "deny", "mode": "enforce"]) == 11
                }
            }
        }

        @Test("DENY goes before ALLOW and names its rule; several policies of an action add up")
        func deny() throws {
            let deny = """
                [{ to: [{ operation: { methods: [DELETE] } }] },
                 { to: [{ operation: { paths: ["/private/*"], notHosts: [inside.shop] } }] },
                 { when: [{ key: "request.headers[x-bad]", values: ["*"] }] },
                 { from: [{ source: { notPrincipals: ["cluster.local/ns/shop/sa/client"] } }],
                   to: [{ operation: { paths: [/members] } }] }]
                """
            try HTTPMesh.run(
                Manifest.policy("no", action: "DENY", app: "web", rules: deny),
                Manifest.policy(
                    "reads", action: "ALLOW", app: "web",
                    rules: "[{ to: [{ operation: { methods: [GET, DELETE] } }] }]"),
                Manifest.policy(
                    "writes", action: "ALLOW", app: "web",
                    rules: "[{ to: [{ operation: { methods: [POST], paths: [\"/w/*\"] } }] }]")
            ) { mesh in
                try expect(
                    [
                        Case(status: 200),
                        Case(method: "POST", path: "/w/1", status: 200),
                        Case(
                            method: "POST", path: "/", status: 403, reason: "shop/reads,shop/writes (no rule matched)"),
                        Case(method: "DELETE", status: 403, reason: "shop/no[0]"),
                        Case(path: "/private/x", status: 403, reason: "shop/no[1]"),
                        Case(path: "/private/x", headers: ["Host": "inside.shop"], status: 200),
                        Case(headers: ["X-Bad": "1"], status: 403, reason: "shop/no[2]"),
                        Case(path: "/members", status: 200),
                    ], mesh)
                try expect([Case(path: "/members", status: 403, reason: "shop/no[3]")], mesh, from: "stranger")
            }
        }

        @Test("AUDIT and dry-run policies count what they would do; the requests pass")
        func shadows() throws {
            let deletes = "[{ to: [{ operation: { methods: [DELETE] } }] }]"
            try HTTPMesh.run(
                Manifest.policy("watch", action: "AUDIT", app: "web", rules: deletes),
                Manifest.policy("maybe", action: "DENY", app: "web", rules: deletes, isDryRun: true),
                Manifest.policy(
                    "strict", action: "ALLOW", app: "web", rules: "[{ to: [{ operation: { methods: [PUT] } }] }]",
                    isDryRun: true)
            ) { mesh in
                try expect(
                    [Case(status: 200), Case(method: "DELETE", status: 200), Case(method: "PUT", status: 200)], mesh)
                try mesh.node.waitForMetrics("they count") {
                    let name = "weft_policy_decisions_total"
                    return $0.sum(name, ["policy": "shop/watch[0]", "verdict": "audit"]) == 1
                        && $0.sum(name, ["policy": "shop/maybe[0]", "verdict": "deny", "mode": "shadow"]) == 1
                        && $0.sum(
                            name, ["policy": "shop/strict (no rule matched)", "verdict": "deny", "mode": "shadow"]) == 1
                }
            }
        }

        @Test("No spelling of a path or a host gets around a policy, and no header speaks for the request")
        func spellings() throws {
            let deny = """
                [{ to: [{ operation: { paths: [/admin, "/admin/*"] } }] }, { to: [{ operation: { hosts: [evil.example] } }] },
                 { to: [{ operation: { methods: [POST] } }] }]
                """
            let get = { (target: String) in "GET \(target) HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n" }
            let targets = [
                "/admin", "//admin", "/./admin", "/x/../admin", "/x/..//admin", "/..;/admin", "/x/..;/admin",
                "/.;/admin", "/%61dmin", "/%2e/admin", "/x/%2e%2e/admin", "/x/.%2E/admin", "/%2fadmin",
                "/x/..%2fadmin", "/x%5c..%5cadmin", "/x\\..\\admin", "\\admin", "/%252e%252e/admin", "/%2561dmin",
                "/admin?x=/public", "/admin#/public", "/admin/", "/admin/x", "/admin%00", "/admin%",
                "http://web/admin", "http://web//admin", "/x/../../admin", "/admin/../admin",
            ]
            let hosts = [
                "evil.example", "EVIL.Example", "evil.example.", "evil.example:80", "evil.example.:8080",
                "evil.example:080", "web@evil.example",
            ]
            let fields = [
                "X-HTTP-Method-Override: GET", "X-Original-URL: /public", "X-Rewrite-URL: /public",
                "X-Envoy-Original-Path: /public", "X-Forwarded-For: 10.9.9.9",
                "X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/shop/sa/admin",
            ]
            let heads =
                targets.map(get)
                + hosts.map { "GET / HTTP/1.1\r\nHost: \($0)\r\nConnection: close\r\n\r\n" }
                + [
                    "GET http://evil.example/ HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: web\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
                    "post / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                ]
                + fields.map {
                    "POST / HTTP/1.1\r\nHost: web\r\n\($0)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                }
            try HTTPMesh.run(Manifest.policy("no", action: "DENY", app: "web", rules: deny)) { mesh in
                for (address, port) in [(HTTPMesh.web, 80), (mesh.sandbox.address(1), 8080)] {
                    let answers = try mesh.http("heads", ["address": address, "port": port, "heads": heads]).array
                    try #require(answers.count == heads.count)
                    for (head, answer) in zip(heads, answers) {
                        #expect([400, 403].contains(answer[0].int), "\(head) to \(address): \(answer[0].int ?? -1)")
                    }
                }
                // Nothing of it has reached a backend, and what is like none of it does.
                let open = try mesh.http("heads", ["address": HTTPMesh.web, "port": 80, "heads": [get("/public")]])
                #expect(open[0][0].int == 200)
                for number in [1, 2] {
                    let seen = try mesh.sandbox.send(
                        [HTTPRequestRow(path: "/count")], to: mesh.sandbox.address(number), port: 8080, from: "client")
                    let paths = try #require(seen[0].echo).object.keys
                    #expect(paths.allSatisfy { ["/public", "/count"].contains($0) }, "\(paths)")
                }
            }
        }
    }
}
