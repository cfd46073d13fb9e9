import Foundation
import Testing

extension NodeTests {
    @Suite("Certificates of workloads")
    struct CertificateTests {
        private let web = "spiffe://cluster.local/ns/shop/sa/web"

        private func mesh(_ accounts: String...) -> String {
            accounts.map { Manifest.workload($0, cgroup: "/none/\($0)") }.joined(separator: "---\n")
        }

        private func serial(_ node: Node, _ account: String = "web") throws -> String {
            try #require(try node.weftJSON("identity", "show", "shop/\(account)")["serial"].string)
        }

        @Test("The first start makes a CA; identities come and go with workloads; a restart keeps the CA")
        func firstStart() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(mesh("web", "db"))
                let list = try node.weftJSON("identity", "list")
                #expect(
                    list.array.compactMap { $0["identity"].string } == [
                        "spiffe://cluster.local/ns/shop/sa/db", web,
                    ])
                #expect(list.array.allSatisfy { $0["state"].string == "valid" })
                #expect(list.array.allSatisfy { (86_000...86_400).contains($0["expirySeconds"].int ?? 0) })
                for name in ["root.pem", "node.pem", "bundle.pem"] {
                    let file = "\(node.stateDirectory)/ca/\(name)"
                    let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                    #expect(mode == 0o600)
                }
                let metrics = try node.scrape()
                #expect((86_000...86_400).contains(metrics.sum("weft_identity_expiry_seconds", ["identity": web])))
                #expect(metrics.sum("weft_identity_renewals_total") == 2)
                #expect(metrics.sum("weft_ca_expiry_seconds", ["authority": "root"]) > 3600 * 86400)
                #expect(metrics.sum("weft_identities_missing") == 0)

