import Foundation
import Testing

extension NodeTests {
    /// What the kernel's programs read of software that nobody here wrote, and what they leave alone.
    @Suite("HTTP read in the kernel, whoever serves it")
    struct ServerReadingTests {
        private struct Counted: Equatable, CustomStringConvertible {
            /// By `STATUS FLAGS`.
            var requests: [String: Int] = [:]
            var requestBytes = 0
            var responseBytes = 0

            var description: String {
                "\(requests.sorted { $0.key < $1.key }) \(requestBytes) \(responseBytes)"
            }
        }

        private func counted(_ node: Node, _ service: String, _ reporter: String = "destination") throws
            -> Counted
        {
            let labels = [
                "reporter": reporter, "destination_service_name": service, "weft_lane": "kernel",
            ]
            let metrics = try node.scrape()
            var counted = Counted()
            for sample in metrics.matching("istio_requests_total", labels) {
                let (status, flags) = (
                    sample.labels["response_code"] ?? "", sample.labels["response_flags"] ?? ""
                )
                counted.requests["\(status) \(flags)", default: 0] += Int(sample.value)
            }
            counted.requestBytes = Int(metrics.sum("istio_request_bytes_sum", labels))
            counted.responseBytes = Int(metrics.sum("istio_response_bytes_sum", labels))
            return counted
        }

        /// A service of one workload, which listens at one of the sandbox's addresses, port 8080.
        private func manifest(_ sandbox: Sandbox, _ name: String, _ number: Int) -> String {
            Manifest.file(
                Manifest.selecting(name, address: "127.96.0.4\(number)", app: name),
                Manifest.workload(
                    name, cgroup: sandbox.cgroupPath(name), addresses: [sandbox.address(number)], port: 8080))
        }

        private func client(_ sandbox: Sandbox) -> String {
            Manifest.workload("client", cgroup: sandbox.cgroupPath("client"))
        }

        @Test(
            "gunicorn, Node and HAProxy: every answer and byte, with a length, in chunks, from files and spliced"
        )
        func servers() throws {
            try Host.require([
                ("gunicorn", "gunicorn"), ("node", "nodejs"), ("haproxy", "haproxy"),
                ("h2load", "nghttp2-client"),
            ])
            try Sandbox.run { sandbox in
                let directory = sandbox.directory
                try """
                global
                  maxconn 1000
                defaults
                  mode http
                  option splice-auto
                  timeout connect 5s
                  timeout client 20s
                  timeout server 20s
                frontend web
                  bind \(sandbox.address(3)):8080
                  default_backend node
                backend node
                  server node \(sandbox.address(2)):8080
                """.appending("\n").write(
                    toFile: "\(directory)/haproxy.cfg", atomically: false, encoding: .utf8)
                let scripts = URL(filePath: Host.script("wsgi.py")).deletingLastPathComponent().path
                let commands = [
                    "gunicorn": [
                        "gunicorn", "-b", "\(sandbox.address(1)):8080", "-w", "2", "-k", "gthread", "--threads",
                        "4",
                        "--chdir", scripts, "wsgi:application",
                    ],
                    "node": ["node", Host.script("server.js"), sandbox.address(2), "8080"],
                    "haproxy": ["haproxy", "-db", "-f", "\(directory)/haproxy.cfg"],
                ]
                let names = ["gunicorn", "node", "haproxy"]
                let environment = ["PYTHONDONTWRITEBYTECODE": "1"]
                for name in names {
                    _ = try sandbox.start(commands[name] ?? [], in: name, environment: environment)
                }
                let node = try Node(sandbox)
                try node.start(
                    (names.enumerated().map { manifest(sandbox, $0.element, $0.offset + 1) } + [
                        client(sandbox)
                    ])
                    .joined(separator: "---\n"))
                let paths = [
                    "/length/0", "/length/7", "/length/300000", "/chunks/70000", "/file/123456", "/none/5",
                ]
                var rows = paths.map { HTTPRequestRow(path: $0) }
                rows.append(HTTPRequestRow(method: "HEAD", path: "/length/70"))
                rows.append(
                    HTTPRequestRow(
                        method: "POST", path: "/length/3", body: String(repeating: "x", count: 60_000)))
                for (number, name) in names.enumerated() {
                    let address = "127.96.0.4\(number + 1)"
                    try eventually("\(name) answers", within: 15) {
                        try sandbox.run([
                            "curl", "-sSf", "-o", "/dev/null",
                            "http://\(sandbox.address(number + 1)):8080/length/0",
                        ])
                        .succeeded
                    }
                    let replies = try sandbox.send(rows, to: address, port: 80, from: "client")
                    var expected = Counted()
                    for (row, reply) in zip(rows, replies) {
                        expected.requests["\(reply.status) -", default: 0] += 1
                        expected.requestBytes += row.body.utf8.count
                        expected.responseBytes += reply.body.utf8.count
                    }
                    #expect(expected.requests == ["200 -": 7, "404 -": 1], "\(name)")
                    #expect(expected.responseBytes == 7 + 300_000 + 70_000 + 123_456 + 5 + 3, "\(name)")
                    let load = try sandbox.run(
                        [
                            "h2load", "--h1", "-n", "1000", "-c", "4", "-m", "1", "http://\(address)/chunks/2500",
                        ], in: "client")
                    #expect(
                        load.output.contains("1000 total, 1000 started, 1000 done, 1000 succeeded"),
                        "\(load.output)")
                    expected.requests["200 -", default: 0] += 1000
                    expected.responseBytes += 1000 * 2500
                    var found = Counted()
                    try? eventually("all are counted", within: 5) {
                        found = try counted(node, name)
                        return found == expected
                    }
                    #expect(found == expected, "\(name)")
                }
                #expect(try node.scrape().sum("weft_http_unparsed_total") == 0)
            }
        }

