import Foundation
import Testing

extension NodeTests {
    @Suite("weft against a running node")
    struct CommandLineTests {
        @Test("flows --follow through a pipe: a line appears when its connection ends")
        func followPiped() throws {
            try Shop.run { shop in
                let follower = try shop.sandbox.start(
                    [Host.product("weft"), "flows", "--follow"], environment: shop.node.cliEnvironment)
                usleep(500_000)
                #expect(try shop.connect(from: "alice").server == "web")
                try follower.waitForOutput("the flow", within: 6) {
                    $0.contains("shop/alice") && $0.contains("shop/web")
                }
                #expect(!follower.output.contains("\u{1b}"), "no escape sequences in a pipe")
                follower.signal(SIGINT)
                let result = try follower.wait(timeout: 5)
                #expect(result.status == 0 || result.status == 130, "\(result.status)")
                #expect(result.errors.isEmpty, "\(result.errors)")
            }
        }

        @Test("flows -o json: one object on each line, with who, whom, how much")
        func flowsJSON() throws {
            try Shop.run { shop in
                let follower = try shop.sandbox.start(
                    [Host.product("weft"), "flows", "--follow", "-o", "json"], environment: shop.node.cliEnvironment)
                usleep(500_000)
                let held = try shop.sandbox.hold(Shop.service, 80, count: 1, in: "alice")
                #expect(try held.echo("send 12345") == 1)
                try held.close()
                try follower.waitForOutput("the flow", within: 6) { $0.contains("12345") }
                let records = try follower.lines.map { try JSON(String($0)) }
                let mine = records.filter { $0["from"].string == "shop/alice" }
                #expect(mine.count == 1, "\(follower.output)")
                #expect(mine.first?["event"].string == "closed")
                #expect(mine.first?["to"].string == "shop/web:80")
                #expect(mine.first?["destination"].string == "shop/web")
                #expect(mine.first?["service_address"].string == "\(Shop.service):80")
                #expect(mine.first?["peer_address"].string == "\(shop.webAddress):8080")
                #expect(mine.first?["bytes_sent"].int == 12345)
                // The greeting, and what was sent.
                #expect(mine.first?["bytes_received"].int ?? 0 > 12345)
                #expect(mine.first?["lane"].string == "kernel")
            }
        }

        @Test("In a terminal: flows --follow and map watch show what happens", arguments: ["flows", "watch"])
        func terminal(command: String) throws {
            try Shop.run { shop in
                try Host.require([("tmux", "tmux")])
                let sandbox = shop.sandbox
                let tmux = ["tmux", "-S", "\(sandbox.directory)/tmux", "-f", "/dev/null"]
                let arguments = command == "flows" ? "flows --follow" : "map watch traffic"
                try sandbox.start(
                    tmux + [
                        "new-session", "-d", "-x", "160", "-y", "40", "\(Host.product("weft")) \(arguments)",
                    ], environment: shop.node.cliEnvironment.merging(["TERM": "xterm-256color"]) { $1 }
                ).wait(timeout: 10)
                func screen() throws -> String { try sandbox.run(tmux + ["capture-pane", "-p"]).output }
                usleep(800_000)
                #expect(try shop.connect(from: "alice").server == "web")
                try eventually("the screen shows it", within: 8) { try screen().contains("alice") }
                let lines = try screen().split(separator: "\n")
                #expect(lines.allSatisfy { $0.count <= 160 })
                // Ctrl-C ends it, and leaves the terminal as it was.
                try sandbox.check(tmux + ["set-option", "-g", "remain-on-exit", "on"])
                try sandbox.check(tmux + ["send-keys", "C-c"])
                try eventually("it ends at Ctrl-C", within: 5) {
                    try sandbox.run(tmux + ["list-panes", "-F", "#{pane_dead}"]).output == "1\n"
                }
            }
        }

        @Test("Tables name what they show: services, workloads, policies, endpoints")
        func tables() throws {
            let policy = Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))
            try Shop.run(policy) { shop in
                #expect(try shop.connect(from: "alice").server == "web")
                let expectations: [([String], [String])] = [
                    (["service", "list"], ["shop/web", "127.96.0.10"]),
                    (["service", "show", "shop/web"], ["shop/web", shop.webAddress]),
                    (["endpoint", "list"], ["shop/web", "\(shop.webAddress):8080", "active"]),
                    (["workload", "list"], ["shop/alice", "shop/mallory", "shop/web"]),
                    (["policy", "list"], ["no-mallory"]),
                    (["map", "list"], ["services", "backends", "traffic"]),
                    (["map", "dump", "services"], ["shop/web", "127.96.0.10"]),
                ]
                for (arguments, words) in expectations {
                    let result = try shop.sandbox.run(
                        [Host.product("weft")] + arguments, environment: shop.node.cliEnvironment)
                    #expect(result.status == 0, "\(arguments): \(result.errors)")
                    for word in words { #expect(result.output.contains(word), "\(arguments): \(result.output)") }
                    #expect(!result.output.contains("\u{1b}"))
                    let json = try shop.sandbox.run(
                        [Host.product("weft")] + arguments + ["-o", "json"], environment: shop.node.cliEnvironment)
                    #expect(throws: Never.self, "\(arguments) -o json") { try JSON(json.output) }
                }
            }
        }

        @Test("policy test and explain connect say what the kernel then does")
        func explains() throws {
            let policy = Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))
            try Shop.run(policy) { shop in
                for (workload, isAllowed) in [("alice", true), ("mallory", false)] {
                    let test = try shop.node.weft(
                        "policy", "test", "--from", "shop/\(workload)", "--to", "shop/web", "--port", "8080")
                    #expect(test.status == (isAllowed ? 0 : 1), "\(test.output)\(test.errors)")
                    if !isAllowed { #expect(test.output.contains("no-mallory"), "\(test.output)") }
                    let explained = try shop.node.weft(
                        "explain", "connect", "--from", "shop/\(workload)", "\(Shop.service):80")
                    #expect(explained.output.contains("shop/web"), "\(explained.output)\(explained.errors)")
                    #expect(explained.output.contains("kernel"))
                    #expect(
                        try shop.connect(from: workload).result == (isAllowed ? "connected" : "EPERM"))
                }
            }
        }

        @Test("check passes on a node that works")
        func check() throws {
            try Shop.run { shop in
                let result = try shop.node.weft("check")
                #expect(result.status == 0, "\(result.output)\(result.errors)")
            }
        }

        @Test("Exit codes: 2 for a wrong command line, 3 when it cannot find out")
        func exitCodes() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                #expect(try node.weft("service", "lst").status == 2)
                #expect(try node.weft("endpoint", "drain", "shop/web", "not-an-address").status == 2)
                let none = try node.weft("service", "list")
                #expect(none.status == 3)
                #expect(none.errors.contains(node.pinDirectory), "\(none.errors)")
                #expect(try node.weft("--help").status == 0)
            }
        }
    }
}
