import Foundation
import Testing

extension NodeTests {
    /// Software that nobody here wrote, through a captured connection, unchanged.
    @Suite("Real applications through the proxy")
    struct ApplicationTests {
        private static let route = RouteCase.route(
            """
              - matches: [{ path: { type: PathPrefix, value: /two } }]
                \(RouteCase.v2)
              - \(RouteCase.v1)
            """)

        @Test("curl: GET, HEAD, POST by length and in chunks, Expect, HTTP/1.0, and the service as the peer")
        func curl() throws {
            try HTTPMesh.run(Self.route) { mesh in
                func curl(_ arguments: String...) throws -> String {
                    let result = try mesh.sandbox.run(["curl", "-sS", "-m", "20"] + arguments, in: "client")
                    #expect(result.succeeded, "curl \(arguments): \(result.errors)")
                    return result.output
                }
                let url = "http://\(HTTPMesh.web)/"
                #expect(try JSON(curl(url))["pod"].string == "web-v1")
                #expect(try JSON(curl("-0", url))["pod"].string == "web-v1")
                #expect(try curl("-I", url).hasPrefix("HTTP/1.1 200 "))
                #expect(try curl("-o", "/dev/null", "-w", "%{remote_ip}:%{remote_port}", url) == "\(HTTPMesh.web):80")
                // Two requests on one connection.
                #expect(
                    try curl("-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", url, url + "two") == "1 0 "
                )

                let file = "\(mesh.sandbox.directory)/body"
                let body = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
                try body.write(to: URL(filePath: file))
                let digest = try mesh.sandbox.check(["sha256sum", file]).prefix(64)
                for extra in [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["-0"]] {
                    let answer = try mesh.sandbox.run(
                        ["curl", "-sS", "-m", "20", "--data-binary", "@\(file)", url] + extra, in: "client")
                    let echo = try JSON(answer.output)
                    #expect(echo["length"].int == body.count, "\(extra)")
                    #expect(echo["sha256"].string.map { $0[...] } == digest, "\(extra)")
                }
            }
        }

        @Test("wget, Python's http.client and requests, and a JVM")
        func clients() throws {
            try HTTPMesh.run(Self.route) { mesh in
                let wget = try mesh.sandbox.run(["wget", "-q", "-O", "-", "http://\(HTTPMesh.web)/two"], in: "client")
                #expect(try JSON(wget.output)["pod"].string == "web-v2")

                let script = """
                    import requests
                    session = requests.Session()
                    pods = [session.get("http://\(HTTPMesh.web)" + path).json()["pod"] for path in ("/", "/two") * 20]
                    assert pods == ["web-v1", "web-v2"] * 20, pods
                    answer = session.post("http://\(HTTPMesh.web)/form", data={"a": "b"}).json()
                    assert answer["length"] == 3, answer
                    """
                let requests = try mesh.sandbox.run([Host.python, "-c", script], in: "client")
                #expect(requests.succeeded, "\(requests.errors)")

                let source = "\(mesh.sandbox.directory)/Get.java"
                try """
                public class Get {
                    public static void main(String[] a) throws Exception {
                        for (String path : new String[] {"/", "/two"}) {
                            var connection = new java.net.URL("http://\(HTTPMesh.web)" + path).openConnection();
                            System.out.println(new String(connection.getInputStream().readAllBytes()));
                        }
                    }
                }
                """.write(toFile: source, atomically: false, encoding: .utf8)
                let java = try mesh.sandbox.run(["java", source], in: "client", timeout: 90)
                let pods = try java.output.split(separator: "\n").map { try JSON(String($0))["pod"].string }
                #expect(pods == ["web-v1", "web-v2"], "\(java.errors)")
            }
        }

