import Foundation
import Testing

extension NodeTests {
    /// A real application of three services that call each other, each in a cgroup of its own.
    @Suite("Golden signals of an application")
    struct GoldenSignalTests {
        @Test("stat, edges and graph say exactly what was sent, and what failed")
        func proxied() throws {
            try ThreeServices.run(routed: ["front", "api", "db"]) { application in
                #expect(try application.send("/ok", count: 60) == Array(repeating: 200, count: 60))
                // db fails, api says 502 for it and front passes that on.
                #expect(try application.send("/fail-db", count: 20) == Array(repeating: 502, count: 20))
                // 404 is an answer; the client's mistake is not the service's failure.
                #expect(try application.send("/none", count: 20) == Array(repeating: 404, count: 20))

                // A request is counted when its answer has been sent, which its client may see before.
                try eventually("the last request is counted", within: 5) {
                    try application.stat()["shop/front"]?["requests"].int ?? 0 >= 100
                }
                let services = try application.stat()
                let expected: [(String, requests: Int, success: Double)] = [
                    ("front", 100, 0.8), ("api", 80, 0.75), ("db", 160, 0.75),
                ]
                for (name, requests, success) in expected {
                    let row = services["shop/\(name)"]
                    #expect(row?["requests"].int == requests, "\(name)")
                    #expect(row?["success"].double == success, "\(name)")
                    #expect(row?["health"].string == "bad")
                    #expect(row?["meshed"]["ready"].int == 1)
                    #expect(row?["lanes"].object.keys.sorted() == ["proxy"])
                    let latencies = ["latencyP50", "latencyP95", "latencyP99"].compactMap { row?[$0].double }
                    #expect(latencies.count == 3 && latencies == latencies.sorted() && latencies[0] > 0)
                }
                let workloads = try application.stat("workloads")
                for (name, requests, _) in expected {
                    #expect(workloads["shop/\(name)-1"]?["requests"].int == requests, "\(name)")
                }
                #expect(workloads["shop/client"]?["requests"].int == 0)
                let routes = try JSON(
                    application.node.run(["stat", "routes", "--window", "5m", "-o", "json"]).output)
                #expect(
                    routes.array.map { "\($0["route"].string ?? "-") \($0["requests"].int ?? 0)" } == [
                        "HTTPRoute shop/api rule 0 80", "HTTPRoute shop/db rule 0 160",
                        "HTTPRoute shop/front rule 0 100",
                    ])

                let edges = try JSON(application.node.run(["edges", "--window", "5m", "-o", "json"]).output).array
                let http = edges.filter { $0["requests"].int ?? 0 > 0 }
                #expect(
                    http.map {
                        "\($0["source"].string ?? "") \($0["destination"].string ?? "") \($0["service"].string ?? "") "
                            + "\($0["requests"].int ?? 0) \($0["secured"].string ?? "")"
                    } == [
                        "api-1 db-1 shop/db 160 kernel", "client front-1 shop/front 100 kernel",
                        "front-1 api-1 shop/api 80 kernel",
                    ])
                let graph = try JSON(
                    application.node.run(["graph", "--window", "5m", "--format", "json"]).output)
                #expect(
                    graph["edges"].array.filter { $0["requests"].int ?? 0 > 0 }.map { $0["to"].string } == [
                        "workload/shop/db-1", "workload/shop/front-1", "workload/shop/api-1",
                    ])
                let svg = try application.node.run(["graph"]).output
                #expect(svg.hasPrefix("<svg ") && svg.contains(">front-1</text>"))
                let dot = try application.node.run(["graph", "--format", "dot"]).output
                #expect(dot.contains(#""workload/shop/front-1" -> "workload/shop/api-1""#))

