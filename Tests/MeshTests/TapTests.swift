import Foundation
import Testing

extension NodeTests {
    @Suite("weft tap")
    struct TapTests {
        /// `weft tap` with these options, in the state that it sees what happens from now on.
        private func tap(_ mesh: HTTPMesh, _ options: String...) throws -> Command {
            let command = try mesh.sandbox.start(
                [Host.product("weft"), "tap"] + options, environment: mesh.node.cliEnvironment)
            try eventually("the tap is open") { try isOpen(mesh) }
            return command
        }

        /// Whether the programs are told to tell.
        private func isOpen(_ mesh: HTTPMesh) throws -> Bool {
            try until(mesh) > 0
        }

        /// Until when, in seconds of CLOCK_MONOTONIC; 0: they are not.
        private func until(_ mesh: HTTPMesh) throws -> Double {
            let pin = "\(mesh.node.pinDirectory)/maps/tap"
            let dump = try JSON(mesh.sandbox.check(["bpftool", "-j", "map", "dump", "pinned", pin]))
            return Double(dump[0]["formatted"]["value"]["until_ns"].int ?? 0) / 1e9
        }

        @Test("Requests of the proxy lane: who, whom, what, with which result; filters, the rate, and its end")
        func proxyLane() throws {
            try HTTPMesh.run(Manifest.route("web", service: "web")) { mesh in
                #expect(try !isOpen(mesh))
                let lines = try tap(mesh)
                let wide = try tap(mesh, "shop/web", "-o", "wide", "--method", "POST")
                let failing = try tap(mesh, "--status", "4xx", "-o", "json", "--from", "shop/client")
                let nobody = try tap(mesh, "--from", "shop/nobody")
                let few = try tap(mesh, "--max-rps", "1", "--path", "/many")
                _ = try mesh.send([
                    HTTPRequestRow(path: "/plain?x=1"), HTTPRequestRow(method: "POST", path: "/form", body: "hello"),
                    HTTPRequestRow(path: "/x?status=404"),
                ])
                var many = HTTPRequestRow(path: "/many")
                many.count = 20
                _ = try mesh.send([many])
                try lines.waitForOutput("the requests") { $0.contains(":path=/many") }
                let shown = lines.lines.map(String.init)
                let id = shown.first { $0.contains(":path=/plain") }?.split(separator: " ").first {
                    $0.hasPrefix("id=")
                }
                let plain = shown.filter { $0.contains(" \(id ?? "?") ") }
                #expect(plain.count == 2 && plain[0].hasPrefix("req id=") && plain[1].hasPrefix("rsp id="), "\(shown)")
                for line in plain {
                    #expect(line.contains(" proxy=out lane=proxy src=127."))
                    #expect(line.contains(" :method=GET :authority=") && line.contains(" :path=/plain?x=1"))
                }
                #expect(plain.last?.contains(" :status=200 latency=") == true && plain.last?.contains("µs") == true)

                try wide.waitForOutput("the POST") { $0.contains("rsp ") }
                #expect(wide.lines.count == 2 && wide.lines.allSatisfy { $0.contains(":path=/form") })
                #expect(wide.output.contains(" src_res=shop/client dst_res=shop/web-v"))
                #expect(wide.output.contains(" dst_svc=shop/web:80") && wide.output.contains(" request-length=5B"))
                try failing.waitForOutput("the failure") { $0.contains("response") }
                let records = try failing.lines.map { try JSON(String($0)) }
                #expect(records.map { $0["event"].string } == ["request", "response"])
                #expect(records.last?["status"].int == 404 && records.last?["path"].string == "/x?status=404")
                // All at once, one a second.
                try eventually("what was left out is said") { few.errors.contains("more requests in this second") }
                #expect(few.lines.count < 20)
                #expect(nobody.output.isEmpty)

                // The connections' own records have the same from the agent.
                let failed = try mesh.node.weftJSONLines("flows", "--http-status", "404")
                #expect(failed.count == 1 && failed.first?["http_class"].string == "4xx")
                #expect(failed.first?["http_requests"].int == 1 && failed.first?["lane"].string == "proxy")
                let good = try mesh.node.weftJSONLines("flows", "--http-status", "2xx", "--service", "shop/web")
                #expect(good.map { $0["http_requests"].int }.sorted { $0 ?? 0 < $1 ?? 0 } == [1, 1, 20])

                for command in [lines, wide, failing, nobody, few] { command.signal(SIGINT) }
                try eventually("it ends with its clients") { try !isOpen(mesh) }
            }
        }

