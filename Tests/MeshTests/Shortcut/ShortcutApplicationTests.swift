import Foundation
import Testing

extension NodeTests {
    /// Servers and clients that nobody here wrote, unchanged: every request is answered, and counted once.
    @Suite("Shortcut: real applications")
    struct ShortcutApplicationTests {
        private static let url = "http://\(ShortcutMesh.web)"

        // MARK: HAProxy

        @Test("HAProxy as the server of curl, wrk and h2load, also with 1,000 connections")
        func haproxy() throws {
            try ShortcutMesh.run { mesh in
                for name in ["a", "b"] { try startHAProxy(mesh, name) }
                let books = Books(mesh, servers: { try requests(ofHAProxies: mesh) })

                try books.expect("curl", share: 0.5) {
                    let answers = try curl(mesh, [["\(Self.url)/[1-500]"]])
                    #expect(answers == Array(repeating: Answer(200, 64), count: 500))
                    return 500...500
                }
                try books.expect("curl with HEAD and POST between, on one connection") {
                    let answers = try curl(
                        mesh,
                        [
                            ["\(Self.url)/[1-100]"], ["-I", "\(Self.url)/[1-100]"],
                            ["-d", String(repeating: "b", count: 3000), "\(Self.url)/[1-100]"],
                            ["\(Self.url)/[1-100]"],
                        ])
                    let sizes = [64, 0, 64, 64].flatMap { Array(repeating: $0, count: 100) }
                    #expect(answers == sizes.map { Answer(200, $0) })
                    return 400...400
                }
                try books.expect("h2load", share: 0.9) { try h2load(mesh, requests: 20_000, connections: 20) }
                try books.expect("h2load with POST", share: 0.8) {
                    let file = "\(mesh.sandbox.directory)/form"
                    try Data(repeating: 0x62, count: 2000).write(to: URL(filePath: file))
                    return try h2load(mesh, requests: 5000, connections: 20, ["-d", file])
                }
                try books.expect("h2load with 1,000 connections", share: 0.5) {
                    try h2load(mesh, requests: 40_000, connections: 1000)
                }
                try books.expect("wrk", share: 0.9) { try wrk(mesh, seconds: Host.isLong ? 20 : 2, connections: 50) }
            }
        }

        /// HAProxy that answers with 64 bytes by itself, and says how often it did.
        private func startHAProxy(_ mesh: ShortcutMesh, _ name: String) throws {
            try Host.require([("haproxy", "haproxy")])
            let directory = mesh.sandbox.directory
            try """
            global
              nbthread 1
              maxconn 9000
              stats socket \(directory)/\(name).socket level admin
            defaults
              mode http
              timeout connect 5s
              timeout client 60s
              timeout server 60s
            frontend front
              bind \(mesh.address(of: name)):\(ShortcutMesh.port) backlog 4096
              http-request return status 200 content-type text/plain string "\(String(repeating: "x", count: 64))"

            """.write(toFile: "\(directory)/\(name).cfg", atomically: false, encoding: .utf8)
            _ = try mesh.sandbox.start(["haproxy", "-db", "-f", "\(directory)/\(name).cfg"], in: name)
            try mesh.sandbox.waitForServer(mesh.address(of: name))
        }

