import Foundation
import Testing

extension NodeTests {
    @Suite("What applications do with their sockets is seen")
    struct CertificationTests {
        /// A server, what is to be said of it, and the evidence that decides.
        struct Case: Sendable {
            var mode: String
            var verdict: String
            var kinds: Set<String>
        }

        private static let cases = [
            Case(mode: "clean", verdict: "yes", kinds: ["transfers"]),
            Case(mode: "blocking", verdict: "no", kinds: ["blocking"]),
            Case(mode: "waitall", verdict: "no", kinds: ["waitAll"]),
            Case(mode: "lowwater", verdict: "no", kinds: ["lowWater"]),
            Case(mode: "truncate", verdict: "no", kinds: ["truncate"]),
            Case(mode: "urgent", verdict: "no", kinds: ["urgent"]),
            Case(mode: "idle", verdict: "unknown", kinds: []),
        ]
        private static let statuses: [String: Int32] = ["yes": 0, "no": 1, "unknown": 3]

        /// Watches cgroups at the same time, and gives what is said of each.
        private func certify(_ sandbox: Sandbox, _ workloads: [String], seconds: Int = 2) throws -> [String: JSON] {
            let commands = try workloads.map { name in
                (
                    name,
                    try sandbox.start([
                        Host.product("weft"), "certify", "--cgroup", sandbox.cgroupPath(name), "--for", "\(seconds)s",
                        "-o",
                        "json",
                    ])
                )
            }
            var answers: [String: JSON] = [:]
            for (name, command) in commands {
                let result = try command.wait(timeout: 30)
                let answer = try JSON(result.output)
                answers[name] = answer
                let verdict = answer["verdict"].string ?? ""
                #expect(
                    result.status == Self.statuses[verdict], "\(name): \(verdict) \(result.status) \(result.errors)")
            }
            return answers
        }

        private func kinds(_ answer: JSON?, weight: String) -> Set<String> {
            var kinds: Set<String> = []
            for program in answer?["programs"].array ?? [] {
                for evidence in program["evidence"].array where evidence["weight"].string == weight {
                    kinds.insert(evidence["kind"].string ?? "")
                }
            }
            return kinds
        }

        @Test("of Python's: clean, blocking, MSG_WAITALL, SO_RCVLOWAT, MSG_TRUNC, MSG_OOB, and nothing at all")
        func conduct() throws {
            try Sandbox.run { sandbox in
                let address = sandbox.address(1)
                for (index, entry) in Self.cases.enumerated() {
                    let port = "\(9000 + index)"
                    let arguments = [Host.python, Host.script("conduct.py")]
                    let server = try sandbox.start(arguments + [entry.mode, address, port], in: entry.mode)
                    try server.waitForOutput("listening") { $0.contains("ready") }
                    if entry.mode != "idle" { _ = try sandbox.start(arguments + ["client", address, port]) }
                }
                let answers = try certify(sandbox, Self.cases.map(\.mode))
                for entry in Self.cases {
                    let answer = answers[entry.mode]
                    #expect(answer?["verdict"].string == entry.verdict, "\(entry.mode): \(answer.debugDescription)")
                    let weight = entry.verdict == "yes" ? "supports" : "refutes"
                    #expect(kinds(answer, weight: weight) == entry.kinds, "\(entry.mode): \(answer.debugDescription)")
                }
                // The script is part of what is certified: its interpreter runs others too.
                let files = answers["clean"]?["programs"][0]["files"].array.compactMap { $0["path"].string } ?? []
                #expect(files.contains { $0.hasSuffix("conduct.py") }, "\(files)")
            }
        }