                let unknown = try application.node.weft("stat", "services", "shop/nobody")
                #expect(unknown.status == 1)
                #expect(unknown.errors.contains("shop/nobody"))
                try Self.refusals(application.node)
                // A new agent begins anew: nothing that its workers have not seen.
                try application.node.terminate()
                let absent = try application.node.weft("stat", "routes")
                #expect(absent.status == 3)
                try application.node.start()
                #expect(try application.stat()["shop/front"]?["requests"].int == 0)
            }
        }

        /// Wrong questions have clear answers.
        private static func refusals(_ node: Node) throws {
            for (target, word) in [
                ("/v1/stat?by=pod", "service, workload or route"), ("/v1/stat?windows=5", "no parameter windows"),
                ("/v1/stat?window=1e9", "between 1 and 900"), ("/v1/graph?window=nan", "between 1 and 900"),
                ("/v1/history?seconds=5", "between 10 and 3600"), ("/v1/history?name=web", "go together"),
            ] {
                let answer = try node.sandbox.run([
                    "curl", "-sS", "-w", " %{http_code}", "http://127.0.0.1:\(node.adminPort)\(target)",
                ]).output
                #expect(answer.hasSuffix(" 400") && answer.contains(word), "\(target): \(answer)")
            }
            #expect(
                try node.sandbox.run([
                    "curl", "-sS", "-o", "/dev/null", "-X", "POST", "-w", "%{http_code}",
                    "http://127.0.0.1:\(node.adminPort)/v1/stat",
                ]).output == "405")
        }

        @Test("Connections without rules count too, also when no agent runs")
        func connections() throws {
            try Shop.run { shop in
                let held = try shop.sandbox.hold(Shop.service, 80, count: 3, in: "alice")
                #expect(try held.echo("send 5000") == 3)
                try eventually("the connections are counted", within: 8) {
                    let rows = try shop.node.weftJSON("stat", "services").array
                    let row = rows.first { $0["name"].string == "shop/web" }
                    return row?["tcpOpen"].int == 3 && row?["sentBytesPerSecond"].double ?? 0 > 0
                }
                let edges = try shop.node.weftJSON("edges").array
                #expect(
                    edges.map {
                        "\($0["source"].string ?? "") \($0["destination"].string ?? "") \($0["open"].int ?? -1)"
                    }
                        == ["alice web 3"])
                #expect(edges.first?["lanes"].array.map(\.string) == ["kernel"])
                try shop.node.terminate()
                let rows = try shop.node.weftJSON("stat", "services").array
                #expect(rows.map { $0["name"].string } == ["shop/web"])
                #expect(rows.first?["tcpOpen"].int == 3)
                #expect(rows.first?["rps"].double == nil)
                let graph = try shop.node.weft("graph", "--format", "dot")
                #expect(graph.status == 0)
                #expect(graph.output.contains(#""workload/shop/alice" -> "workload/shop/web""#), "\(graph.output)")
                #expect(graph.errors.contains("no agent answers"))
                #expect(try shop.node.weft("top", "--count", "1").status == 3)
            }
        }

        @Test("top: tables in a pipe, a screen of its own in a terminal, which keys change and q gives back")
        func top() throws {
            try Shop.run { shop in
                try Host.require([("tmux", "tmux")])
                let piped = try shop.node.weft("top", "--count", "2", "--interval", "200ms")
                #expect(piped.status == 0)
                #expect(piped.output.components(separatedBy: "LATENCY_P99").count == 3, "\(piped.output)")
                #expect(!piped.output.contains("\u{1b}"))
                let json = try shop.node.run(["top", "workloads", "--count", "2", "--interval", "100ms", "-o", "json"])
                #expect(try json.output.split(separator: "\n").map { try JSON(String($0)).array.count } == [3, 3])

                let sandbox = shop.sandbox
                let tmux = ["tmux", "-S", "\(sandbox.directory)/tmux", "-f", "/dev/null"]
                let environment = shop.node.cliEnvironment.merging(["TERM": "xterm-256color"]) { $1 }
                try sandbox.start(
                    tmux + ["new-session", "-d", "-x", "120", "-y", "20", "sh"], environment: environment
                ).wait(timeout: 10)
                func screen() throws -> String { try sandbox.run(tmux + ["capture-pane", "-p"]).output }
                func type(_ keys: String...) throws { try sandbox.check(tmux + ["send-keys"] + keys) }
                try type("echo before; \(Host.product("weft")) top workloads --interval 300ms; echo after $?", "Enter")
                try eventually("the screen is taken", within: 8) {
                    let text = try screen()
                    return text.contains("shop/alice") && text.contains("q quit") && !text.contains("before")
                }
                #expect(try screen().contains("by rps, descending"))
                let held = try sandbox.hold(Shop.service, 80, count: 2, in: "alice")
                try type("c")
                try eventually("it is sorted by connections, live", within: 8) {
                    let lines = try screen().split(separator: "\n")
                    return lines[0].contains("by connections")
                        && lines.first { $0.hasPrefix("shop/") }?.hasPrefix("shop/web") == true
                }
                try held.close()
                try type("n")
                try eventually("it is sorted by name", within: 4) {
                    try screen().split(separator: "\n").filter { $0.hasPrefix("shop/") }.map { $0.prefix { $0 != " " } }
                        == ["shop/alice", "shop/mallory", "shop/web"]
                }
                try sandbox.check(tmux + ["resize-window", "-x", "60", "-y", "6"])
                try eventually("it fits the smaller window", within: 4) {
                    let lines = try screen().split(separator: "\n", omittingEmptySubsequences: false)
                    return lines.first?.contains("weft top") == true && lines.contains { $0.hasPrefix("q quit") }
                }
                try type("q")
                try eventually("the terminal is as it was", within: 5) {
                    let text = try screen()
                    return text.contains("after 0") && !text.contains("q quit")
                }
            }
        }
    }
}