                try node.apply(mesh("web"))
                #expect(try node.weftJSON("identity", "list").array.count == 1)
                #expect(try node.scrape().sum("weft_identity_expiry_seconds", ["identity": web]) > 0)
                let before = try node.weft("ca", "bundle").output
                let first = try serial(node)
                try node.terminate()
                try node.start()
                #expect(try node.weft("ca", "bundle").output == before)
                try eventually("the identity is there again") { try node.weft("identity", "list").status == 0 }
                #expect(try serial(node) != first)
            }
        }

        @Test("weft identity rotate renews one or all, and refuses what is no identity")
        func rotate() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(mesh("web", "db"))
                let (web, database) = (try serial(node), try serial(node, "db"))
                #expect(try node.weftJSON("identity", "rotate", "shop/web")["rotated"].int == 1)
                #expect(try serial(node) != web && serial(node, "db") == database)
                #expect(try node.weftJSON("identity", "rotate")["rotated"].int == 2)
                #expect(try serial(node, "db") != database)
                #expect(try node.weft("identity", "rotate", "shop/none").status == 1)
                #expect(try node.weft("identity", "show", "shop/none").status == 1)
                #expect(try node.weft("identity", "show", "none").status == 2)
                try node.kill()
                #expect(try node.weft("identity", "list").status == 3)
            }
        }

        @Test("Short lives are renewed in time, over and over")
        func shortLife() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(mesh("web"), ["--svid-ttl", "4s"])
                for _ in 0..<40 {
                    let identity = try node.weftJSON("identity", "list")[0]
                    #expect(identity["state"].string == "valid" && identity["expirySeconds"].int ?? 0 >= 1)
                    usleep(200_000)
                }
                #expect(try node.scrape().sum("weft_identity_renewals_total") >= 4)
            }
        }

        @Test("The root is rotated by the command line while the agent runs; revocation reaches its bundle")
        func rotateRoot() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(mesh("web"))
                let first = try serial(node)
                #expect(try node.weft("ca", "rotate-root", "activate").status == 1)
                #expect(try node.weftJSON("ca", "rotate-root", "stage")["stage"].string == "staged")
                try eventually("the agent trusts both") {
                    try node.weftJSON("identity", "show", "shop/web")["roots"].array.count == 2
                }
                #expect(try serial(node) == first)
                #expect(try node.weftJSON("ca", "rotate-root", "activate")["stage"].string == "activated")
                try eventually("its certificates come from the new root") { try serial(node) != first }
                #expect(try node.weftJSON("ca", "rotate-root", "retire")["roots"].array.count == 1)
                try eventually("the agent trusts the new one alone") {
                    try node.weftJSON("identity", "show", "shop/web")["roots"].array.count == 1
                }
                let revoked = try serial(node)
                #expect(try node.weftJSON("ca", "revoke", revoked)["revoked"].array[0].string == revoked)
                #expect(try node.weftJSON("ca", "show")["revoked"].array.count == 1)
                #expect(try node.weft("ca", "revoke", "zz").status == 1)
                try eventually("the agent has the list") {
                    node.get("http://127.0.0.1:\(node.adminPort)/v1/ca")?.contains("\"revocationLists\":1") == true
                }
            }
        }

        @Test("A second node joins the first by a token, and its certificates lead to the same root")
        func join() throws {
            try Sandbox.run { sandbox in
                let first = try Node(sandbox)
                let port = try Host.freePort()
                try first.start(mesh("web"), ["--ca-listen", "127.0.0.1:\(port)"])
                let token = try #require(
                    try first.weftJSON("ca", "token", "create", "--node", "node-b")["token"].string)
                try sandbox.makeCgroup("second")
                let second = try Node(sandbox, name: "node-b", cgroup: "\(sandbox.cgroup)/second")
                let arguments = ["--join-address", "127.0.0.1:\(port)"]
                try second.write(mesh("db"))
                try second.start(arguments + ["--join-token", token])
                try eventually("the second node has joined") { try second.weft("identity", "list").status == 0 }
                let roots = try [first, second].map { node in
                    try node.weftJSON("ca", "show")["roots"].array.compactMap { $0["fingerprint"].string }
                }
                #expect(roots[0] == roots[1] && roots[0].count == 1)
                #expect(try second.weftJSON("ca", "show")["hasRootKey"].bool == false)
                #expect(try second.weftJSON("ca", "show")["node"].string == "node-b")
                #expect(try second.weft("ca", "rotate-root", "stage").status == 1)
                // What it has joined with is used up, and it needs none any more.
                try second.terminate()
                try second.start(arguments)
                try eventually("it has certificates again") { try second.weft("identity", "list").status == 0 }
            }
        }

        @Test("While the CA's node is down, one that has joined serves, renews and restarts, and says so")
        func silentCA() throws {
            try Sandbox.run { sandbox in
                let first = try Node(sandbox)
                let port = try Host.freePort()
                try first.start(mesh("web"), ["--ca-listen", "127.0.0.1:\(port)"])
                let token = try #require(
                    try first.weftJSON("ca", "token", "create", "--node", "node-b")["token"].string)
                try sandbox.makeCgroup("second")
                let second = try Node(sandbox, name: "node-b", cgroup: "\(sandbox.cgroup)/second")
                let arguments = ["--join-address", "127.0.0.1:\(port)", "--svid-ttl", "4s", "--ca-refresh", "1s"]
                try second.write(mesh("db"))
                try second.start(arguments + ["--join-token", token])
                try eventually("the second node has joined") { try second.weft("identity", "list").status == 0 }
                let issuer = try second.scrape().sum("weft_ca_expiry_seconds", ["authority": "issuer"])
                #expect(try second.scrape().matching("weft_ca_unanswered_requests").map(\.value) == [0])

                try first.terminate()
                try second.waitForMetrics("it cannot ask") { $0.sum("weft_ca_unanswered_requests") >= 2 }
                #expect(second.agentLog.contains("127.0.0.1:\(port)"), "\(second.agentLog)")
                let renewals = try second.scrape().sum("weft_identity_renewals_total")
                try second.waitForMetrics("its own intermediate goes on") {
                    $0.sum("weft_identity_renewals_total") >= renewals + 2 && $0.sum("weft_identities_missing") == 0
                }
                try second.terminate()
                try second.start(arguments)
                try eventually("it has certificates again") { try second.weft("identity", "list").status == 0 }
                let metrics = try second.scrape()
                #expect(issuer - metrics.sum("weft_ca_expiry_seconds", ["authority": "issuer"]) < 60)

                try first.start(["--ca-listen", "127.0.0.1:\(port)"])
                try second.waitForMetrics("it has been answered", within: 30) {
                    $0.sum("weft_ca_unanswered_requests") == 0
                }
                // What it revokes itself reaches the CA, and all nodes from there.
                #expect(try first.weftJSON("ca", "show")["revoked"].array.isEmpty)
                let revoked = try serial(second, "db")
                #expect(try second.weft("ca", "revoke", revoked).succeeded)
                try eventually("the CA's node has the list", within: 20) {
                    first.get("http://127.0.0.1:\(first.adminPort)/v1/ca")?.contains("\"revocationLists\":1") == true
                }
            }
        }

        @Test(
            "A CA that cannot be used ends the start with the flag or file to look at",
            arguments: [
                (["--ca-cert", "/nonexistent.pem", "--ca-key", "/nonexistent.pem"], "/nonexistent.pem"),
                (["--ca-cert", "/nonexistent.pem"], "--ca-key"),
                (["--join-address", "127.0.0.1:1"], "--join-token"),
                (["--trust-domain", "UPPER"], "--trust-domain"),
                (["--svid-ttl", "soon"], "--svid-ttl"),
            ])
        func refused(flags: [String], expected: String) throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let agent = try sandbox.start(node.agentArguments(flags), namespace: nil)
                let result = try agent.wait(timeout: 20)
                #expect(result.status != 0 && result.errors.contains(expected), "\(result.errors)")
                #expect(try !node.isAttached())
            }
        }
    }
}
