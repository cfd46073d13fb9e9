import Foundation
import Testing

extension NodeTests {
    /// The web page of the admin port in a headless Chromium, driven by chromedriver.
    @Suite("The dashboard")
    struct DashboardTests {
        /// Of web-v2 alone, so that nobody may connect to it while `web` goes on.
        private static let closed = """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { name: closed, namespace: shop }
            spec:
              selector: { matchLabels: { version: v2 } }
              action: DENY
              rules: [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }] }]

            """

        /// Runs one mode of browser.py: what it found, and what was wrong.
        private func browse(
            _ mode: String, _ parameters: [String: Any], in sandbox: Sandbox,
            interaction: ((Command) throws -> Void)? = nil
        ) throws -> JSON {
            try Host.require([("chromium", "chromium"), ("chromedriver", "chromium-driver")])
            let json = try JSONSerialization.data(withJSONObject: parameters, options: .sortedKeys)
            let browser = try sandbox.start(
                [Host.python, Host.script("browser.py"), mode, String(decoding: json, as: UTF8.self)],
                environment: ["TMPDIR": sandbox.directory, "HOME": sandbox.directory, "no_proxy": "*"])
            try interaction?(browser)
            let result = try browser.wait(timeout: 120)
            guard result.succeeded, let line = result.output.split(separator: "\n").last else {
                throw TestFailure("the browser failed: \(result.errors.suffix(4000))")
            }
            let answer = try JSON(String(line))
            for problem in answer["problems"].array { Issue.record("\(problem.string ?? "?")") }
            return answer["facts"]
        }

