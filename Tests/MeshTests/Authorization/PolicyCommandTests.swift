import Foundation
import Testing

extension NodeTests {
    /// `weft policy test` and `backtest` say what traffic gets, and `weft flows` what it got.
    @Suite("Questions about policy")
    struct PolicyCommandTests {
        private let rules = """
            [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }],
               to: [{ operation: { methods: [GET], paths: ["/public/*"] } }] },
             { to: [{ operation: { hosts: [admin.shop] } }], when: [{ key: "request.headers[x-role]", values: [lead] }] }]
            """

        @Test("weft policy test agrees with what each request gets, by exit status and by rule")
        func requests() throws {
            try HTTPMesh.run(Manifest.policy("rules", action: "ALLOW", app: "web", rules: rules)) { mesh in
                let cases: [(method: String, path: String, headers: [String: String], client: String?)] = [
                    ("GET", "/public/a", [:], "client"), ("GET", "/private", [:], "client"),
                    ("POST", "/public/a", [:], "client"), ("GET", "/x/../public/a", [:], "client"),
                    ("GET", "/public/a", [:], nil), ("POST", "/", ["Host": "admin.shop", "x-role": "lead"], nil),
                    ("POST", "/", ["Host": "admin.shop"], nil),
                ]
                for one in cases {
                    let row = HTTPRequestRow(method: one.method, path: one.path, headers: one.headers)
                    let reply = try mesh.send([row], from: one.client ?? "stranger")[0]
                    var question = [
                        "policy", "test", "--from", one.client.map { "shop/\($0)" } ?? "unknown", "--to", "shop/web-v1",
                        "--port", "8080", "--method", one.method, "--path", one.path,
                    ]
                    for (name, value) in one.headers {
                        question += name == "Host" ? ["--host", value] : ["-H", "\(name): \(value)"]
                    }
                    let answer = try mesh.node.run(question)
                    #expect((reply.status == 200) == (answer.status == 0), "\(one): \(reply.status) \(answer)")
                    #expect([0, 1].contains(answer.status), "\(answer)")
                    #expect(answer.output.contains(reply.reason ?? "shop/rules["), "\(one): \(answer.output)")
                    let offline = try mesh.node.run(question + ["--config", mesh.node.configDirectory])
                    #expect(offline.status == answer.status, "\(one): \(offline)")
                }
                #expect(try mesh.node.run(["policy", "test", "--from", "shop/client"]).status == 2)
                let unknown = ["policy", "test", "--from", "shop/client", "--to", "shop/nothing", "--port", "1"]
                #expect(try mesh.node.run(unknown).status == 1)
                try mesh.node.terminate()
                let question = ["policy", "test", "--from", "shop/client", "--to", "shop/web-v1", "--port", "8080"]
                // The kernel still knows about connections; nobody is there who knows about requests.
                #expect(try mesh.node.run(question + ["--path", "/public/a"]).status == 3)
            }
        }