        @Test("of nginx, which has FIONREAD in its code, and of HAProxy in front of it, which splices")
        func servers() throws {
            try Host.require([("nginx", "nginx-light"), ("haproxy", "haproxy"), ("curl", "curl")])
            try Sandbox.run { sandbox in
                let address = sandbox.address(1)
                let directory = sandbox.directory
                try String(repeating: "x", count: 8 << 20)
                    .write(toFile: "\(directory)/large", atomically: false, encoding: .utf8)
                try """
                daemon off; worker_processes 1; error_log stderr; pid \(directory)/nginx.pid;
                events { worker_connections 64; }
                http { access_log off; server { listen \(address):9100; root \(directory); } }
                """.write(toFile: "\(directory)/nginx.conf", atomically: false, encoding: .utf8)
                try """
                global
                    maxconn 64
                defaults
                    mode tcp
                    option splice-response
                    timeout connect 5s
                    timeout client 30s
                    timeout server 30s
                listen front
                    bind \(address):9101
                    server back \(address):9100

                """.write(toFile: "\(directory)/haproxy.cfg", atomically: false, encoding: .utf8)
                _ = try sandbox.start(["nginx", "-c", "\(directory)/nginx.conf", "-p", directory], in: "nginx")
                _ = try sandbox.start(["haproxy", "-db", "-f", "\(directory)/haproxy.cfg"], in: "haproxy")
                let line = "while :; do curl -s -o /dev/null -m 5 http://\(address):9101/large; sleep 0.05; done"
                try eventually("HAProxy forwards to nginx") {
                    try sandbox.run(["curl", "-sf", "-o", "/dev/null", "-m", "2", "http://\(address):9101/large"])
                        .succeeded
                }
                _ = try sandbox.start(["sh", "-c", line])
                let answers = try certify(sandbox, ["nginx", "haproxy"])
                // What its FIONREAD is worth is the kernel's probes to say.
                #expect(answers["nginx"]?["verdict"].string == "unknown", "\(answers["nginx"].debugDescription)")
                #expect(kinds(answers["nginx"], weight: "unclear") == ["fionread"])
                #expect(answers["haproxy"]?["verdict"].string == "no", "\(answers["haproxy"].debugDescription)")
                #expect(kinds(answers["haproxy"], weight: "refutes") == ["splice"])
            }
        }

        @Test("and the agent accelerates what is certified, takes off what misbehaves, and remembers it")
        func agent() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let address = sandbox.address(1)
                for name in ["web", "other"] { try sandbox.makeCgroup(name) }
                let other = Manifest.workload("other", cgroup: sandbox.cgroupPath("other"))
                let web = Manifest.workload("web", cgroup: sandbox.cgroupPath("web"), addresses: [address], port: 9000)
                let time = ["--certification-time", "2"]
                try node.start([web + "  acceleration: On\n", other].joined(separator: "---\n"), time)
                let script = "\(sandbox.directory)/server.py"
                try FileManager.default.copyItem(atPath: Host.script("conduct.py"), toPath: script)
                func serve(_ mode: String, _ script: String, port: Int) throws {
                    let server = try sandbox.start([Host.python, script, mode, address, "\(port)"], in: "web")
                    try server.waitForOutput("listening") { $0.contains("ready") }
                    _ = try sandbox.start([Host.python, Host.script("conduct.py"), "client", address, "\(port)"])
                }
                func condition() throws -> JSON? {
                    try node.weftJSON("status", "workload/shop/web")[0]["status"]["conditions"].array
                        .first { $0["type"].string == "Accelerated" }
                }
                func state(_ state: String) throws -> Double {
                    try node.scrape().sum("weft_acceleration_workloads", ["state": state])
                }
                #expect(try condition()?["reason"].string == "NotCertified")
                try serve("clean", script, port: 9000)
                try eventually("web is accelerated", within: 20) { try condition()?["status"].string == "True" }
                #expect(try condition()?["reason"].string == "Certified")
                #expect(try state("accelerated") == 1)
                #expect(try node.weft("workload", "list").output.contains("local,accelerated"))
                let others = try node.weftJSON("status", "workload/shop/other")[0]["status"]["conditions"].array
                #expect(!others.isEmpty && !others.contains { $0["type"].string == "Accelerated" })

                try serve("blocking", Host.script("conduct.py"), port: 9001)
                try eventually("web is taken off", within: 20) { try condition()?["reason"].string == "Refuted" }
                #expect(try condition()?["message"].string?.contains("O_NONBLOCK") == true)
                #expect(try state("accelerated") == 0)
                #expect(try state("refuted") == 1)
                #expect(node.agentLog.contains("not accelerated"))

                let file = "\(node.stateDirectory)/acceleration/certificates.json"
                let kept = try JSON(String(contentsOfFile: file, encoding: .utf8))["workloads"]["shop/web"].array
                #expect(kept.contains { $0["verdict"].string == "no" })
                try node.terminate()
                try node.start(time)
                try eventually("the next agent knows it", within: 6) { try condition()?["reason"].string == "Refuted" }
                // A person may know better.
                #expect(try node.weft("certify", "shop/web", "--forget").succeeded)
                #expect(try node.weft("certify", "shop/web", "--for", "1s").status == 1)
            }
        }
    }
}
