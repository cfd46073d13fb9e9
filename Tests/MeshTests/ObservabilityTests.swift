import Foundation
import Testing

extension NodeTests {
    /// The rules and the dashboard of tools/observability with a real Prometheus and a real node.
    @Suite("Rules for Prometheus and the dashboard for Grafana")
    struct ObservabilityTests {
        private static let rules = Host.tool("observability/weft.rules.yaml")

        @Test("promtool accepts the rules, and their own tests pass")
        func rulesAreRight() throws {
            try Host.require([("promtool", "prometheus")])
            try Sandbox.run { sandbox in
                let check = try sandbox.run(["promtool", "check", "rules", Self.rules])
                #expect(check.status == 0, "\(check.output)\(check.errors)")
                let tests = try sandbox.run([
                    "promtool", "test", "rules", Host.tool("observability/weft.rules.test.yaml"),
                ])
                #expect(tests.status == 0, "\(tests.output)\(tests.errors)")
            }
        }

        @Test("A burst of errors raises its alert and clears it; every panel's query finds what it is about")
        func burst() throws {
            try Host.require([("prometheus", "prometheus")])
            let route = RouteCase.route(
                """
                  - backendRefs:
                    - { name: web-v1, port: 80 }
                """)
            try HTTPMesh.run(route) { mesh in
                let prometheus = try Prometheus(mesh)
                let good = HTTPRequestRow.repeated("/fine", 50)
                let bad = HTTPRequestRow.repeated("/broken?status=503", 10)
                _ = try mesh.send([good])
                try eventually("Prometheus knows the service", within: 20) {
                    try !prometheus.query("istio_requests_total").isEmpty
                }
                #expect(try prometheus.firing() == [])

                try eventually("the alert fires", within: 60) {
                    _ = try mesh.send([good, bad])
                    return try prometheus.firing().contains("WeftServiceErrorBurst")
                }
                try eventually("the alert clears", within: 90) {
                    for _ in 0..<5 { _ = try mesh.send([HTTPRequestRow.repeated("/fine", 200)]) }
                    return try !prometheus.firing().contains("WeftServiceErrorBurst")
                }
                try panels(prometheus)
            }
        }

        /// What a node that is well, and without anything that is denied, lost or certified, has nothing to show for.
        private static let mayBeEmpty: Set = [
            "Denied, failed and without backend", "Decisions that denied, by policy",
            "First certificate to expire, by node",
            "Programs' run time, cores", "Round trip, p95", "Mean wait to be accepted",
        ]

        private func panels(_ prometheus: Prometheus) throws {
            let path = Host.tool("observability/weft.dashboard.json")
            let dashboard = try JSON(String(decoding: Data(contentsOf: URL(filePath: path)), as: UTF8.self))
            var seen = 0
            for panel in dashboard["panels"].array {
                let title = panel["title"].string ?? ""
                for target in panel["targets"].array {
                    let query = (target["expr"].string ?? "").replacingOccurrences(of: "$__rate_interval", with: "1m")
                        .replacingOccurrences(of: "$__range", with: "1m").replacingOccurrences(
                            of: "$service", with: ".*")
                    let result = try prometheus.query(query)
                    #expect(!result.isEmpty || Self.mayBeEmpty.contains(title), "\(title): \(query)")
                    seen += 1
                }
            }
            #expect(seen > 20)
        }
    }
}

extension HTTPRequestRow {
    fileprivate static func repeated(_ path: String, _ count: Int) -> HTTPRequestRow {
        var row = HTTPRequestRow(path: path)
        row.count = count
        return row
    }
}

/// A Prometheus that scrapes the mesh's node each second with the rules that come with Weft.
private struct Prometheus {
    private let sandbox: Sandbox
    private let port: UInt16
    private let server: Command

    init(_ mesh: HTTPMesh) throws {
        sandbox = mesh.sandbox
        port = try Host.freePort()
        let path = "\(sandbox.directory)/prometheus.yml"
        try """
        global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
        rule_files: ["\(Host.tool("observability/weft.rules.yaml"))"]
        scrape_configs:
        - job_name: weft
          static_configs: [{ targets: ["127.0.0.1:\(mesh.node.metricsPort)"] }]

        """.write(toFile: path, atomically: false, encoding: .utf8)
        server = try sandbox.start([
            "prometheus", "--config.file=\(path)", "--storage.tsdb.path=\(sandbox.directory)/tsdb",
            "--web.listen-address=127.0.0.1:\(port)",
        ])
    }

    /// The result of an instant query. Fails when Prometheus does not understand it.
    func query(_ text: String) throws -> [JSON] {
        let answer = try get("query", ["--data-urlencode", "query=\(text)"])
        guard let answer else { return [] }
        guard answer["status"].string == "success" else {
            throw TestFailure("\(text): \(answer["error"].string ?? "")")
        }
        return answer["data"]["result"].array
    }

    /// Names of alerts that fire.
    func firing() throws -> [String] {
        let alerts = try get("alerts", [])?["data"]["alerts"].array ?? []
        return alerts.filter { $0["state"].string == "firing" }.compactMap { $0["labels"]["alertname"].string }
    }

    /// nil: it does not answer yet.
    private func get(_ endpoint: String, _ arguments: [String]) throws -> JSON? {
        let result = try sandbox.run(["curl", "-sS", "-G", "http://127.0.0.1:\(port)/api/v1/\(endpoint)"] + arguments)
        return result.succeeded ? try JSON(result.output) : nil
    }
}
