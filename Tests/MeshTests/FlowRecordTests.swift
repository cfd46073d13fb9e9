import Foundation
import Testing

extension NodeTests {
    @Suite("Flow records")
    struct FlowRecordTests {
        private func records(_ result: Command.Result) throws -> [JSON] {
            #expect(result.status == 0, "\(result.errors)")
            return try result.output.split(separator: "\n").map { try JSON(String($0)) }
        }

        @Test("A connection that a policy ends leaves one record that names the rule, and so does its refusal")
        func endedByPolicy() throws {
            try Shop.run { shop in
                let mallory = try shop.sandbox.hold(Shop.service, 80, count: 3, in: "mallory")
                let alice = try shop.sandbox.hold(Shop.service, 80, count: 1, in: "alice")
                #expect(try mallory.echo("send 5000") == 3)
                try shop.apply(
                    Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory")))
                try eventually("the forbidden connections end", within: 5) { mallory.ended.count == 3 }
                #expect(try shop.connect(from: "mallory").result == "EPERM")
                #expect(try alice.echo() == 1)
                try alice.close()
                try eventually("every end is recorded") {
                    try records(shop.node.weft("flows", "-o", "json")).count == 5
                }
                let denied = try records(shop.node.weft("flows", "--denied", "-o", "json"))
                #expect(denied.map { $0["event"].string } == Array(repeating: "ended_by_policy", count: 3) + ["denied"])
                for record in denied {
                    #expect(record["from"].string == "shop/mallory" && record["to"].string == "shop/web:80")
                    #expect(record["rule"].string?.hasPrefix("shop/no-mallory") == true)
                }
                for record in denied.prefix(3) { #expect(record["bytes_sent"].int == 5000) }
                let table = try shop.node.weft("flows", "--denied", "--from", "mallory").output
                #expect(table.contains("ended_by_policy") && table.contains("shop/no-mallory"))
                #expect(
                    try records(shop.node.weft("flows", "--to", "shop/web", "--from", "alice", "-o", "json")).count == 1
                )
                for (option, value, count) in [
                    ("--service", "shop/web", 5), ("--service", "other", 0), ("--namespace", "shop", 5),
                    ("--namespace", "ops", 0), ("--lane", "kernel", 5), ("--lane", "proxy", 0), ("--since", "1m", 5),
                    ("--http-status", "5xx", 0),
                ] {
                    let found = try records(shop.node.weft("flows", option, value, "-o", "json"))
                    #expect(found.count == count, "\(option) \(value)")
                }
                // Counted once, as ended.
                let labels = ["reporter": "source", "source_workload": "mallory"]
                #expect(try shop.node.scrape().sum("istio_tcp_connections_closed_total", labels) == 3)
            }
        }

        @Test("A connection that a drain ends says so, and is no refusal")
        func endedByDrain() throws {
            try Shop.run { shop in
                let held = try shop.sandbox.hold(Shop.service, 80, count: 1, in: "alice")
                let drain = try shop.node.weft(
                    "endpoint", "drain", "shop/web", "\(shop.webAddress):8080", "--deadline", "0s")
                #expect(drain.status == 0, "\(drain.errors)")
                try eventually("the connection ends", within: 5) { held.ended.count == 1 }
                try eventually("its end is recorded") {
                    try records(shop.node.weft("flows", "-o", "json")).map { $0["event"].string } == ["ended_by_drain"]
                }
                #expect(try records(shop.node.weft("flows", "--denied", "-o", "json")).isEmpty)
            }
        }

        @Test("On disk: rotated, read with the same filters, and a full disk or a moved file stops nothing")
        func log() throws {
            try Sandbox.run { sandbox in
                try sandbox.makeCgroup("alice")
                let disk = "\(sandbox.directory)/disk"
                try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
                try sandbox.check(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk])
                let node = try Node(sandbox)
                let log = "\(disk)/flows.json"
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: "127.96.0.10", endpoints: [sandbox.address(1)]),
                        Manifest.workload("alice", cgroup: sandbox.cgroupPath("alice"))),
                    ["--flow-log", log, "--flow-log-max-size", "8KiB", "--flow-log-files", "3"])
                try sandbox.serve(["web,tcp,\(sandbox.address(1)),8080"], in: "web")
                func connect(_ count: Int) throws {
                    #expect(try sandbox.pick("127.96.0.10", 80, count: count, in: "alice").names["web"] == count)
                }
                /// Records that are in the files, as `weft` reads them.
                func logged() throws -> [JSON] {
                    let files = [".2", ".1", ""].map { log + $0 }.filter(FileManager.default.fileExists)
                    let arguments = files.flatMap { ["--file", $0] } + ["-n", "10000", "--from", "shop/alice"]
                    return try records(node.run(["flows"] + arguments + ["-o", "json"]))
                }
                try connect(60)
                try eventually("they are written, the last in three files") {
                    try FileManager.default.fileExists(atPath: "\(log).2") && !logged().isEmpty
                }
                let mode = try FileManager.default.attributesOfItem(atPath: log)[.posixPermissions] as? Int
                #expect(mode == 0o640)
                #expect(!FileManager.default.fileExists(atPath: "\(log).3"))
                for name in ["", ".1", ".2"] {
                    let size = try FileManager.default.attributesOfItem(atPath: log + name)[.size] as? Int
                    #expect(try #require(size) <= 8192)
                }
                #expect(try logged().allSatisfy { $0["to"].string == "shop/web:80" && $0["event"].string == "closed" })

