import Dashboard
import Testing

@testable import Agent

@Suite struct DashboardPagesTests {
    private func get(
        _ path: String, method: HTTPRequest.Method = .get, _ headers: [(name: String, value: String)] = []
    ) -> HTTPResponse? {
        DashboardPages.answer(HTTPRequest(method: method, path: path, headers: headers))
    }

    private func header(_ name: String, of response: HTTPResponse) -> String? {
        response.headers.first { $0.name == name }?.value
    }

    private func text(_ file: DashboardFile) -> String { String(decoding: file.bytes, as: UTF8.self) }

    @Test func thePageAndItsFilesAreServedWithTheirTypes() throws {
        let page = try #require(get("/"))
        #expect(page.status == 200)
        #expect(page.contentType == "text/html; charset=utf-8")
        for (file, type) in [
            ("main.js", "text/javascript; charset=utf-8"), ("style.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
        ] {
            #expect(try #require(get("/dashboard/\(file)")).contentType == type)
        }
    }

    @Test(arguments: [
        "/dashboard", "/dashboard/", "/dashboard/../main.js", "/dashboard/none.js", "/main.js", "/v1/status",
    ])
    func otherPathsAreForOthers(path: String) {
        #expect(get(path) == nil)
    }

    @Test func onlyGetIsServed() throws {
        #expect(try #require(get("/", method: .post)).status == 405)
    }

    @Test func aKnownFileIsNotSentAgain() throws {
        let first = try #require(get("/dashboard/main.js"))
        let tag = try #require(header("etag", of: first))
        for known in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
            let again = try #require(get("/dashboard/main.js", [("if-none-match", known)]))
            #expect(again.status == 304, "\(known)")
            #expect(header("etag", of: again) == tag)
            #expect(!again.head(contentLength: nil, keepAlive: true).isEmpty)
            guard case .bytes(let body) = again.body else { throw Unexpected() }
            #expect(body.isEmpty)
        }
        #expect(try #require(get("/dashboard/main.js", [("if-none-match", "\"other\"")])).status == 200)
        #expect(Set(DashboardFile.all.map(\.tag)).count == DashboardFile.all.count)
    }

    @Test func everyFileForbidsWhatIsNotItsOwn() throws {
        for path in ["/"] + DashboardFile.all.map({ "/dashboard/\($0.name)" }) {
            let response = try #require(get(path))
            let policy = try #require(header("content-security-policy", of: response))
            #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self';"))
            #expect(!policy.contains("unsafe"))
            let head = String(decoding: response.head(contentLength: 1, keepAlive: true), as: UTF8.self)
            #expect(head.contains("x-content-type-options: nosniff\r\n"))
            #expect(head.contains("cache-control: no-cache\r\n"))
            #expect(!head.contains("no-store"))
        }
    }

    @Test func theFilesNeedNothingFromElsewhereAndMakeNoMarkupOfText() {
        let namespaces = ["http://www.w3.org/2000/svg"]
        for file in DashboardFile.all {
            var content = text(file)
            for name in namespaces { content = content.replacing(name, with: "") }
            #expect(!content.contains("http://") || file.name == "parts.js", "\(file.name) names another origin")
            #expect(!content.contains("https://"), "\(file.name) names another origin")
            for unsafe in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                #expect(!content.contains(unsafe), "\(file.name) uses \(unsafe)")
            }
            if file.name.hasSuffix(".html") {
                #expect(!content.contains("style="))
                #expect(!content.contains(" on"), "\(file.name) has an inline handler")
            }
        }
    }

    @Test func everyFileThatIsReferredToIsThereAndAllOfItIsSmall() {
        let names = Set(DashboardFile.all.map(\.name))
        for file in DashboardFile.all {
            for match in text(file).matches(of: /(?:"\.\/|dashboard\/)([a-z-]+\.(?:js|css|svg))"/) {
                #expect(names.contains(String(match.output.1)), "\(file.name) refers to \(match.output.1)")
            }
        }
        #expect(DashboardFile.all.reduce(0) { $0 + $1.bytes.count } < 300_000)
    }

    private struct Unexpected: Error {}
}
