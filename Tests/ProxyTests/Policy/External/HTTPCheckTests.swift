import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// Envoy's ext_authz over HTTP.
@Suite struct HTTPCheckTests {
    /// What authorizers were asked.
    final class Questions: Sendable {
        private let all = Mutex<[String]>([])
        func add(_ question: String) { all.withLock { $0.append(question) } }
        var asked: [String] { all.withLock { $0 } }
    }

    private func api(_ change: (inout ExternalAuthorizer.HTTPCheck) -> Void = { _ in }) -> ExternalAuthorizer.API {
        var check = ExternalAuthorizer.HTTPCheck()
        change(&check)
        return .http(check)
    }

    /// The authorizer's spans are below that of the request, as what the backend is told.
    @Test(arguments: [true, false])
    func theQuestionBelongsToTheTrace(isOPA: Bool) throws {
        let questions = Questions()
        let authorizer = TestBackend(answering: { question in
            questions.add(question)
            return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"result\":true}"
        })
        let test = try CheckProxy(
            isOPA ? .opa(path: "/v1/data/a") : api { $0.requestHeaders = [.prefix("trace"), .exact("b3")] },
            port: authorizer.port, isTraced: true)
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        let said = "00-\(trace)-00f067aa0ba902b7-01"
        let answer = test.send("/", ["Traceparent: \(said)", "b3: \(trace)-00f067aa0ba902b7-1", "tracestate: a=1"])
        func lines(_ text: String) -> [String] {
            text.split(separator: "\r\n").map { $0.lowercased() }.filter {
                $0.hasPrefix("traceparent: ") || $0.hasPrefix("b3: ")
            }.sorted()
        }
        let question = try #require(questions.asked.first)
        let head = question.components(until: "\r\n\r\n")
        let told = lines(head)
        #expect(told.count == 2 && told[1].hasPrefix("traceparent: 00-\(trace)-") && !told[1].contains(said))
        #expect(told == lines(answer), "\(answer)")
        #expect(head.contains("tracestate: a=1") == !isOPA)
    }

    @Test func asksWithTheHeadAndPassesTheRequestOn() throws {
        let questions = Questions()
        let authorizer = TestBackend(answering: { question in
            questions.add(question)
            return "HTTP/1.1 200 OK\r\nX-User: alice\r\nX-Other: 1\r\nSet-Cookie: a=1\r\nContent-Length: 4\r\n\r\nfine"
        })
        let test = try CheckProxy(
            api {
                $0.pathPrefix = "/check"
                $0.requestHeaders = [.exact("X-Tenant"), .prefix("x-trace-")]
                $0.additionalHeaders = ["x-from": "weft"]
                $0.upstreamOnAllow = [.exact("x-user")]
                $0.downstreamOnAllow = [.exact("set-cookie")]
            }, port: authorizer.port)
        let answer = test.send(
            "/a/b?c=d",
            [
                "Authorization: Bearer t", "x-tenant: shop", "X-Trace-Id: 7", "X-Secret: s", "x-user: forged",
                "X-From: forged", "Upgrade-Insecure: 1",
            ], method: "POST", body: "the body")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK"))
        // To the backend: the authorizer's word in place of the client's, and the body.
        #expect(answer.contains("X-User: alice\r\n"))
        #expect(!answer.contains("x-user: forged"))
        #expect(!answer.contains("X-Other"))
        #expect(answer.hasSuffix("the body"))
        // To the client.
        let head = answer.components(until: "\r\n\r\n")
        #expect(head.contains("Set-Cookie: a=1"))
        let question = try #require(questions.asked.first)
        #expect(question.hasPrefix("POST /check/a/b?c=d HTTP/1.1\r\nhost: web\r\n"))
        for line in ["Authorization: Bearer t", "x-tenant: shop", "X-Trace-Id: 7", "x-from: weft"] {
            #expect(question.contains(line + "\r\n"), "\(line)")
        }
        for text in ["X-Secret", "x-user", "forged", "the body", "Upgrade-Insecure"] {
            #expect(!question.contains(text), "\(text)")
        }
        #expect(test.counts == AuthorizerReading(provider: "checker", allowed: 1, denied: 0, errors: 0, timeouts: 0))
    }