        @Test(
            "--trusted-proxies says whose X-Forwarded-For is believed, by requests and by questions",
            arguments: [0, 1, 2])
        func trustedProxies(count: Int) throws {
            let rules = """
                [{ from: [{ source: { remoteIpBlocks: [203.0.113.0/24] } }] }]
                """
            let policy = Manifest.policy("by-address", action: "ALLOW", app: "web", rules: rules)
            try HTTPMesh.run(policy, flags: ["--trusted-proxies", "\(count)"]) { mesh in
                // Each proxy adds the address that it has seen at the right.
                let cases: [(field: String?, believed: [Int])] = [
                    (nil, []), ("203.0.113.7", [1]), ("198.51.100.1", []), ("203.0.113.7, 198.51.100.1", [2]),
                    ("198.51.100.1, 203.0.113.7", [1]), ("203.0.113.7, 198.51.100.1, 198.51.100.2", []),
                ]
                for one in cases {
                    let isAllowed = one.believed.contains(count)
                    let row = HTTPRequestRow(path: "/", headers: one.field.map { ["X-Forwarded-For": $0] } ?? [:])
                    let reply = try mesh.send([row], from: "client")[0]
                    #expect(reply.status == (isAllowed ? 200 : 403), "\(one)")
                    let field = one.field.map { ["-H", "X-Forwarded-For: \($0)"] } ?? []
                    let offline = ["--config", mesh.node.configDirectory]
                    for question in [
                        ["policy", "test", "--from", "shop/client", "--to", "shop/web-v1", "--port", "8080"],
                        ["explain", "request", "GET", "http://web.shop/", "--from", "shop/client"],
                    ] {
                        let question = question + (question[0] == "policy" ? ["--path", "/"] : []) + field
                        for place in [[], offline + ["--trusted-proxies", "\(count)"]] {
                            let answer = try mesh.node.run(question + place)
                            #expect(answer.status == (isAllowed ? 0 : 1), "\(question + place): \(answer)")
                        }
                        #expect(try mesh.node.run(question + offline).status == 1)
                        #expect(try mesh.node.run(question + ["--trusted-proxies", "1"]).status == 2)
                    }
                }
            }
        }

        @Test("weft flows --denied names the rule; weft policy backtest says what other policies would change")
        func flows() throws {
            let policy = Manifest.policy("only-alice", action: "ALLOW", app: "web", rules: Manifest.from("alice"))
            try Shop.run(policy) { shop in
                for address in [(Shop.service, 80), (shop.webAddress, 8080)] {
                    #expect(try shop.connect(from: "alice", to: address.0, port: address.1).server == "web")
                    #expect(try shop.connect(from: "mallory", to: address.0, port: address.1).result == "EPERM")
                }
                // A client that no hook of connect() sees is refused where it arrives.
                #expect(try shop.sandbox.connect(shop.webAddress, 8080, in: nil).result == "ECONNREFUSED")
                func records(_ arguments: String...) throws -> [JSON] {
                    try shop.node.run(["flows"] + arguments + ["-o", "json"]).output.split(separator: "\n").map {
                        try JSON(String($0))
                    }
                }
                try eventually("the refusals are recorded") { try records("--denied").count == 3 }
                let denied = try records("--denied")
                #expect(
                    denied.allSatisfy { ($0["rule"].string ?? "").hasPrefix("shop/only-alice") },
                    "\(denied.map(\.value))")
                #expect(try shop.node.run(["flows", "--denied"]).output.contains("shop/only-alice"))
                try eventually("the others are recorded") { try records("--from", "shop/alice").count == 2 }

                let file = "\(shop.sandbox.directory)/flows.json"
                try shop.node.run(["flows", "-o", "json"]).output.write(
                    toFile: file, atomically: false, encoding: .utf8)
                func backtest(_ policies: String...) throws -> Command.Result {
                    let directory = "\(shop.sandbox.directory)/candidate"
                    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                    try shop.manifest(policies).write(
                        toFile: "\(directory)/mesh.yaml", atomically: false, encoding: .utf8)
                    return try shop.node.run(["policy", "backtest", file, "--config", directory])
                }
                let same = try backtest(policy)
                #expect(same.status == 0, "\(same)")
                let other = try backtest(
                    Manifest.policy("only-mallory", action: "ALLOW", app: "web", rules: Manifest.from("mallory")))
                #expect(other.status == 1, "\(other)")
                for name in ["shop/alice", "shop/mallory", "shop/only-mallory"] {
                    #expect(other.output.contains(name), "\(other.output)")
                }
                // What it says comes true.
                try shop.apply(
                    Manifest.policy("only-mallory", action: "ALLOW", app: "web", rules: Manifest.from("mallory")))
                #expect(try shop.connect(from: "mallory").server == "web")
                #expect(try shop.connect(from: "alice").result == "EPERM")
                #expect(try backtest().status == 1)
                #expect(
                    try shop.node.run(["policy", "backtest", "/nonexistent", "--config", shop.node.configDirectory])
                        .status == 3)
            }
        }
    }
}