        private func requests(ofHAProxies mesh: ShortcutMesh) throws -> Int {
            let script = """
                import csv, socket, sys
                total = 0
                for path in sys.argv[1:]:
                    with socket.socket(socket.AF_UNIX) as asked:
                        asked.connect(path)
                        asked.sendall(b"show stat\\n")
                        table = asked.makefile().read().lstrip("# ")
                    total += sum(int(row["req_tot"]) for row in csv.DictReader(table.splitlines())
                                 if row["svname"] == "FRONTEND")
                print(total)
                """
            let sockets = ["a", "b"].map { "\(mesh.sandbox.directory)/\($0).socket" }
            let output = try mesh.sandbox.check([Host.python, "-c", script] + sockets)
            return Int(output.trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1
        }

        // MARK: Node

        @Test("Node as the server of curl, h2load and its own fetch()")
        func node() throws {
            try Host.require([("node", "nodejs")])
            try ShortcutMesh.run { mesh in
                for name in ["a", "b"] {
                    let server = try mesh.sandbox.start(
                        ["node", Host.script("server.js"), mesh.address(of: name), "\(ShortcutMesh.port)"], in: name)
                    try server.waitForOutput("listening") { $0.contains("ready\n") }
                }
                let books = Books(mesh)
                try books.expect("curl", share: 0.5) {
                    let answers = try curl(
                        mesh,
                        [
                            ["\(Self.url)/length/[1-400]"], ["-I", "\(Self.url)/length/[1-100]"],
                            ["-d", "form", "\(Self.url)/length/[1-100]"],
                        ])
                    #expect(
                        answers == (1...400).map { Answer(200, $0) } + (1...100).map { _ in Answer(200, 0) }
                            + (1...100).map { Answer(200, $0) })
                    return 600...600
                }
                try books.expect("curl, with answers in chunks", share: 0.5) {
                    let answers = try curl(mesh, [["\(Self.url)/chunks/[3000-3399]"]])
                    #expect(answers == (3000...3399).map { Answer(200, $0) })
                    return 400...400
                }
                try books.expect("curl, and what only the agent does: many chunks, large answers; and errors") {
                    let answers = try curl(
                        mesh,
                        [
                            ["\(Self.url)/length/[1-20]"], ["\(Self.url)/chunks/[90000-90019]"],
                            ["\(Self.url)/length/[700000-700009]"], ["\(Self.url)/none/[1-20]"],
                            ["\(Self.url)/denied/[1-3]"], ["\(Self.url)/length/[1-20]"],
                        ])
                    #expect(answers.prefix(20) == (1...20).map { Answer(200, $0) }[...])
                    #expect(answers.dropFirst(20).prefix(20) == (90_000...90_019).map { Answer(200, $0) }[...])
                    #expect(answers.dropFirst(40).prefix(10) == (700_000...700_009).map { Answer(200, $0) }[...])
                    #expect(answers.dropFirst(50).prefix(20) == (1...20).map { Answer(404, $0) }[...])
                    #expect(answers.dropFirst(70).prefix(3).allSatisfy { $0.status == 403 })
                    #expect(answers.dropFirst(73) == (1...20).map { Answer(200, $0) }[...])
                    return 93...93
                }
                try books.expect("h2load", share: 0.9) {
                    try h2load(mesh, requests: 5000, connections: 20, path: "/length/1000")
                }
                try books.expect("fetch()", share: 0.5) {
                    let script = """
                        const [url, count] = [process.argv[1], parseInt(process.argv[2])];
                        let right = 0;
                        async function ask(size, method) {
                            const options = method === "POST" ? { method, body: "b".repeat(size) } : { method };
                            const answer = await fetch(`${url}/length/${size}`, options);
                            const text = await answer.text();
                            if (answer.status === 200 && text === "y".repeat(method === "HEAD" ? 0 : size)) right++;
                        }
                        async function one() {
                            for (let size = 1; size <= count; size++)
                                await ask(size, size % 50 == 0 ? "HEAD" : size % 5 == 0 ? "POST" : "GET");
                        }
                        Promise.all([one(), one(), one()]).then(() => console.log(right));
                        """
                    let result = try mesh.sandbox.run(["node", "-e", script, Self.url, "500"], in: "client")
                    #expect(result.output == "1500\n", "\(result.output)\(result.errors)")
                    return 1500...1500
                }
            }
        }

        // MARK: Go

