import Proxy
import Testing

/// Request lines that are refused, each with its reason (RFC 9112 section 3).
@Suite struct RequestLineTests {
    struct Refusal: CustomTestStringConvertible {
        var line: String
        var error: HeadError
        var testDescription: String { line.debugDescription }

        init(_ line: String, _ error: HeadError) {
            self.line = line
            self.error = error
        }
    }

    static let refusals = [
        // Method.
        Refusal("get / HTTP/1.1\r\n", .invalidMethod),
        Refusal("gET / HTTP/1.1\r\n", .invalidMethod),
        Refusal("G ET / HTTP/1.1\r\n", .originFormExpected),
        Refusal("G@T / HTTP/1.1\r\n", .invalidMethod),
        Refusal("G\0T / HTTP/1.1\r\n", .invalidMethod),
        Refusal("GE\u{e9} / HTTP/1.1\r\n", .invalidMethod),
        Refusal(" GET / HTTP/1.1\r\n", .invalidMethod),
        Refusal("\tGET / HTTP/1.1\r\n", .invalidMethod),
        Refusal("GET\t/ HTTP/1.1\r\n", .invalidMethod),
        Refusal(String(repeating: "A", count: 33) + " / HTTP/1.1\r\n", .invalidMethod),
        Refusal("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}", .invalidMethod),
        Refusal("GET\r\n", .malformedStartLine),
        Refusal("\nGET / HTTP/1.1\r\n", .bareLineFeed),
        Refusal("\r\n\r\nGET / HTTP/1.1\r\n", .malformedStartLine),
        Refusal("\rGET / HTTP/1.1\r\n", .malformedStartLine),
        // Target.
        Refusal("GET  / HTTP/1.1\r\n", .malformedStartLine),
        Refusal("GET /\t HTTP/1.1\r\n", .invalidTarget),
        Refusal("GET /\0 HTTP/1.1\r\n", .invalidTarget),
        Refusal("GET /\u{7f} HTTP/1.1\r\n", .invalidTarget),
        Refusal("GET /\u{e9} HTTP/1.1\r\n", .invalidTarget),
        Refusal("GET /?\u{80} HTTP/1.1\r\n", .invalidTarget),
        Refusal("GET /a#b HTTP/1.1\r\n", .fragmentInTarget),
        Refusal("GET /?a#b HTTP/1.1\r\n", .fragmentInTarget),
        Refusal("GET http://a/#b HTTP/1.1\r\n", .fragmentInTarget),
        Refusal("GET a HTTP/1.1\r\n", .originFormExpected),
        Refusal("GET ?a HTTP/1.1\r\n", .originFormExpected),
        Refusal("GET a.example:80 HTTP/1.1\r\n", .originFormExpected),
        Refusal("GET * HTTP/1.1\r\n", .asteriskNotOptions),
        Refusal("OPTIONS ** HTTP/1.1\r\n", .originFormExpected),
        Refusal("GET ftp://a/ HTTP/1.1\r\n", .unsupportedScheme),
        Refusal("GET file:///etc/passwd HTTP/1.1\r\n", .unsupportedScheme),
        Refusal("GET :///a HTTP/1.1\r\n", .unsupportedScheme),
        Refusal("GET http:/a HTTP/1.1\r\n", .originFormExpected),
        Refusal("GET http:// HTTP/1.1\r\n", .invalidAuthority),
        Refusal("GET http:///a HTTP/1.1\r\n", .invalidAuthority),
        Refusal("GET http://:80/ HTTP/1.1\r\n", .invalidAuthority),
        Refusal("GET http://user@a/ HTTP/1.1\r\n", .userInfoInAuthority),
        Refusal("GET http://user:secret@a/ HTTP/1.1\r\n", .userInfoInAuthority),
        Refusal("GET http://a:80:80/ HTTP/1.1\r\n", .invalidAuthority),
        Refusal("GET http://a\\b/ HTTP/1.1\r\n", .invalidAuthority),
        Refusal("GET http://a%2fb/ HTTP/1.1\r\n", .invalidAuthority),
        Refusal("CONNECT / HTTP/1.1\r\n", .invalidAuthority),
        Refusal("CONNECT a.example HTTP/1.1\r\n", .invalidAuthority),
        Refusal("CONNECT http://a.example:80 HTTP/1.1\r\n", .invalidAuthority),
        Refusal("CONNECT u@a.example:80 HTTP/1.1\r\n", .userInfoInAuthority),
        Refusal("CONNECT a.example:0 HTTP/1.1\r\n", .invalidAuthority),
        Refusal("CONNECT a.example:65536 HTTP/1.1\r\n", .invalidAuthority),
        Refusal("GET /" + String(repeating: "a", count: 16 * 1024) + " HTTP/1.1\r\n", .targetTooLong),
        Refusal("GET /" + String(repeating: "a", count: 20 * 1024), .targetTooLong),
        // Version.
        Refusal("GET /\r\n", .malformedStartLine),
        Refusal("GET / \r\n", .malformedVersion),
        Refusal("GET / HTTP/1.10\r\n", .malformedVersion),
        Refusal("GET / HTTP/01.1\r\n", .malformedVersion),
        Refusal("GET / HTTP/1.1.1\r\n", .malformedVersion),
        Refusal("GET / HTTP/1\r\n", .malformedVersion),
        Refusal("GET / HTTP/1,1\r\n", .malformedVersion),
        Refusal("GET / HTTP/+1.1\r\n", .malformedVersion),
        Refusal("GET / http/1.1\r\n", .malformedVersion),
        Refusal("GET / HTTQ/1.1\r\n", .malformedVersion),
        Refusal("GET / HTTP/1.1 \r\n", .malformedVersion),
        Refusal("GET /  HTTP/1.1\r\n", .malformedVersion),
        Refusal("GET / a HTTP/1.1\r\n", .malformedVersion),
        Refusal("GET / HTTP/1.1\n", .bareLineFeed),
        Refusal("GET / HTTP/1.1\rHost: a\r\n\r\n", .bareCarriageReturn),
        Refusal("GET / HTTP/0.9\r\n", .unsupportedVersion),
        Refusal("GET / HTTP/1.2\r\n", .unsupportedVersion),
        Refusal("GET / HTTP/2.0\r\n", .unsupportedVersion),
        Refusal("GET / HTTP/9.9\r\n", .unsupportedVersion),
        Refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .asteriskNotOptions),
    ]

    @Test(arguments: refusals)
    func isRefused(_ refusal: Refusal) {
        #expect(parseRequest(refusal.line + "Host: a\r\n\r\n").result == .failed(refusal.error))
    }

    @Test(arguments: [
        ("GET / HTTP/1.1", TargetForm.origin, "/", "h"),
        ("GET //a/../b HTTP/1.1", .origin, "//a/../b", "h"),
        ("GET /a%2fb\\c|{}\"<>^`~ HTTP/1.1", .origin, "/a%2fb\\c|{}\"<>^`~", "h"),
        ("GET / HTTP/1.0", .origin, "/", "h"),
        ("M-SEARCH / HTTP/1.1", .origin, "/", "h"),
        ("PROP_FIND!#$%&'*+.^`|~1 / HTTP/1.1", .origin, "/", "h"),
        ("OPTIONS * HTTP/1.1", .asterisk, "", "h"),
        ("OPTIONS http://a HTTP/1.1", .absolute, "", "a"),
        ("GET http://a.example HTTP/1.1", .absolute, "", "a.example"),
        ("GET HTTP://a.example:8080?x HTTP/1.1", .absolute, "", "a.example"),
        ("GET https://a.example/b HTTP/1.1", .absolute, "/b", "a.example"),
        ("GET http://[::1]:80/b?c HTTP/1.1", .absolute, "/b", "[::1]"),
        ("CONNECT a.example:443 HTTP/1.1", .authority, "", "a.example"),
        ("CONNECT [2001:db8::1]:443 HTTP/1.1", .authority, "", "[2001:db8::1]"),
    ])
    func isRead(_ line: String, _ form: TargetForm, _ path: String, _ host: String) {
        let request = parseRequest(line + "\r\nHost: h\r\n\r\n")
        #expect(request.result == .complete)
        #expect(request.head?.form == form)
        #expect(request.path == path)
        #expect(request.host == host)
    }

    @Test func oneEmptyLineBeforeARequestIsSkipped() {
        let request = parseRequest("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(request.result == .complete)
        #expect(request.method == "GET")
        #expect(request.head?.byteCount == 29)
    }

    @Test func methodsAreKnown() {
        let methods: [(String, HTTPMethod)] = [
            ("GET", .get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete), ("OPTIONS", .options),
            ("TRACE", .trace), ("PATCH", .patch), ("GETS", .other), ("PUSH", .other), ("COPY", .other),
            ("CONNECTS", .other), ("SEARCH", .other), ("PURGE", .other), ("MKACTIVITY", .other),
        ]
        for (name, method) in methods {
            #expect(parseRequest("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n").head?.method == method)
        }
        #expect(parseRequest("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").head?.method == .connect)
    }

    @Test(arguments: [
        ("/", false), ("/a/b", false), ("/a.b", false), ("/a?//../%2e\\", false), ("/a%20b", true), ("/a\\b", true),
        ("//", true), ("/a//b", true), ("/.", true), ("/a/../b", true), ("/a/.b", true), ("/a|", true),
        ("/a[b]", true), ("/a;b=c,d!$&'()*+:@", false), ("/a?|[]{}\"", false),
    ])
    func pathsThatMayNeedNormalizationAreMarked(_ target: String, _ marked: Bool) {
        let request = parseRequest("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(request.head?.needsNormalization == marked)
        let absolute = parseRequest("GET http://b\(target) HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(absolute.head?.needsNormalization == marked)
    }
}
