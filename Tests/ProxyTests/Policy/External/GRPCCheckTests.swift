import Foundation
import Mesh
import Testing

@testable import Proxy

/// `envoy.service.auth.v3.Authorization/Check`, with an authorizer of grpcio that has Envoy's messages.
@Suite(.serialized) struct GRPCCheckTests {
    private static let server = CheckServer()

    private func test(timeout: UInt32 = 5_000, failsOpen: Bool = false, isTraced: Bool = false) throws -> CheckProxy {
        try CheckProxy(.grpc, port: Self.server.port, timeout: timeout, failsOpen: failsOpen, isTraced: isTraced)
    }

    @Test func asksWithTheHeadAndPassesTheRequestOn() throws {
        let test = try test()
        let answer = test.send(
            "/allow?a=b", ["X-Secret: s", "x-user: forged", "X-List: 1", "X-Twice: a", "x-twice: b"], method: "POST",
            body: "the body")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK"))
        #expect(answer.components(until: "\r\n\r\n").contains("x-checked: yes"))
        for text in ["x-user: alice\r\n", "X-List: 1\r\n", "x-list: 2\r\n"] {
            #expect(answer.contains(text), "\(text)")
        }
        #expect(!answer.contains("x-user: forged"))
        #expect(!answer.contains("X-Secret"))
        #expect(answer.hasSuffix("the body"))
        let line = try #require(answer.split(separator: "\r\n").first { $0.hasPrefix("x-seen: ") })
        let seen = try #require(JSONSerialization.jsonObject(with: Data(line.dropFirst(8).utf8)) as? [String: Any])
        #expect(seen["method"] as? String == "POST")
        #expect(seen["path"] as? String == "/allow?a=b")
        #expect(seen["host"] as? String == "web")
        #expect(seen["scheme"] as? String == "http")
        #expect(seen["protocol"] as? String == "HTTP/1.1")
        #expect(seen["source"] as? String == "127.0.0.1")
        #expect(seen["source_port"] as? Bool == true)
        #expect(seen["destination"] as? String == "127.0.0.1")
        let headers = try #require(seen["headers"] as? [String: String])
        #expect(headers["x-secret"] == "s" && headers["x-twice"] == "a,b" && headers["host"] == "web")
        #expect(test.counts?.allowed == 1)
    }

    @Test(arguments: [true, false])
    func theQuestionBelongsToTheTrace(isTraced: Bool) throws {
        let said = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let answer = try test(isTraced: isTraced).send("/allow", ["traceparent: \(said)"])
        let lines = answer.split(separator: "\r\n")
        let line = try #require(lines.first { $0.hasPrefix("x-seen: ") })
        let seen = try #require(JSONSerialization.jsonObject(with: Data(line.dropFirst(8).utf8)) as? [String: Any])
        let told = lines.first { $0.hasPrefix("traceparent: ") }.map { String($0.dropFirst(13)) }
        #expect((told == said) == !isTraced)
        #expect(seen["trace"] as? String == (isTraced ? told : nil))
    }

    @Test func refusalsReachTheClient() throws {
        let test = try test()
        let answer = test.send("/deny")
        #expect(answer.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
        #expect(answer.contains("www-authenticate: Custom\r\n"))
        #expect(answer.contains("content-length: 12\r\n"))
        #expect(!answer.contains("999"))
        #expect(!answer.contains("x-why"))
        #expect(answer.hasSuffix("\r\n\r\nwho are you?"))
        #expect(test.backend.connections == 0)
        // A client of gRPC gets what it understands.
        let call = test.send("/deny", ["Content-Type: application/grpc"], method: "POST")
        #expect(call.hasPrefix("HTTP/1.1 200"))
        #expect(call.contains("grpc-status: 16\r\n"))
        #expect(test.counts?.denied == 2)
    }

    /// A response without a status is OK, as in Envoy: 0 is what it has by default.
    @Test func aResponseWithoutAnythingAllows() throws {
        #expect(try test().send("/empty").hasPrefix("HTTP/1.1 200"))
    }

    @Test func errorsAndSilenceRefuse() throws {
        let test = try test(timeout: 300)
        #expect(test.send("/abort").hasPrefix("HTTP/1.1 403"))
        #expect(test.counts?.errors == 1)
        #expect(test.send("/slow").hasPrefix("HTTP/1.1 403"))
        #expect(test.counts?.timeouts == 1)
        // The connection is good for others meanwhile.
        #expect(test.send("/allow").hasPrefix("HTTP/1.1 200"))
        #expect(test.backend.connections == 1)
        let open = try self.test(timeout: 300, failsOpen: true)
        #expect(open.send("/abort").hasPrefix("HTTP/1.1 200"))
        #expect(open.send("/slow").hasPrefix("HTTP/1.1 200"))
    }

    @Test func whatIsNoGRPCRefuses() throws {
        let garbage = TestBackend { socket, _ in
            _ = socket.receive()
            socket.send("HTTP/1.1 200 OK\r\n\r\n")
        }
        let test = try CheckProxy(.grpc, port: garbage.port)
        #expect(test.send().hasPrefix("HTTP/1.1 403"))
        #expect(test.counts?.errors == 1)
        let (descriptor, port) = listen()
        close(descriptor)
        let closed = try CheckProxy(.grpc, port: port)
        #expect(closed.send().hasPrefix("HTTP/1.1 403"))
        #expect(closed.counts?.errors == 1)
    }

    @Test func manyAtOnce() throws {
        let test = try test()
        let clients = (0..<50).map { _ in test.proxy.connect() }
        for client in clients { client.send("GET /allow HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n") }
        for client in clients { #expect(client.receiveAll().hasPrefix("HTTP/1.1 200")) }
        #expect(test.counts?.allowed == 50)
    }
}

/// The authorizer as a process.
private final class CheckServer: @unchecked Sendable {
    let port: UInt16
    private let process = Process()
    private let input = Pipe()

    init() {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache"
        let packages = environment["WEFT_TEST_PYTHON"] ?? "\(cache)/weft/python"
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        // Without the system's own packages, which are of other versions.
        process.arguments = ["-S", tests.appending(path: "Support/ExternalAuthorization/check_server.py").path]
        process.environment = environment.merging(["PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"]) { $1 }
        process.standardInput = input
        let output = Pipe()
        process.standardOutput = output
        guard (try? process.run()) != nil else {
            port = 0
            return
        }
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        // Without the packages that tools/test installs there is no server, and port 0 cannot be reached.
        port = UInt16(line.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }
}
