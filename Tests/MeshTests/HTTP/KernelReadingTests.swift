import Foundation
import Testing

extension NodeTests {
    @Suite("HTTP read in the kernel, against servers' and clients' own books")
    struct KernelReadingTests {
        /// What the metrics have of a service's requests, from the destination's view, as `STATUS FLAGS`.
        private func counted(_ node: Node, _ service: String) throws -> [String: Int] {
            var counts: [String: Int] = [:]
            for sample in try node.scrape().matching(
                "istio_requests_total", ["reporter": "destination", "destination_service_name": service])
            {
                #expect(sample.labels["weft_lane"] == "kernel")
                let (status, flags) = (sample.labels["response_code"] ?? "", sample.labels["response_flags"] ?? "")
                counts["\(status) \(flags)", default: 0] += Int(sample.value)
            }
            return counts
        }

        private func bytes(_ node: Node, _ name: String, _ service: String) throws -> Int {
            try Int(
                node.scrape().sum(
                    "\(name)_sum", ["reporter": "destination", "destination_service_name": service]))
        }

        private func mesh(_ sandbox: Sandbox, _ service: String) -> String {
            Manifest.file(
                Manifest.selecting(service, address: "127.96.0.40", app: service),
                Manifest.workload(
                    service, cgroup: sandbox.cgroupPath(service), addresses: [sandbox.address(1)], port: 8080),
                Manifest.workload("client", cgroup: sandbox.cgroupPath("client")))
        }

        @Test("nginx: requests, statuses and bytes are those of its access log")
        func nginx() throws {
            try Sandbox.run { sandbox in
                let directory = sandbox.directory
                try Data(repeating: 0x78, count: 20_000).write(to: URL(filePath: "\(directory)/file"))
                try """
                daemon off; worker_processes 2; pid \(directory)/nginx.pid; error_log stderr crit;
                events {}
                http { log_format short "$status $body_bytes_sent"; access_log \(directory)/access.log short;
                  client_body_temp_path \(directory); proxy_temp_path \(directory); fastcgi_temp_path \(directory);
                  uwsgi_temp_path \(directory); scgi_temp_path \(directory); sendfile on; keepalive_requests 1000000;
                  server { listen \(sandbox.address(1)):8080; location / { return 200 "\(String(repeating: "x", count: 64))"; }
                    location /file { root \(directory); } location /no { return 503; } } }
                """.write(toFile: "\(directory)/nginx.conf", atomically: false, encoding: .utf8)
                _ = try sandbox.start(
                    ["nginx", "-p", directory, "-e", "stderr", "-c", "\(directory)/nginx.conf"], in: "web")
                let node = try Node(sandbox)
                try node.start(mesh(sandbox, "web"))
                func log() throws -> (statuses: [String: Int], bytes: Int) {
                    var (statuses, bytes): ([String: Int], Int) = ([:], 0)
                    let text = try String(contentsOfFile: "\(directory)/access.log", encoding: .utf8)
                    for line in text.split(separator: "\n") {
                        let parts = line.split(separator: " ")
                        statuses["\(parts[0]) -", default: 0] += 1
                        bytes += Int(parts[1]) ?? 0
                    }
                    return (statuses, bytes)
                }

                let count = Host.isLong ? 350_000 : 10_000
                for path in ["/", "/file", "/no"] {
                    let load = try sandbox.run(
                        ["h2load", "--h1", "-n", "\(count)", "-c", "16", "-m", "4", "http://127.96.0.40\(path)"],
                        in: "client", timeout: 120)
                    #expect(load.output.contains("requests: \(count) total, \(count) started, \(count) done"))
                }
                let exact = try log()
                #expect(exact.statuses == ["200 -": 2 * count, "503 -": count])
                #expect(try counted(node, "web") == exact.statuses)
                #expect(try bytes(node, "istio_response_bytes", "web") == exact.bytes)

                // Its connections end in their answers: nginx has logged these, or not even read the request.
                try sandbox.run(
                    ["wrk", "-t1", "-c16", "-d", Host.isLong ? "30" : "2", "http://127.96.0.40/"], in: "client")
                let counted = try counted(node, "web")
                let ended = (counted["0 DC"] ?? 0) + (counted["200 DC"] ?? 0)
                #expect(ended <= 16, "\(counted)")
                #expect(counted.filter { !$0.key.hasSuffix("DC") }.keys.sorted() == ["200 -", "503 -"])
                let (complete, logged) = try (counted["200 -"] ?? 0, log().statuses.values.reduce(0, +) - count)
                #expect((complete...complete + ended).contains(logged), "\(counted): \(logged)")
                #expect(try node.scrape().sum("weft_http_unparsed_total") == 0)
            }
        }

        @Test("A client that splits, pipelines, keeps alive and breaks off at random: every request and byte")
        func mixed() throws {
            try Sandbox.run { sandbox in
                let script = Host.script("http_mix.py")
                let server = try sandbox.start([Host.python, script, "serve", sandbox.address(1), "8080"], in: "mix")
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                let node = try Node(sandbox)
                try node.start(mesh(sandbox, "mix"))
                var expected: [String: Int] = [:]
                var (requestBytes, responseBytes) = (0, 0)
                let clients = try (1...4).map { seed in
                    try sandbox.start(
                        [
                            Host.python, script, "ask", "127.96.0.40", "80", Host.isLong ? "1300" : "50", "\(seed)",
                        ], in: "client")
                }
                for client in clients {
                    let result = try client.wait(timeout: 300)
                    #expect(result.succeeded, "\(result.errors)")
                    let books = try JSON(result.output)
                    for (kind, count) in books["requests"].object { expected[kind, default: 0] += count.int ?? 0 }
                    requestBytes += books["requestBytes"].int ?? 0
                    responseBytes += books["responseBytes"].int ?? 0
                }
                try eventually("all connections have ended") { try counted(node, "mix") == expected }
                #expect(try counted(node, "mix") == expected)
                #expect(try bytes(node, "istio_request_bytes", "mix") == requestBytes)
                #expect(try bytes(node, "istio_response_bytes", "mix") == responseBytes)
                #expect(try node.scrape().sum("weft_http_unparsed_total") == 0)
            }
        }
    }
}
