import Mesh
import Testing

@testable import Proxy

/// OPA's Data API, as a server speaks it that knows one rule.
@Suite struct OPACheckTests {
    private func ask(_ result: String, _ fields: [String] = [], target: String = "/") throws -> (
        answer: String, question: String, counts: AuthorizerReading?
    ) {
        let questions = HTTPCheckTests.Questions()
        let server = TestBackend(answering: { question in
            questions.add(question)
            return
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(result.utf8.count)\r\n\r\n\(result)"
        })
        let test = try CheckProxy(.opa(path: "/v1/data/httpapi/authz/allow"), port: server.port)
        let answer = test.send(target, fields)
        return (answer, questions.asked.first ?? "", test.counts)
    }

    @Test(arguments: [
        #"{"result":true}"#, #"{"result":{"allow":true}}"#, #"{"result":{"allowed":true,"headers":{"x-user":"al"}}}"#,
        #" {"decision_id":"1","result":true} "#,
    ]) func allows(_ result: String) throws {
        let (answer, _, counts) = try ask(result, ["x-user: forged"])
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.contains("x-user: al\r\n") == result.contains("x-user"))
        #expect(answer.contains("forged") != result.contains("x-user"))
        #expect(counts?.allowed == 1)
    }

    @Test(arguments: [
        #"{"result":false}"#, #"{}"#, #"{"result":{}}"#, #"{"result":{"allow":false}}"#,
        #"{"result":{"allow":"true"}}"#,
        #"{"result":{"allow":1}}"#,
    ]) func denies(_ result: String) throws {
        let (answer, _, counts) = try ask(result)
        #expect(answer.hasPrefix("HTTP/1.1 403"))
        #expect(counts?.denied == 1)
    }

    @Test(arguments: [
        "", "true", "[]", #"{"result":"#, #"{"result":true,"result":true}"#, #"{"result":"true"}"#, #"{"result":1}"#,
    ]) func whatIsNoDecisionRefuses(_ result: String) throws {
        let (answer, _, counts) = try ask(result)
        #expect(answer.hasPrefix("HTTP/1.1 403"))
        #expect(counts?.errors == 1)
    }

    @Test func refusalsMaySayMore() throws {
        let (answer, _, _) = try ask(
            #"{"result":{"allowed":false,"http_status":451,"body":"not here","headers":{"x-why":"law","bad name":"x","x":"a\r\nb: c"}}}"#
        )
        #expect(answer.hasPrefix("HTTP/1.1 451"))
        #expect(answer.contains("x-why: law\r\n"))
        #expect(!answer.contains("bad name"))
        #expect(!answer.contains("b: c"))
        #expect(answer.hasSuffix("\r\n\r\nnot here"))
    }

    /// The input is JSON, whatever the client sends.
    @Test func inputsAreJSON() throws {
        let (_, question, _) = try ask(
            #"{"result":true}"#, ["X-A: 1", "x-a: 2", "X-Quote: a\"b\\c", "X-Latin: \u{e9}", "Cookie: k=v"],
            target: "/a%20b/c?d=e\"f")
        #expect(question.hasPrefix("POST /v1/data/httpapi/authz/allow HTTP/1.1\r\n"))
        let body = String(question[(question.firstRange(of: "\r\n\r\n")?.upperBound ?? question.startIndex)...])
        guard let set = ClaimSet(json: Array(body.utf8)) else {
            Issue.record("\(body) is no JSON")
            return
        }
        func text(_ path: [String]) -> String? {
            let view = set.claims.payload
            var node = JSONView.root
            for name in path {
                guard let next = unsafe view.member(Array(name.utf8).span.bytes, of: node) else { return nil }
                node = next
            }
            return String(decoding: bytes(view.text(of: node)), as: UTF8.self)
        }
        let http = ["input", "attributes", "request", "http"]
        #expect(text(http + ["method"]) == "GET")
        #expect(text(http + ["host"]) == "web")
        #expect(text(http + ["protocol"]) == "HTTP/1.1")
        #expect(text(http + ["headers", "x-a"]) == "1,2")
        #expect(text(http + ["headers", "x-quote"]) == #"a"b\c"#)
        #expect(text(http + ["headers", "x-latin"]) == "\u{e9}")
        #expect(text(["input", "attributes", "source", "address", "socketAddress", "address"]) == "127.0.0.1")
    }
}