        @Test("Redis, TLS and random bytes are left alone, and cost next to nothing from then on")
        func others() throws {
            try Host.require([
                ("redis-server", "redis-server"), ("redis-benchmark", "redis-tools"),
                ("openssl", "openssl"),
            ])
            try Sandbox.run { sandbox in
                let directory = sandbox.directory
                _ = try sandbox.start(
                    [
                        "redis-server", "--bind", sandbox.address(1), "--port", "8080", "--save", "", "--dir",
                        directory,
                    ],
                    in: "redis")
                try sandbox.check([
                    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "1",
                    "-subj", "/CN=tls", "-keyout", "\(directory)/key.pem", "-out", "\(directory)/cert.pem",
                ])
                _ = try sandbox.start(
                    [
                        "openssl", "s_server", "-accept", "\(sandbox.address(2)):8080", "-key",
                        "\(directory)/key.pem", "-cert",
                        "\(directory)/cert.pem", "-www", "-quiet",
                    ], in: "tls")
                try sandbox.serve(["echo,tcp,\(sandbox.address(3)),8080"], in: "echo")
                let node = try Node(sandbox)
                try node.start(
                    (["redis", "tls", "echo"].enumerated().map {
                        manifest(sandbox, $0.element, $0.offset + 1)
                    }
                        + [client(sandbox)]).joined(separator: "---\n"))
                let before = try Self.cost(sandbox, node) {
                    let bench = try sandbox.run(
                        [
                            "redis-benchmark", "-h", "127.96.0.41", "-p", "80", "-n", "30000", "-c", "10", "-t",
                            "set,get", "-q",
                        ],
                        in: "client")
                    #expect(bench.succeeded && bench.output.contains("GET:"), "\(bench.errors)")
                }
                // Debug builds run the same programs: what is measured is the kernel's, with its own clock's cost.
                #expect(before.runs > 60_000 && before.nanoseconds / before.runs < 1000, "\(before)")
                let page = try sandbox.run(["curl", "-sSk", "https://127.96.0.42:80/"], in: "client")
                #expect(page.output.contains("s_server"))
                let random = """
                    import os, random, socket
                    for seed in range(40):
                        c = socket.create_connection(("127.96.0.43", 80), 5)
                        c.settimeout(0.2)
                        try:
                            for _ in range(3): c.sendall(os.urandom(random.randint(1, 3000)))
                            c.recv(65536)
                        except OSError: pass
                        c.close()
                    """
                #expect(try sandbox.run([Host.python, "-c", random], in: "client").succeeded)
                let metrics = try node.scrape()
                #expect(metrics.sum("istio_requests_total") == 0)
                #expect(metrics.sum("weft_http_unparsed_total") == 0)
                #expect(metrics.sum("istio_tcp_connections_opened_total", ["reporter": "source"]) >= 61)
            }
        }