        @Test(
            "Requests of the kernel lane, as the kernel reads them: beginning and end, joined; a killed agent's runs out"
        )
        func kernelLane() throws {
            try HTTPMesh.run { mesh in
                let lines = try tap(mesh, "--service", "shop/web", "-o", "json")
                let failing = try tap(mesh, "--status", "5xx", "--path", "/x", "-o", "json")
                _ = try mesh.send([
                    HTTPRequestRow(method: "POST", path: "/form?a=1", body: "hello"),
                    HTTPRequestRow(path: "/x?status=503"), HTTPRequestRow(path: "/y?status=503"),
                ])
                try lines.waitForOutput("the requests") { $0.split(separator: "\n").count >= 6 }
                let events = try lines.lines.map { try JSON(String($0)) }
                #expect(events.map { $0["event"].string } == (0..<6).map { $0 % 2 == 0 ? "request" : "response" })
                for pair in stride(from: 0, to: 6, by: 2) {
                    let (request, response) = (events[pair], events[pair + 1])
                    for key in ["id", "from", "to", "destination", "method", "path", "source_address"] {
                        #expect(request[key].string == response[key].string && request[key].string != nil, "\(key)")
                    }
                    #expect(request["lane"].string == "kernel" && request["from"].string == "shop/client")
                    #expect(request["to"].string == "shop/web:80" && request["status"].int == nil)
                }
                #expect(events[1]["method"].string == "POST" && events[1]["path"].string == "/form?a=1")
                #expect(events[1]["status"].int == 200 && events[1]["request_bytes"].int == 5)
                #expect(events[1]["outcome"].string == "complete" && events[1]["duration_us"].int ?? 0 > 0)
                #expect(events[3]["status"].int == 503)
                try failing.waitForOutput("the failure") { $0.split(separator: "\n").count >= 2 }
                #expect(
                    try failing.lines.map { try JSON(String($0))["path"].string } == ["/x?status=503", "/x?status=503"])

                for command in [lines, failing] { command.signal(SIGINT) }
                try eventually("it ends with its clients") { try !isOpen(mesh) }
                // One viewer: the programs themselves keep to its rate.
                let few = try tap(mesh, "--service", "shop/web", "--max-rps", "1")
                var many = HTTPRequestRow(path: "/many")
                many.count = 50
                _ = try mesh.send([many])
                try eventually("what was left out is said") { few.errors.contains("events were lost on their way") }
                #expect(few.lines.count < 20)
                #expect(try mesh.node.scrape().sum("weft_events_lost_total", ["source": "tap_kernel"]) > 0)

                try mesh.node.kill()
                try eventually("nobody is told any more", within: 10) {
                    try until(mesh) < ProcessInfo.processInfo.systemUptime
                }
            }
        }

        @Test("Whatever a client writes into its path stays in its line")
        func hostilePaths() throws {
            try HTTPMesh.run(Manifest.route("web", service: "web")) { mesh in
                let lines = try tap(mesh)
                let script = """
                    import socket
                    for path in (b'/a\\\\b', b'/\\xc2\\x9b31m', b'/x%1b%5b31m'):
                        s = socket.create_connection(('\(HTTPMesh.web)', 80), 5)
                        s.sendall(b'GET ' + path + b' HTTP/1.1\\r\\nhost: w\\r\\nconnection: close\\r\\n\\r\\n')
                        while s.recv(4096): pass
                    """
                let sent = try mesh.sandbox.run([Host.python, "-c", script], in: "client")
                #expect(sent.succeeded, "\(sent.errors)")
                try lines.waitForOutput("the last") { $0.contains("31m\n") || $0.contains("%1b") }
                for line in lines.lines {
                    #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) })
                    #expect(line.hasPrefix("req id=") || line.hasPrefix("rsp id="))
                }
            }
        }
    }
}