                // Moved away, as logrotate does.
                try FileManager.default.moveItem(atPath: log, toPath: "\(disk)/old")
                try connect(1)
                try eventually("a new file is begun") { FileManager.default.fileExists(atPath: log) }

                func lost() throws -> Double {
                    try node.scrape().sum("weft_events_lost_total", ["source": "flow_log"])
                }
                #expect(try lost() == 0)
                let filling = try sandbox.run(["dd", "if=/dev/zero", "of=\(disk)/full", "bs=4096", "count=100"])
                #expect(!filling.succeeded && filling.errors.contains("No space left on device"))
                try connect(40)
                try eventually("what finds no room is counted") { try lost() > 0 }
                try FileManager.default.removeItem(atPath: "\(disk)/full")
                let before = try logged().count
                try connect(1)
                try eventually("it is written again when there is room") { try logged().count != before }
                try node.terminate()
            }
        }

        @Test("A collector gets them as log records: refusals as warnings, from the workload that they are of")
        func collector() throws {
            try Sandbox.run { sandbox in
                for name in ["web", "alice", "mallory"] { try sandbox.makeCgroup(name) }
                let port = try Host.freePort()
                let sink = try sandbox.start(
                    [Host.python, Host.script("otlp_sink.py"), "127.0.0.1", "\(port)", "503", "200"],
                    environment: ["PYTHONPATH": try Host.otlpPackages()])
                try sink.waitForOutput("the collector listens") { $0.contains("ready\n") }
                let shop = Shop(sandbox: sandbox, node: try Node(sandbox))
                try shop.node.start(
                    shop.manifest([
                        Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))
                    ]), ["--otlp-endpoint", "http://127.0.0.1:\(port)", "--otlp-flows", "on"])
                try sandbox.serve(["web,tcp,\(shop.webAddress),8080"], in: "web")
                #expect(try shop.connect(from: "alice").server == "web")
                #expect(try shop.connect(from: "mallory").result == "EPERM")
                func records() throws -> [JSON] {
                    #expect(!sink.errors.contains("Error"), "\(sink.errors)")
                    let requests = try sink.output.split(separator: "\n").dropFirst().map { try JSON(String($0)) }
                    let taken = requests.filter { $0["path"].string == "/v1/logs" && $0["status"].int == 200 }
                    let records: [JSON] = taken.flatMap { $0["records"].array }
                    return records.filter { $0["attributes"]["weft.from"].string?.hasPrefix("shop/") == true }
                }
                try eventually("they arrive, the first try having failed", within: 15) { try records().count >= 2 }
                let (closed, denied) = (
                    try records().first { $0["attributes"]["weft.event"].string == "closed" },
                    try records().first { $0["attributes"]["weft.event"].string == "denied" }
                )
                #expect(try records().count == 2)
                #expect(closed?["severity"].int == 9 && denied?["severity"].int == 13)
                #expect(closed?["resource"]["service.name"].string == "alice")
                #expect(denied?["resource"]["service.name"].string == "mallory")
                #expect(denied?["resource"]["host.name"].string == shop.node.name)
                #expect(denied?["attributes"]["weft.rule"].string?.hasPrefix("shop/no-mallory") == true)
                #expect(denied?["body"].string?.hasPrefix("denied shop/mallory to shop/web:80") == true)
                #expect(closed?["attributes"]["destination.port"].int == 8080)
                #expect(try shop.node.scrape().sum("weft_events_lost_total", ["source": "otlp_logs"]) == 0)
            }
        }

        @Test("A flood that nobody reads: every connection is recorded or counted as lost, and none is refused")
        func flood() throws {
            try Host.require([("cc", "gcc")])
            try Sandbox.run { sandbox in
                let namespace = try sandbox.makeNamespace("a")
                let generator = "\(sandbox.directory)/connections"
                try sandbox.check(["cc", "-O2", "-o", generator, Host.tool("benchmarks/connections.c")])
                let server = try sandbox.start(
                    [generator, "serve", "1", "8080"], in: "servers", namespace: namespace)
                try server.waitForOutput("listening") { $0.contains("ready") }
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: "127.96.0.10", endpoints: ["127.0.0.1"]))
                let labels = ["reporter": "source", "destination_service": "web.shop.svc.cluster.local"]
                // Each generator opens 200 more to warm up. They reset each connection, so no port is kept for long.
                let (generators, each) = (4, 15_000)
                let count = generators * (each + 200)
                let floods = try (0..<generators).map { _ in
                    try sandbox.start(
                        [generator, "time", "127.96.0.10", "80", "\(each)"], in: "client", namespace: namespace)
                }
                // Longer than the ring lasts, whatever the machine does meanwhile.
                node.agent?.signal(SIGSTOP)
                let results = try floods.map { try $0.wait(timeout: 60) }
                node.agent?.signal(SIGCONT)
                for result in results { #expect(result.succeeded, "a connection failed: \(result.errors)") }
                let rate = results.compactMap { try? JSON($0.output)["per_second"].double }.reduce(0, +)
                print("the flood: \(Int(rate)) connections a second")
                try node.waitForMetrics("every connection is counted") {
                    $0.sum("istio_tcp_connections_closed_total", labels) == Double(count)
                }
                let state = try JSON(try #require(node.get("http://127.0.0.1:\(node.adminPort)/v1/flows/state")))
                let (seen, lost) = (try #require(state["seen"].int), try #require(state["lost"].int))
                #expect(seen + lost == count, "\(seen) recorded, \(lost) lost")
                #expect(lost > 0 && seen >= 4000)
                #expect(try node.scrape().sum("weft_events_lost_total", ["source": "flows"]) == Double(lost))
                let shown = try node.weft("flows", "-n", "3")
                #expect(shown.errors.contains("\(lost) more records were lost"), "\(shown.errors)")
                // And with a reader that is there.
                let calm = try sandbox.run(
                    [generator, "time", "127.96.0.10", "80", "20000"], in: "client", namespace: namespace)
                #expect(calm.succeeded)
                try eventually("they are recorded, or counted as lost") {
                    let state = try JSON(node.get("http://127.0.0.1:\(node.adminPort)/v1/flows/state") ?? "")
                    return (state["seen"].int ?? 0) + (state["lost"].int ?? 0) == count + 20_200
                }
            }
        }
    }
}