        /// What reading has cost while something was done.
        private static func cost(
            _ sandbox: Sandbox, _ node: Node, _ body: () throws -> Void
        ) throws -> (nanoseconds: Double, runs: Double) {
            func programs() throws -> (nanoseconds: Double, runs: Double) {
                let metrics = try node.scrape()
                let names = ["http_in", "http_out"]
                return (
                    names.map { metrics.sum("weft_program_run_seconds_total", ["program": $0]) * 1e9 }.reduce(
                        0, +),
                    names.map { metrics.sum("weft_program_runs_total", ["program": $0]) }.reduce(0, +)
                )
            }
            let setting = "/proc/sys/kernel/bpf_stats_enabled"
            let previous = try String(contentsOfFile: setting, encoding: .utf8)
            try "1\n".write(toFile: setting, atomically: false, encoding: .utf8)
            defer { try? previous.write(toFile: setting, atomically: false, encoding: .utf8) }
            let before = try programs()
            try body()
            let after = try programs()
            return (after.nanoseconds - before.nanoseconds, after.runs - before.runs)
        }

        @Test(
            "Clients of another host and of the node itself are read at the server's end, over IPv6 too")
        func outside() throws {
            try Cluster.run { cluster in
                let (first, second) = ("10.77.0.50", "fd00:77::50")
                try cluster.sandbox.makeCgroup("b/mix")
                try cluster.add(first, to: cluster.b)
                for (namespace, address) in [
                    (cluster.b.namespace, second), (cluster.outside, "fd00:77::99"),
                ] {
                    guard let namespace else { continue }
                    try cluster.sandbox.check([
                        "nsenter", "--net=\(namespace.path)", "ip", "address", "add", "\(address)/64", "dev",
                        "eth0", "nodad",
                    ])
                }
                try cluster.apply(
                    cluster.workload("mix", node: "node-b", address: first, cgroup: "b/mix", port: 8080)
                        .replacing(
                            "[\"\(first)\"]", with: "[\"\(first)\", \"\(second)\"]"))
                let script = [Host.python, Host.script("http_mix.py")]
                for address in [first, second] {
                    let server = try cluster.sandbox.start(
                        script + ["serve", address, "8080"], in: "b/mix", namespace: cluster.b.namespace)
                    try server.waitForOutput("listening") { $0.contains("ready\n") }
                }
                var expected = Counted()
                for (seed, address) in [first, second].enumerated() {
                    let result = try cluster.sandbox.run(
                        script + ["ask", address, "8080", "30", "\(seed)"], namespace: cluster.outside)
                    #expect(result.succeeded, "\(result.errors)")
                    let books = try JSON(result.output)
                    for (kind, count) in books["requests"].object {
                        expected.requests[kind, default: 0] += count.int ?? 0
                    }
                    expected.requestBytes += books["requestBytes"].int ?? 0
                    expected.responseBytes += books["responseBytes"].int ?? 0
                }
                // Nobody knows by which service they came.
                var found = Counted()
                try? eventually("all are counted", within: 5) {
                    found = try counted(cluster.b, "unknown")
                    return found == expected
                }
                #expect(found == expected)
                let metrics = try cluster.b.scrape()
                #expect(metrics.sum("istio_requests_total", ["reporter": "source"]) == 0)
                #expect(metrics.sum("weft_http_unparsed_total") == 0)
            }
        }

