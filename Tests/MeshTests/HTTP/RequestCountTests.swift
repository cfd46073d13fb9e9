import Foundation
import Testing

extension NodeTests {
    @Suite("Requests that the kernel reads, against the client's and the server's own books")
    struct RequestCountTests {
        @Test("A million of wrk's to nginx: every request, status and byte")
        func wrk() throws {
            try Host.require([("wrk", "wrk"), ("nginx", "nginx")])
            let (threads, count) = (4, Host.isLong ? 1_000_000 : 40_000)
            try Sandbox.run { sandbox in
                for name in ["web", "client"] { try sandbox.makeCgroup(name) }
                let log = try nginx(sandbox)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.selecting("web", address: "127.96.0.10", app: "web"),
                        Manifest.workload(
                            "web", cgroup: sandbox.cgroupPath("web"), addresses: [sandbox.address(1)], port: 8080),
                        Manifest.workload("client", cgroup: sandbox.cgroupPath("client"))))
                let client = try sandbox.start(
                    [
                        "wrk", "-t\(threads)", "-c\(threads)", "-d1h", "-s", Host.script("count.lua"),
                        "http://127.96.0.10/", "--", "\(count / threads)",
                    ], in: "client")
                func counted(_ metrics: Metrics, _ reporter: String, _ status: Int) -> Double {
                    metrics.sum(
                        "istio_requests_total",
                        [
                            "reporter": reporter, "destination_service_name": "web", "weft_lane": "kernel",
                            "response_code": "\(status)", "response_flags": "-",
                        ])
                }
                try node.waitForMetrics("all are counted", within: 540) {
                    counted($0, "source", 200) + counted($0, "source", 404) >= Double(count)
                }
                client.signal(SIGINT)
                let said = try client.wait().output
                #expect(said.contains(" \(count) requests in "), "\(said)")
                #expect(said.contains("Non-2xx or 3xx responses: \(count / 10)\n"), "\(said)")
                var logged: [Substring: Int] = [:]
                try eventually("the server has logged them") {
                    let lines = String(decoding: try Data(contentsOf: URL(filePath: log)), as: UTF8.self)
                    logged = lines.split(separator: "\n").reduce(into: [:]) { $0[$1, default: 0] += 1 }
                    return logged.values.reduce(0, +) == count
                }
                #expect(logged == ["200 10": count / 10 * 9, "404 2": count / 10])

                let metrics = try node.scrape()
                for reporter in ["source", "destination"] {
                    #expect(counted(metrics, reporter, 200) == Double(count / 10 * 9), "\(reporter)")
                    #expect(counted(metrics, reporter, 404) == Double(count / 10), "\(reporter)")
                    let labels = ["reporter": reporter, "destination_service_name": "web"]
                    #expect(metrics.sum("istio_requests_total", labels) == Double(count), "\(reporter)")
                    #expect(
                        metrics.sum("istio_response_bytes_sum", labels) == Double(count / 10 * (9 * 10 + 2)),
                        "\(reporter)")
                    #expect(metrics.sum("istio_request_duration_milliseconds_count", labels) == Double(count))
                }
                #expect(metrics.sum("weft_http_unparsed_total") == 0)
            }
        }

        /// Starts nginx as the workload `web`: 10 bytes for /ok, 404 and 2 bytes for /none. Returns the path of its log, which
        /// has status and length of each answer.
        private func nginx(_ sandbox: Sandbox) throws -> String {
            let directory = sandbox.directory
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map { "\($0)_temp_path \(directory)/\($0);" }.joined(separator: " ")
            try """
            user root; daemon off; worker_processes 1; pid \(directory)/nginx.pid; error_log stderr warn;
            events { worker_connections 1024; }
            http {
              \(temporary)
              log_format book "$status $body_bytes_sent";
              access_log \(directory)/book book buffer=64k flush=1s;
              keepalive_requests 1000000000;
              server {
                listen \(sandbox.address(1)):8080;
                location = /ready { access_log off; return 204; }
                location = /ok { return 200 "0123456789"; }
                location / { return 404 "no"; }
              }
            }

            """.write(toFile: "\(directory)/nginx.conf", atomically: false, encoding: .utf8)
            _ = try sandbox.start(
                ["nginx", "-p", directory, "-e", "stderr", "-c", "\(directory)/nginx.conf"], in: "web")
            try eventually("nginx answers", within: 15) {
                try sandbox.run(["curl", "-sS", "-o", "/dev/null", "http://\(sandbox.address(1)):8080/ready"]).succeeded
            }
            return "\(directory)/book"
        }
    }
}