        @Test("Go's net/http with itself, curl and wrk, and a gigabyte each way where shortcuts were taken before")
        func go() throws {
            try ShortcutMesh.run { mesh in
                let sandbox = mesh.sandbox
                let books = Books(mesh)
                let file = try sandbox.makeFile("small", megabytes: 3)
                let servers = try ["a", "b"].map { name in
                    try Transfer.go.serve(sandbox, mesh.address(of: name), file: file.path, in: name)
                }
                try books.expect("Go", share: 0.8) {
                    try Transfer.go.fetch(sandbox, ShortcutMesh.web, file: file.path, small: 2000)
                    return 2002...2002
                }
                try books.expect("wrk", share: 0.5) { try wrk(mesh, seconds: 1, connections: 20) }
                try books.expect("curl with files between short requests", share: 0.1) {
                    var groups: [[String]] = []
                    for round in 0..<5 {
                        groups += [
                            ["\(Self.url)/\(round)/[1-100]"], ["-I", "\(Self.url)/x[1-5]"], ["\(Self.url)/file"],
                            ["-T", file.path, "\(Self.url)/up"], ["-H", "Expect:", "-T", file.path, "\(Self.url)/up"],
                        ]
                    }
                    let round =
                        Array(repeating: Answer(200, 5), count: 100) + Array(repeating: Answer(200, 0), count: 5)
                        + [Answer(200, 3 << 20), Answer(200, 64), Answer(200, 64)]
                    let answers = try curl(mesh, groups)
                    #expect(answers == Array(repeating: round, count: 5).flatMap { $0 })
                    return 540...540
                }
                for server in servers { server.stop() }

                let gigabyte = try sandbox.makeFile(megabytes: 1024)
                try mesh.node.apply(mesh.manifest(servers: ["a"]))
                _ = try Transfer.go.serve(sandbox, mesh.address(of: "a"), file: gigabyte.path, in: "a")
                try books.expect("a gigabyte each way", share: 0.4) {
                    let script = """
                        cd \(sandbox.directory) && mkfifo received || exit 1
                        cmp received file & comparing=$!
                        curl -sS -o small.1 "$0/[1-100]" --next -sS -o received "$0/file" --next -sS -o small.2 \
                          "$0/[1-100]" --next -sS -o digest -T file "$0/up" --next -sS -w '%{num_connects} ' -o small.3 \
                          "$0/[1-100]" --next -sS -o digest.small -T small "$0/up" || exit 1
                        wait $comparing && cat small.1 small.2 small.3 digest digest.small
                        """
                    let result = try sandbox.run(["bash", "-c", script, Self.url], in: "client", timeout: 120)
                    #expect(
                        result.succeeded && result.errors == ""
                            && result.output == String(repeating: "0 ", count: 100)
                                + String(repeating: "small", count: 3) + gigabyte.digest + file.digest,
                        "\(result.output)\(result.errors)")
                    return 303...303
                }
            }
        }

        // MARK: Certificates

        @Test("HAProxy is certified, and its requests go straight")
        func certified() throws {
            try ShortcutMesh.run(needsCertificates: true, ["--certification-time", "1"]) { mesh in
                for name in ["a", "b"] { try startHAProxy(mesh, name) }
                try watch(mesh) {
                    try ["a", "b", "client"].allSatisfy { try reason(mesh, $0) == "Certified" }
                }
                let books = Books(mesh, servers: { try requests(ofHAProxies: mesh) })
                try books.close()
                // The agent's connections to the servers that are older than that are not accelerated.
                try books.expect("h2load", share: 0.5) { try h2load(mesh, requests: 20_000, connections: 20) }
            }
        }