        @Test("nginx and gunicorn as backends")
        func servers() throws {
            try HTTPMesh.run { mesh in
                let sandbox = mesh.sandbox
                let directory = sandbox.directory
                try """
                daemon off; worker_processes 1; pid \(directory)/nginx.pid; error_log stderr warn;
                events {}
                http { access_log off; client_body_temp_path \(directory); proxy_temp_path \(directory);
                  fastcgi_temp_path \(directory); uwsgi_temp_path \(directory); scgi_temp_path \(directory);
                  server { listen \(sandbox.address(3)):8080; location / { return 200 "nginx $request_uri"; } } }
                """.write(toFile: "\(directory)/nginx.conf", atomically: false, encoding: .utf8)
                _ = try sandbox.start(
                    ["nginx", "-p", directory, "-e", "stderr", "-c", "\(directory)/nginx.conf"], in: "v1")
                try """
                def app(environ, start_response):
                    body = environ["wsgi.input"].read()
                    start_response("200 OK", [("Content-Type", "text/plain")])
                    return [("gunicorn %s %d" % (environ["PATH_INFO"], len(body))).encode()]
                """.write(toFile: "\(directory)/wsgi.py", atomically: false, encoding: .utf8)
                _ = try sandbox.start(
                    [
                        "gunicorn", "--chdir", directory, "-k", "gthread", "--threads", "4", "-b",
                        "\(sandbox.address(4)):8080", "wsgi:app",
                    ], in: "v2")
                try mesh.apply(
                    Manifest.service("nginx", address: "127.96.0.23", endpoints: [sandbox.address(3)]),
                    Manifest.service("gunicorn", address: "127.96.0.24", endpoints: [sandbox.address(4)]),
                    RouteCase.route(
                        """
                          - matches: [{ path: { type: PathPrefix, value: /nginx } }]
                            backendRefs: [{ name: nginx, port: 80 }]
                          - matches: [{ path: { type: PathPrefix, value: /gunicorn } }]
                            backendRefs: [{ name: gunicorn, port: 80 }]
                        """))
                try eventually("both servers answer", within: 20) {
                    try mesh.get("/nginx/a").status == 200 && mesh.get("/gunicorn/b").status == 200
                }
                #expect(try mesh.get("/nginx/a?b").body == "nginx /nginx/a?b")
                let post = try mesh.send([HTTPRequestRow(method: "POST", path: "/gunicorn/c", body: "12345")])
                #expect(post.first?.body == "gunicorn /gunicorn/c 5")
            }
        }

        @Test("WebSocket: an echo of 200 messages in both directions")
        func webSocket() throws {
            try HTTPMesh.run { mesh in
                let server = """
                    import asyncio, websockets
                    async def echo(socket):
                        async for message in socket:
                            await socket.send(message)
                    async def main():
                        async with websockets.serve(echo, "\(mesh.sandbox.address(3))", 8080, max_size=None):
                            print("ready", flush=True)
                            await asyncio.Future()
                    asyncio.run(main())
                    """
                let running = try mesh.sandbox.start([Host.python, "-c", server], in: "v1")
                try running.waitForOutput("listening") { $0.contains("ready\n") }
                try mesh.apply(
                    Manifest.service("socket", address: "127.96.0.25", endpoints: [mesh.sandbox.address(3)]),
                    RouteCase.route("  - backendRefs: [{ name: socket, port: 80 }]"))
                let client = """
                    import asyncio, websockets
                    async def main():
                        async with websockets.connect("ws://\(HTTPMesh.web)/chat", max_size=None) as socket:
                            for n in range(200):
                                text = str(n) * (1 + n * 37 % 3000)
                                await socket.send(text)
                                assert await socket.recv() == text, n
                            await socket.send(b"x" * 3_000_000)
                            assert len(await socket.recv()) == 3_000_000
                    asyncio.run(main())
                    """
                let result = try mesh.sandbox.run([Host.python, "-c", client], in: "client")
                #expect(result.succeeded, "\(result.errors)")
            }
        }

