import CLinux
import Foundation
import Glibc
import Testing

@testable import Proxy

/// Key sets from servers: Python's for HTTP and TLS, and some that misbehave.
@Suite(.serialized) struct KeyFetchTests {
    private func get(_ url: String, within milliseconds: UInt64 = 5_000) throws -> KeyFetch.Answer {
        let wake = eventfd(0, CInt(EFD_CLOEXEC))
        defer { close(wake) }
        return try KeyFetch.get(
            try #require(HTTPURL(url)), deadline: MonotonicClock.now() + milliseconds * 1_000_000, wake: wake)
    }

    private func problem(_ url: String, within milliseconds: UInt64 = 5_000) -> String {
        do {
            _ = try get(url, within: milliseconds)
            return ""
        } catch {
            return "\(error)"
        }
    }

    @Test func urls() {
        #expect(HTTPURL("https://a.test/keys?x=1#f")?.path == "/keys?x=1")
        #expect(HTTPURL("http://a.test:8080")?.authority == "a.test:8080")
        #expect(HTTPURL("HTTPS://[::1]:8443/")?.host == "::1")
        #expect(HTTPURL("https://[::1]:8443/")?.authority == "[::1]:8443")
        for bad in [
            "", "a.test", "ftp://a/", "http://", "http://u@a/", "http://a:0/", "http://a:99999/", "http://a:x/",
            "http://a b/", "http://a/\r\nX: y", "http://::1/", "https://[::1/", "http:///keys", "http://a\\b/",
        ] {
            #expect(HTTPURL(bad) == nil, "\(bad)")
        }
    }

    @Test func answersOfEveryFraming() throws {
        let set = TestIssuer().keySet
        let answers = [
            "HTTP/1.1 200 OK\r\nCache-Control: public, Max-Age=30\r\nContent-Length: \(set.utf8.count)\r\n\r\n\(set)",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncache-control: max-age=30\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "\(String(set.utf8.count, radix: 16))\r\n\(set)\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nCache-Control: max-age=30\r\n\r\n\(set)",
        ]
        for answer in answers {
            let server = TestBackend { socket, _ in
                guard let request = readRequest(socket), request.hasPrefix("GET /keys?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
                else { return }
                socket.send(answer)
            }
            let fetched = try get("http://127.0.0.1:\(server.port)/keys?a=b")
            #expect(fetched.body == Array(set.utf8))
            #expect(fetched.maximumAge == 30)
        }
    }

    @Test(arguments: [
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "302"),
        ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "500"), ("hello\r\n\r\n", "no HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", "not complete"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", "more than"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        ("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "x", count: 400_000), "more than"), ("", "not complete"),
    ]) func saysWhatIsWrong(_ answer: String, _ text: String) {
        let server = TestBackend { socket, _ in
            _ = readRequest(socket)
            socket.send(answer)
        }
        let said = problem("http://127.0.0.1:\(server.port)/")
        #expect(said.contains(text), "\(said)")
    }

    @Test func nothingIsWaitedForForEver() {
        let silent = TestBackend { socket, _ in
            _ = readRequest(socket)
            sleep(3)
        }
        let start = MonotonicClock.now()
        #expect(problem("http://127.0.0.1:\(silent.port)/", within: 200).contains("timed out"))
        #expect(problem("https://127.0.0.1:\(silent.port)/", within: 200) != "")
        #expect(MonotonicClock.now() - start < 2_000_000_000)
        let (descriptor, port) = listen()
        close(descriptor)
        #expect(problem("http://127.0.0.1:\(port)/").contains("cannot connect"))
        #expect(problem("http://no-such-name.invalid/").contains("cannot resolve"))
    }

    /// Servers of TLS are believed by the system's roots and the name that was asked for.
    @Test func certificatesAreVerified() throws {
        let server = try KeyServer()
        defer { server.stop() }
        #expect(problem("https://localhost:\(server.port)/keys.json").contains("is not accepted"))
        unsafe setenv("SSL_CERT_FILE", server.certificate, 1)
        defer { _ = unsafe unsetenv("SSL_CERT_FILE") }
        let fetched = try get("https://localhost:\(server.port)/keys.json")
        #expect(try KeySet(json: fetched.body).keys.count == 1)
        // The certificate is for localhost and nobody else.
        #expect(problem("https://127.0.0.1:\(server.port)/keys.json").contains("is not accepted"))
        #expect(problem("http://localhost:\(server.port)/keys.json", within: 1_000) != "")
    }
}

/// Python's HTTP server with TLS and a certificate of its own.
private final class KeyServer {
    let port: UInt16
    let certificate: String
    private let directory: URL
    private let process = Process()

    private static let script = """
        import http.server, ssl, sys
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("cert.pem", "key.pem")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print(server.server_address[1], flush=True)
        server.serve_forever()
        """

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "weft-keys-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        certificate = directory.appending(path: "cert.pem").path
        try Data(TestIssuer().keySet.utf8).write(to: directory.appending(path: "keys.json"))
        let openssl = Process()
        openssl.executableURL = URL(filePath: "/usr/bin/openssl")
        openssl.currentDirectoryURL = directory
        openssl.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem",
            "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        ]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.currentDirectoryURL = directory
        process.arguments = ["-c", Self.script]
        process.standardError = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        port = try #require(UInt16(line.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    func stop() {
        process.terminate()
        try? FileManager.default.removeItem(at: directory)
    }
}