    @Test func refusalsReachTheClientAsTheyAre() throws {
        let authorizer = TestBackend(answering: { question in
            if question.hasPrefix("HEAD") { return "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n" }
            return "HTTP/1.1 302 Found\r\nLocation: /login\r\nX-Why: token\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "3\r\nsee\r\n6\r\n login\r\n0\r\n\r\n"
        })
        let test = try CheckProxy(api(), port: authorizer.port)
        for _ in 0..<3 {
            let answer = test.send()
            #expect(answer.hasPrefix("HTTP/1.1 302 Found\r\n"))
            #expect(answer.contains("x-weft-reason: ext_authz_denied\r\n"))
            #expect(answer.contains("Location: /login\r\nX-Why: token\r\n"))
            #expect(!answer.lowercased().contains("chunked"))
            #expect(answer.contains("content-length: 9\r\n"))
            #expect(answer.hasSuffix("\r\n\r\nsee login"))
        }
        #expect(test.send(method: "HEAD").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
        #expect(test.backend.connections == 0)
        // Checks go over connections that stay.
        #expect(authorizer.connections <= 2)
        #expect(test.counts?.denied == 4)
        #expect(TestProxy.eventually { test.proxy.requests(status: 302).count == 3 })
        #expect(test.proxy.requests(status: 302).flags == .unauthorized)
    }

    @Test func onlyChosenFieldsOfARefusalReachTheClient() throws {
        let authorizer = TestBackend(answering: { _ in
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n"
        })
        let test = try CheckProxy(api { $0.downstreamOnDeny = [.exact("x-a")] }, port: authorizer.port)
        let answer = test.send()
        #expect(answer.hasPrefix("HTTP/1.1 401"))
        #expect(answer.contains("WWW-Authenticate: Basic\r\nX-A: 1\r\n"))
        #expect(!answer.contains("X-B"))
    }

    @Test func onlyRequestsOfTheRuleAreAskedAbout() throws {
        let authorizer = TestBackend(answering: { _ in "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" })
        let test = try CheckProxy(api(), port: authorizer.port, paths: ["/admin"])
        #expect(test.send("/open").hasPrefix("HTTP/1.1 200"))
        #expect(test.send("/admin").hasPrefix("HTTP/1.1 403"))
        #expect(test.counts?.denied == 1)
    }

    struct Failure: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let answer: String
    }

    @Test(arguments: [
        Failure(testDescription: "an error of the server", answer: "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        Failure(testDescription: "no HTTP", answer: "hello\r\n\r\n"),
        Failure(
            testDescription: "cut off", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n12"),
        Failure(
            testDescription: "too long",
            answer: "HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\n" + String(repeating: "x", count: 100_000)),
        Failure(testDescription: "nothing", answer: "\r\nConnection: close"),
    ]) func whatIsNoAnswerRefuses(_ failure: Failure) throws {
        let authorizer = TestBackend { socket, _ in
            _ = readRequest(socket)
            socket.send(failure.answer)
        }
        let closed = try CheckProxy(api(), port: authorizer.port, statusOnError: 503)
        let answer = closed.send()
        #expect(answer.hasPrefix("HTTP/1.1 503"))
        #expect(answer.contains("x-weft-reason: ext_authz_error\r\n"))
        #expect(closed.backend.connections == 0)
        let open = try CheckProxy(api(), port: authorizer.port, failsOpen: true)
        #expect(open.send().hasPrefix("HTTP/1.1 200"))
        #expect(open.counts?.errors == 1)
    }

    @Test func authorizersThatCannotBeReachedRefuse() throws {
        let (descriptor, port) = listen()
        close(descriptor)
        for port in [port, nil] {
            let test = try CheckProxy(api(), port: port)
            #expect(test.send().hasPrefix("HTTP/1.1 403"))
            #expect(test.counts?.errors == 1)
            #expect(try CheckProxy(api(), port: port, failsOpen: true).send().hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func slowAuthorizersRefuse() throws {
        let authorizer = TestBackend { socket, _ in
            _ = readRequest(socket)
            sleep(3)
        }
        let start = MonotonicClock.now()
        let test = try CheckProxy(api(), port: authorizer.port, timeout: 200)
        #expect(test.send().hasPrefix("HTTP/1.1 403"))
        #expect(MonotonicClock.now() - start < 2_000_000_000)
        #expect(test.counts?.timeouts == 1)
        #expect(
            try CheckProxy(api(), port: authorizer.port, timeout: 200, failsOpen: true).send().hasPrefix("HTTP/1.1 200")
        )
    }

    /// The client's connection is served again after a check, and clients that go away while one is under way do no harm.
    @Test func clientsComeAndGo() throws {
        let authorizer = TestBackend(answering: { _ in
            usleep(20_000)
            return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        })
        let test = try CheckProxy(api(), port: authorizer.port)
        for _ in 0..<20 {
            let gone = test.proxy.connect()
            gone.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            gone.reset()
        }
        let client = test.proxy.connect()
        for _ in 0..<5 {
            client.send("GET /again HTTP/1.1\r\nHost: web\r\n\r\n")
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200"))
            _ = client.receive(until: "\r\n\r\n")
        }
        #expect(TestProxy.eventually { test.proxy.counter(.requestsActive) == 0 })
    }
}

extension String {
    /// What is in front of `mark`.
    func components(until mark: String) -> String {
        guard let range = firstRange(of: mark) else { return self }
        return String(self[..<range.lowerBound])
    }
}