        @Test("Made-up methods, paths and statuses in the kernel's lane: bounded series, all counted")
        func attack() throws {
            try Sandbox.run { sandbox in
                let script = [Host.python, Host.script("attack.py")]
                let server = try sandbox.start(script + ["serve", sandbox.address(1), "8080"], in: "web")
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                let node = try Node(sandbox)
                try node.start(
                    manifest(sandbox, "web", 1) + "---\n" + client(sandbox),
                    ["--max-series", "100", "--map-limit", "requests=200"])
                let count = Host.isLong ? 100_000 : 8000
                let client = try sandbox.run(
                    script + ["attack", "127.96.0.41", "80", "\(count)", "1"], in: "client", timeout: 120)
                #expect(client.succeeded, "\(client.errors)")
                let answers = try JSON(client.output).object.compactMapValues(\.int)
                #expect(answers.count > 500 && answers.values.reduce(0, +) == count)
                try node.waitForMetrics("every request is counted, at both ends") {
                    // What the map has no room for is counted once, and for nobody.
                    $0.sum("istio_requests_total", ["weft_lane": "kernel"]) / 2
                        + $0.sum("istio_requests_total", ["weft_lane": "overflow"]) >= Double(count)
                }
                let metrics = try node.scrape()
                #expect(metrics.sum("istio_requests_total") <= Double(2 * count))
                #expect(metrics.sum("istio_requests_total", ["weft_lane": "overflow"]) > Double(count / 2))
                #expect(metrics.matching("istio_requests_total").count <= 41)
                #expect(metrics.sum("weft_map_entries", ["map": "requests"]) <= 200)
                #expect(!metrics.text.contains(".example"))
            }
        }

        @Test("Percentiles are those that the client sees, within a bucket")
        func percentiles() throws {
            try Sandbox.run { sandbox in
                let server = """
                    import socketserver, time
                    class Handler(socketserver.BaseRequestHandler):
                        def handle(self):
                            while data := self.request.recv(4096):
                                time.sleep(int(data.split(b"/")[1].split(b" ")[0]) / 1000)
                                self.request.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
                    socketserver.ThreadingTCPServer.allow_reuse_address = True
                    s = socketserver.ThreadingTCPServer(("\(sandbox.address(1))", 8080), Handler); print("ready", flush=True)
                    s.serve_forever()
                    """
                let running = try sandbox.start([Host.python, "-c", server], in: "web")
                try running.waitForOutput("listening") { $0.contains("ready\n") }
                let node = try Node(sandbox)
                try node.start(manifest(sandbox, "web", 1) + "---\n" + client(sandbox))
                // 60 % take 2 ms and more, 36 % 12 ms and more, 4 % 40 ms and more.
                let client = """
                    import json, socket, time
                    c = socket.create_connection(("127.96.0.41", 80)); times = []
                    for n in range(200):
                        wait = 40 if n % 25 == 0 else 12 if n % 5 in (1, 2) and n % 25 > 2 else 2
                        start = time.perf_counter()
                        c.sendall(b"GET /%d HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n" % wait)
                        data = b""
                        while not data.endswith(b"ok"): data += c.recv(4096)
                        times.append((time.perf_counter() - start) * 1000)
                    times.sort()
                    print(json.dumps([times[int(200 * q) - 1] for q in (0.5, 0.95, 0.99)]))
                    """
                let seen = try JSON(sandbox.run([Host.python, "-c", client], in: "client").output).array
                    .compactMap(\.double)
                #expect(seen.count == 3)
                var told: [Double] = []
                try eventually("all are counted", within: 8) {
                    let rows = try node.weftJSON("stat", "services", "shop/web", "--window", "5m").array
                    guard let row = rows.first, row["requests"].int == 200 else { return false }
                    told = ["latencyP50", "latencyP95", "latencyP99"].compactMap { row[$0].double }
                    return true
                }
                // A bucket is at most half as wide as its values.
                for (one, other) in zip(told, seen) {
                    #expect(one > other * 0.6 && one < other * 1.5, "\(told) \(seen)")
                }
                #expect(told.count == 3)
            }
        }
    }
}