        @Test("Server-sent events pass one by one")
        func events() throws {
            try HTTPMesh.run(Self.route) { mesh in
                let listener = try mesh.startHTTP(
                    "sse", ["address": HTTPMesh.web, "port": 80, "path": "/stream?events=3"])
                for number in 0..<3 {
                    // The next event is not sent before this one was seen.
                    try listener.waitForOutput("event \(number)") { $0.contains("data: \(number)") }
                    if number < 2 { #expect(try mesh.get("/release").status == 200) }
                }
                #expect(try listener.wait(timeout: 10).succeeded)
            }
        }

        @Test("A gigabyte each way, whole")
        func gigabyte() throws {
            try HTTPMesh.run(Self.route) { mesh in
                let size = 1 << 30
                let block =
                    "python3 -c 'import sys\\nfor n in range(4096): sys.stdout.buffer.write(bytes(range(256))*1024)'"
                let expected = try mesh.sandbox.check([
                    "bash", "-c", "\(block.replacingOccurrences(of: "\\n", with: "\n")) | sha256sum",
                ])
                .prefix(64)
                for query in ["bytes=\(size)", "bytes=\(size)&chunked=1"] {
                    let download = try mesh.sandbox.run(
                        ["bash", "-c", "curl -sS -m 120 'http://\(HTTPMesh.web)/big?\(query)' | sha256sum"],
                        in: "client", timeout: 150)
                    #expect(download.output.prefix(64) == expected, "\(query)")
                }
                let upload = try mesh.sandbox.run(
                    [
                        "bash", "-c",
                        "\(block.replacingOccurrences(of: "\\n", with: "\n")) | curl -sS -m 120 -T - http://\(HTTPMesh.web)/up",
                    ], in: "client", timeout: 150)
                let echo = try JSON(upload.output)
                #expect(echo["length"].int == size)
                #expect(echo["sha256"].string.map { $0[...] } == expected)
            }
        }

        @Test("10,000 idle connections, each one used again")
        func idleConnections() throws {
            try HTTPMesh.run { mesh in
                let count = 10_000
                try """
                daemon off; worker_processes 1; pid \(mesh.sandbox.directory)/nginx.pid; error_log stderr warn;
                events { worker_connections 12000; }
                http { access_log off; client_body_temp_path \(mesh.sandbox.directory);
                  proxy_temp_path \(mesh.sandbox.directory); fastcgi_temp_path \(mesh.sandbox.directory);
                  uwsgi_temp_path \(mesh.sandbox.directory); scgi_temp_path \(mesh.sandbox.directory);
                  server { listen \(mesh.sandbox.address(3)):8080; location / { return 200 "idle"; } } }
                """.write(toFile: "\(mesh.sandbox.directory)/nginx.conf", atomically: false, encoding: .utf8)
                let directory = mesh.sandbox.directory
                _ = try mesh.sandbox.start(
                    ["nginx", "-p", directory, "-e", "stderr", "-c", "\(directory)/nginx.conf"], in: "v1")
                try mesh.apply(
                    Manifest.service("nginx", address: "127.96.0.23", endpoints: [mesh.sandbox.address(3)]),
                    RouteCase.route("  - backendRefs: [{ name: nginx, port: 80 }]"))
                try eventually("nginx answers") { try mesh.get("/").status == 200 }

                let before = try mesh.residentKiB()
                let holder = try mesh.startHTTP(
                    "idle", ["address": HTTPMesh.web, "port": 80, "count": count])
                try holder.waitForOutput("the connections are open", within: 90) { $0.contains("\"open\"") }
                let grown = try mesh.residentKiB() - before
                #expect(Double(grown) / Double(count) < 2, "\(grown) KiB for \(count) connections")
                try holder.write(line: "again")
                let result = try holder.wait(timeout: 90)
                #expect(result.output.contains("\"answered\", \"count\": \(count)"), "\(result.output)\(result.errors)")
            }
        }
    }
}