        @Test("Every page with live traffic, at both sizes and in both themes, by mouse and by keyboard")
        func pages() throws {
            try HTTPMesh.run(Manifest.route("web", service: "web-v1"), Self.closed) { (mesh) throws in
                let load = try mesh.startHTTP(
                    "load",
                    [
                        "address": HTTPMesh.webV1, "port": 80, "seconds": 300, "threads": 1, "pause": 0.05,
                        "paths": [["path": "/", "pods": ["web-v1"]]],
                    ])
                // Some of its requests fail.
                let failing = try mesh.startHTTP(
                    "load",
                    [
                        "address": HTTPMesh.webV1, "port": 80, "seconds": 300, "threads": 1, "pause": 0.4,
                        "paths": [["path": "/broken?status=503&again=", "pods": ["web-v1"]]],
                    ])
                for _ in 0..<3 {
                    #expect(try mesh.sandbox.connect(HTTPMesh.webV2, 80, in: "client").result == "EPERM")
                }
                let url = "http://127.0.0.1:\(mesh.node.adminPort)"
                try eventually("the agent has seen requests", within: 20) {
                    let text = mesh.node.get("\(url)/v1/stat?by=service&window=60") ?? "{}"
                    return try JSON(text)["rows"].array.contains {
                        $0["name"].string == "web-v1" && ($0["rps"].double ?? 0) > 1
                    }
                }
                try rebind(mesh)
                let facts = try browse(
                    "walk", ["url": url, "service": "shop/web-v1", "denied": "shop/web-v2"], in: mesh.sandbox)
                load.stop()
                failing.stop()

                #expect(
                    facts["services"].array.compactMap(\.string).sorted() == ["shop/web", "shop/web-v1", "shop/web-v2"])
                #expect(facts["filtered"].array.compactMap(\.string).contains("shop/web-v1"))
                let endpoints = facts["endpoints"].array.compactMap { $0["Endpoint"].string }
                #expect(endpoints.contains { $0.hasPrefix("shop/web-v1") }, "\(endpoints)")
                #expect(facts["callers"].array.first?["Client"].string == "shop/client")
                #expect(facts["routes"].array.first?["Rule"].string == "HTTPRoute shop/web rule 0")
                let denial = facts["denials"].array.first
                #expect(denial?["From"].string == "shop/client")
                #expect(denial?["Refused by"].string == "rule shop/closed[0]")
                #expect(facts["policies"].array.contains { $0["Name"].string == "shop/closed" })
                #expect(
                    facts["identities"].array.contains {
                        $0["Identity"].string == "spiffe://cluster.local/ns/shop/sa/web"
                    })
                let nodes = facts["nodes"].array.compactMap(\.string)
                #expect(nodes.contains { $0.hasPrefix("service shop/web-v1, ") }, "\(nodes)")
                #expect(nodes.contains { $0.hasPrefix("workload shop/client, ") }, "\(nodes)")
                #expect(facts["maps"].array.count > 3)
                #expect((facts["bytes"].double ?? .infinity) < 300_000)
            }
        }

        /// Pages of other names cannot ask the admin port, whatever their name resolves to.
        private func rebind(_ mesh: HTTPMesh) throws {
            func status(_ host: String, _ path: String) throws -> String {
                try mesh.sandbox.run([
                    "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: \(host)",
                    "http://127.0.0.1:\(mesh.node.adminPort)\(path)",
                ]).output
            }
            for path in ["/", "/v1/status", "/dashboard/main.js"] {
                #expect(try status("localhost:\(mesh.node.adminPort)", path) == "200")
                #expect(try status("rebound.example", path) == "421")
            }
            #expect(try mesh.node.weft("status").succeeded)
        }

        @Test(
            "200 services: nothing overlaps, sorting and searching stay quick, and when the agent is away the page says so and goes on by itself"
        )
        func manyServices() throws {
            try Sandbox.run { sandbox in
                let count = 200
                let node = try Node(sandbox)
                for name in ["servers", "client"] { try sandbox.makeCgroup(name) }
                try node.start(Self.manyServices(count, sandbox))
                let address = sandbox.address(1)
                try sandbox.serve((0..<count).map { "service-\($0),tcp,\(address),\(9000 + $0)" }, in: "servers")
                let url = "http://127.0.0.1:\(node.adminPort)"
                let calls = try sandbox.run(
                    [
                        "bash", "-c",
                        "for i in $(seq \(count)); do exec 3<>/dev/tcp/127.96.30.$i/80 && read -r -u 3 && exec 3>&-; done",
                    ],
                    in: "client")
                #expect(calls.succeeded, "\(calls.errors)")
                try eventually("every service is there", within: 20) {
                    let text = node.get("\(url)/v1/stat?by=service&window=60") ?? "{}"
                    return try JSON(text)["rows"].array.count >= count
                }
                let agent = try #require(node.agent)
                let facts = try browse("many", ["url": url, "services": count, "pid": Int(agent.pid)], in: sandbox) {
                    browser in
                    try browser.waitForOutput("the agent is killed", within: 60) { $0.contains("away\n") }
                    try agent.wait(timeout: 10)
                    try node.start()
                    try browser.write(line: "back")
                }
                // A machine that compiles at the same time needs some of the time for itself.
                #expect((facts["sort"].double ?? .infinity) < 1500)
                #expect((facts["filter"].double ?? .infinity) < 1500)
                #expect((facts["longestTask"].double ?? .infinity) < 1000)
                #expect((facts["expand"].double ?? .infinity) < 4000)
                // The client and all of them; at first one node for each namespace.
                #expect(facts["expanded"].int ?? 0 > count)
                #expect((2..<40).contains(facts["collapsed"].int ?? 0))
                #expect(facts["overlaps"].int == 0)
                // service-17, -170 to -179.
                #expect(facts["found"].int == 11)
            }
        }

        /// Services in ten namespaces, each with a workload of its own behind it, and a client.
        private static func manyServices(_ count: Int, _ sandbox: Sandbox) -> String {
            var documents = [Manifest.workload("client", cgroup: sandbox.cgroupPath("client"))]
            for number in 0..<count {
                documents.append(
                    """
                    apiVersion: v1
                    kind: Service
                    metadata: { name: service-\(number), namespace: team-\(number % 10) }
                    spec:
                      clusterIP: "127.96.30.\(number + 1)"
                      ports: [{ name: main, port: 80, targetPort: \(9000 + number), protocol: TCP }]
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata:
                      name: service-\(number)
                      namespace: team-\(number % 10)
                      labels: { kubernetes.io/service-name: service-\(number) }
                    addressType: IPv4
                    ports: [{ name: main, port: \(9000 + number), protocol: TCP }]
                    endpoints: [{ addresses: ["\(sandbox.address(1))"], conditions: { ready: true } }]

                    """)
            }
            return documents.joined(separator: "---\n")
        }
    }
}
