import Foundation
import Testing

extension NodeTests {
    /// Traces of requests in the proxy lane, as a collector gets them.
    @Suite("Traces of requests")
    struct TraceTests {
        private static let names = ["a", "b", "c"]

        private static func address(_ name: String) -> String {
            "127.96.0.\(30 + (names.firstIndex(of: name) ?? 0))"
        }

        /// Three services in the proxy lane that call each other in a row, a client, and a collector that gives these
        /// answers.
        private func run(
            answers: [String] = ["200"], flags: [String] = [],
            _ body: (Sandbox, Node, _ spans: () throws -> [Span], _ requests: () throws -> [JSON]) throws -> Void
        ) throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                var documents: [String] = []
                for name in Self.names + ["client"] { try sandbox.makeCgroup(name) }
                for (number, name) in Self.names.enumerated() {
                    let next = number + 1 < Self.names.count ? ["http://\(Self.address(Self.names[number + 1]))"] : []
                    let server = try sandbox.start(
                        [Host.python, Host.script("chain.py"), name, sandbox.address(number + 1), "8080"] + next,
                        in: name)
                    try server.waitForOutput("listening") { $0.contains("ready\n") }
                    documents += [
                        Manifest.selecting(name, address: Self.address(name), app: name),
                        Manifest.workload(
                            name, cgroup: sandbox.cgroupPath(name), addresses: [sandbox.address(number + 1)],
                            port: 8080),
                        Manifest.route(name, service: name),
                    ]
                }
                documents.append(Manifest.workload("client", cgroup: sandbox.cgroupPath("client")))
                let port = try Host.freePort()
                let sink = try sandbox.start(
                    [Host.python, Host.script("otlp_sink.py"), "127.0.0.1", "\(port)"] + answers,
                    environment: ["PYTHONPATH": try Host.otlpPackages()])
                try sink.waitForOutput("the collector listens") { $0.contains("ready\n") }
                try node.start(
                    documents.joined(separator: "---\n"), ["--otlp-endpoint", "http://127.0.0.1:\(port)"] + flags)
                func requests() throws -> [JSON] {
                    #expect(!sink.errors.contains("Error"), "\(sink.errors)")
                    return try sink.output.split(separator: "\n").dropFirst().map { try JSON(String($0)) }
                }
                try body(
                    sandbox, node,
                    {
                        try requests().filter { $0["status"].int == 200 }.flatMap { $0["records"].array.map(Span.init) }
                    }, requests)
            }
        }

        /// What the services have answered: the fields that a, b and c got.
        private func call(_ sandbox: Sandbox, _ path: String = "/x", _ options: [String] = []) throws -> [JSON] {
            let result = try sandbox.run(
                ["curl", "-sS", "--max-time", "10"] + options + ["http://\(Self.address("a"))\(path)"], in: "client")
            #expect(result.succeeded, "\(result.errors)")
            let answer = try JSON(result.output)
            return [answer, answer["next"], answer["next"]["next"]].map { $0["headers"] }
        }

        /// The spans of one call from the client over a and b to c: each server's within its client's, and each client's
        /// within the server's of whoever calls.
        private func check(_ spans: [Span], within parent: String, _ trace: String? = nil) {
            var last = parent
            var caller = "client"
            for name in Self.names {
                let client = spans.first { $0.kind == 3 && $0.service == caller }
                let server = spans.first { $0.kind == 2 && $0.service == name }
                #expect(client?.parent == last && server?.parent == client?.id, "\(name): \(spans)")
                #expect(client?.attributes["peer.service"]?.string == name)
                #expect(server?.attributes["peer.service"]?.string == caller)
                last = server?.id ?? ""
                caller = name
            }
            #expect(spans.count == 6)
            #expect(Set(spans.map(\.trace)).count == 1 && trace ?? spans.first?.trace == spans.first?.trace)
        }

        @Test("A call over three services is one trace, whose spans are where they belong")
        func chain() throws {
            try run(flags: ["--trace-sampling", "100%"]) { sandbox, node, spans, requests in
                let got = try call(sandbox, "/x?secret=1", ["-A", "test/1"])
                try eventually("the spans have come") { try spans().count >= 6 }
                let found = try spans()
                check(found, within: "")
                // Applications are told the spans that are exported for them.
                for (name, headers) in zip(Self.names, got) {
                    let server = found.first { $0.kind == 2 && $0.service == name }
                    #expect(
                        headers["traceparent"].string == "00-\(server?.trace ?? "")-\(server?.id ?? "")-01", "\(name)")
                    let request = headers["x-request-id"].string
                    #expect(request?.count == 36 && request == got[0]["x-request-id"].string)
                    #expect(server?.attributes["http.request.header.x-request-id"]?[0].string == request)
                }
                let server = try #require(found.first { $0.kind == 2 && $0.service == "a" })
                let expected: [String: String] = [
                    "http.request.method": "GET", "url.path": "/x", "url.scheme": "http",
                    "server.address": Self.address("a"), "network.protocol.name": "http",
                    "network.protocol.version": "1.1", "user_agent.original": "test/1", "weft.lane": "proxy",
                    "weft.service": "shop/a:80", "weft.source.workload": "shop/client",
                    "weft.source.principal": "spiffe://cluster.local/ns/shop/sa/client",
                    "weft.destination.workload": "shop/a",
                    "weft.destination.principal": "spiffe://cluster.local/ns/shop/sa/a",
                    "weft.response_code_details": "via_upstream", "weft.route": "HTTPRoute shop/a rule 0",
                ]
                for (name, text) in expected { #expect(server.attributes[name]?.string == text, "\(name)") }
                #expect(server.attributes["http.response.status_code"]?.int == 200)
                #expect(!server.json.contains("secret"))
                #expect(server.name == "GET a.shop.svc.cluster.local")
                #expect(server.status == 0 && server.flags & 1 == 1)
                #expect(server.resource["service.name"]?.string == "a")
                #expect(server.resource["service.namespace"]?.string == "shop")
                #expect(server.resource["host.name"]?.string == "node-a")
                #expect(server.start > 0 && server.end > server.start && server.end - server.start < 10_000_000_000)
                let request = try #require(try requests().first)
                #expect(request["path"].string == "/v1/traces")
                #expect(request["headers"]["content-type"].string == "application/x-protobuf")
                // A trace that came with the call, in each format.
                let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
                let span = "00f067aa0ba902b7"
                for fields in [
                    ["traceparent: 00-\(trace)-\(span)-01", "tracestate: congo=t61rcWkgMzE"],
                    ["b3: \(trace)-\(span)-1"],
                    ["x-b3-traceid: \(trace)", "x-b3-spanid: \(span)", "x-b3-sampled: 1"],
                ] {
                    let before = try spans().count
                    let options = fields.flatMap { ["-H", $0] }
                    let headers = try call(sandbox, "/x", options)
                    try eventually("the spans have come") { try spans().count >= before + 6 }
                    check(Array(try spans()[before...]), within: span, trace)
                    #expect(headers[2]["tracestate"].string == (fields.count == 2 ? "congo=t61rcWkgMzE" : nil))
                    #expect((headers[2]["traceparent"].string != nil) == (fields.count == 2))
                    #expect((headers[2]["b3"].string != nil) == (fields.count == 1))
                    #expect((headers[2]["x-b3-traceid"].string == trace) == (fields.count == 3))
                }
            }
        }

        @Test("Failures have spans whatever was drawn, and a collector that is busy gets them later")
        func failures() throws {
            try run(answers: ["503", "429:2", "partial:2", "200"], flags: ["--trace-sampling", "0%"]) {
                sandbox, node, spans, requests in
                for _ in 0..<3 { #expect(try call(sandbox)[2]["traceparent"].string?.hasSuffix("-00") ?? false) }
                #expect(try call(sandbox, "/broken").count == 3)
                try eventually("the collector has taken the spans", within: 15) { try spans().count >= 6 }
                let found = try spans()
                check(found, within: "")
                #expect(found.allSatisfy { $0.flags & 1 == 0 && $0.status == 2 })
                #expect(found.allSatisfy { $0.attributes["error.type"]?.string == "503" })
                let seen = try requests()
                #expect(seen.map { $0["status"].int } == [503, 429, 200])
                // It has asked for two seconds.
                let times = seen.map { $0["time"].double ?? 0 }
                #expect(times[1] - times[0] >= 0.4 && times[2] - times[1] >= 1.9, "\(times)")
                try node.waitForMetrics("the refused spans are counted") {
                    $0.sum("weft_events_lost_total", ["source": "otlp_traces"]) == 2
                }
                #expect(node.agentLog.contains("no more today"))
                // One that asks for a trace gets it.
                _ = try call(sandbox, "/x", ["-H", "x-envoy-force-trace: 1"])
                try eventually("the forced spans have come") { try spans().count >= 12 }
                check(Array(try spans()[6...]), within: "")
            }
        }

        @Test("Requests do not wait for a collector that is slow or gone, and what it does not get is counted")
        func lost() throws {
            try run(
                answers: ["slow:60000", "slow:60000", "400"],
                flags: ["--trace-sampling", "100%", "--otlp-timeout", "0.5"]
            ) { sandbox, node, _, _ in
                let load = try sandbox.run(
                    ["wrk", "-t1", "-c2", "-d2", "http://\(Self.address("c"))/x"], in: "client", timeout: 30)
                #expect(load.succeeded && !load.output.contains("Socket errors"), "\(load.output)")
                try node.waitForMetrics("every span is counted that the collector has not got", within: 20) {
                    let requests = $0.sum("istio_requests_total", ["reporter": "source", "weft_lane": "proxy"])
                    return requests > 10
                        && $0.sum("weft_events_lost_total", ["source": "otlp_traces"]) == 2 * requests
                }
                #expect(node.agentLog.contains("timed out") && node.agentLog.contains("answers with 400"))
                try node.terminate()
            }
        }
    }
}

/// A span as the collector got it.
private struct Span {
    let trace: String
    let id: String
    let parent: String
    let name: String
    let kind: Int
    let start: Int
    let end: Int
    let status: Int
    let flags: Int
    let attributes: [String: JSON]
    let resource: [String: JSON]
    let json: String

    init(_ value: JSON) {
        trace = value["trace"].string ?? ""
        id = value["span"].string ?? ""
        parent = value["parent"].string ?? ""
        name = value["name"].string ?? ""
        kind = value["kind"].int ?? 0
        start = value["start"].int ?? 0
        end = value["end"].int ?? 0
        status = value["status"].int ?? 0
        flags = value["flags"].int ?? 0
        attributes = value["attributes"].object
        resource = value["resource"].object
        json = "\(value)"
    }

    var service: String { resource["service.name"]?.string ?? "" }
}