        /// nginx asks FIONREAD, which does not count everything on most kernels; sockets of gunicorn's threads block.
        @Test("nginx and gunicorn are not certified, and have every request by the agent")
        func refused() throws {
            try ShortcutMesh.run(needsCertificates: true, ["--certification-time", "1"]) { mesh in
                let sandbox = mesh.sandbox
                try Host.require([("gunicorn", "gunicorn")])
                let files = URL(filePath: "\(sandbox.directory)/length")
                try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
                for size in [5, 20_000] {
                    try Data(repeating: 0x79, count: size).write(to: files.appending(path: "\(size)"))
                }
                try sandbox.startNginx(mesh.address(of: "a"), sendfile: true, in: "a")
                let scripts = URL(filePath: Host.script("wsgi.py")).deletingLastPathComponent().path
                _ = try sandbox.start(
                    [
                        "gunicorn", "-b", "\(mesh.address(of: "b")):\(ShortcutMesh.port)", "-w", "2", "-k", "gthread",
                        "--threads", "4", "--keep-alive", "60", "--chdir", scripts, "wsgi:application",
                    ], in: "b", environment: ["PYTHONDONTWRITEBYTECODE": "1"])
                try sandbox.waitForServer(mesh.address(of: "b"))

                try watch(mesh, path: "/length/5") {
                    try ["a", "b"].allSatisfy { try reason(mesh, $0) == "Refuted" }
                }
                let books = Books(mesh)
                try books.close()
                try books.expect("h2load") { try h2load(mesh, requests: 2000, connections: 8, path: "/length/5") }
                try books.expect("curl") {
                    let answers = try curl(
                        mesh, [["\(Self.url)/length/5?[1-100]"], ["\(Self.url)/length/20000?[1-20]"]])
                    #expect(
                        answers == Array(repeating: Answer(200, 5), count: 100)
                            + Array(repeating: Answer(200, 20_000), count: 20))
                    return 120...120
                }
                try mesh.node.apply(mesh.manifest(servers: ["a"]))
                try books.expect("curl with HEAD and PUT, to nginx") {
                    let file = files.appending(path: "20000").path
                    let answers = try curl(
                        mesh, [["-I", "\(Self.url)/length/5?[1-20]"], ["-T", file, "\(Self.url)/up/[1-20]"]])
                    #expect(
                        answers == Array(repeating: Answer(200, 0), count: 20)
                            + Array(repeating: Answer(201, 0), count: 20))
                    return 40...40
                }
                try mesh.node.apply(mesh.manifest(servers: ["b"]))
                try books.expect("curl with POST, to gunicorn") {
                    let answers = try curl(
                        mesh, [["-d", String(repeating: "b", count: 3000), "\(Self.url)/length/[1-40]"]])
                    #expect(answers == (1...40).map { Answer(200, $0) })
                    return 40...40
                }
                let counted = try mesh.counted()
                #expect(counted["shortcut"] == nil, "\(counted)")
            }
        }

        /// Lets h2load ask until `isJudged`: applications are watched while they are used.
        private func watch(_ mesh: ShortcutMesh, path: String = "/", until isJudged: () throws -> Bool) throws {
            let load = try mesh.sandbox.start(
                ["h2load", "--h1", "-t1", "-n100000", "-c2", "--rps=100", "\(Self.url)\(path)"], in: "client")
            try eventually("the workloads are judged", within: 20, isJudged)
            #expect(load.isRunning, "\(load.output)\(load.errors)")
            load.stop()
        }

        /// Why a workload is accelerated, or not.
        private func reason(_ mesh: ShortcutMesh, _ workload: String) throws -> String {
            let condition = try mesh.node.weftJSON("status", "workload/shop/\(workload)")[0]["status"]["conditions"]
                .array
                .first { $0["type"].string == "Accelerated" }
            return condition?["reason"].string ?? "-"
        }

        // MARK: Clients

        private struct Answer: Equatable, CustomStringConvertible {
            var status: Int
            var size: Int

            init(_ status: Int, _ size: Int) {
                self.status = status
                self.size = size
            }

            var description: String { "\(status):\(size)" }
        }

        /// One curl that makes the requests of all groups of arguments, one after the other, on one connection.
        private func curl(_ mesh: ShortcutMesh, _ groups: [[String]]) throws -> [Answer] {
            let format = "%{http_code} %{size_download} %{num_connects}\\n"
            let arguments = groups.map { ["-sS", "-m", "60", "-o", "/dev/null", "-w", format] + $0 }
            let result = try mesh.sandbox.run(
                ["curl"] + arguments.joined(separator: ["--next"]), in: "client", timeout: 90)
            #expect(result.succeeded && result.errors == "", "curl \(groups): \(result.errors)")
            let rows = result.output.split(separator: "\n").map { $0.split(separator: " ").compactMap { Int($0) } }
            #expect(rows.reduce(0) { $0 + ($1.count == 3 ? $1[2] : 0) } == 1, "more than one connection")
            return rows.map { $0.count == 3 ? Answer($0[0], $0[1]) : Answer(-1, -1) }
        }

        private func h2load(
            _ mesh: ShortcutMesh, requests: Int, connections: Int, path: String = "/", _ options: [String] = []
        ) throws -> ClosedRange<Int> {
            try Host.require([("h2load", "nghttp2-client")])
            let result = try mesh.sandbox.run(
                ["h2load", "--h1", "-t1", "-n\(requests)", "-c\(connections)"] + options + ["\(Self.url)\(path)"],
                in: "client", timeout: 90)
            let isRight =
                result.output.contains(" \(requests) succeeded, 0 failed, 0 errored, 0 timeout\n")
                && result.output.contains("status codes: \(requests) 2xx,")
            #expect(isRight, "\(result.output)\(result.errors)")
            return requests...requests
        }

        private func wrk(
            _ mesh: ShortcutMesh, seconds: Int, connections: Int, path: String = "/"
        ) throws -> ClosedRange<Int> {
            try Host.require([("wrk", "wrk")])
            let result = try mesh.sandbox.run(
                ["wrk", "-t1", "-c\(connections)", "-d\(seconds)", "\(Self.url)\(path)"], in: "client", timeout: 90)
            #expect(
                result.succeeded && !result.output.contains("Socket errors") && !result.output.contains("Non-2xx"),
                "\(result.output)")
            let line = result.output.split(separator: "\n").first { $0.contains(" requests in ") } ?? ""
            let count = line.split(separator: " ").first.flatMap { Int($0) } ?? 0
            #expect(count > 0, "\(result.output)")
            // In the end each connection has one more under way.
            return count...(count + connections)
        }

        // MARK: Counting

        /// What Prometheus is told, and what servers say.
        private final class Books {
            private let mesh: ShortcutMesh
            private let servers: (() throws -> Int)?
            private var last: (all: Int, straight: Int, served: Int)

            init(_ mesh: ShortcutMesh, servers: (() throws -> Int)? = nil) {
                self.mesh = mesh
                self.servers = servers
                last = (0, 0, 0)
            }

            /// Forgets what has been so far, once nothing more is counted.
            func close() throws {
                var before = -1
                try eventually("nothing is under way", within: 5) {
                    let counted = try mesh.counted()
                    last.all = counted.values.reduce(0) { $0 + $1.values.reduce(0, +) }
                    last.straight = counted["shortcut"]?.values.reduce(0, +) ?? 0
                    last.served = try servers?() ?? last.all
                    defer { before = last.all }
                    return before == last.all
                }
            }

            /// Lets `body` make requests, and compares their number with what was counted.
            ///
            /// - Parameter share: of the requests that go straight, at least.
            func expect(_ what: String, share: Double = 0, _ body: () throws -> ClosedRange<Int>) throws {
                let asked = try body()
                var counted: [String: [String: Int]] = [:]
                var served = 0
                func sum() -> Int { counted.values.reduce(0) { $0 + $1.values.reduce(0, +) } }
                do {
                    try eventually("the requests of \(what) are counted", within: 3) {
                        counted = try mesh.counted()
                        served = try servers?() ?? sum()
                        return asked ~= sum() - last.all && served - last.served == sum() - last.all
                    }
                } catch {
                    let (all, served) = (sum() - last.all, served - last.served)
                    Issue.record("\(what): \(asked) asked, \(all) counted, \(served) served: \(counted)")
                }
                let straight = counted["shortcut"]?.values.reduce(0, +) ?? 0
                let (all, part) = (sum() - last.all, straight - last.straight)
                #expect(Double(part) >= share * Double(all), "\(what): \(part) of \(all) went straight")
                last = (sum(), straight, served)
            }
        }
    }
}
