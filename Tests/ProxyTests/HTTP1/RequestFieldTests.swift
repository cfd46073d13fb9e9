import Proxy
import Testing

/// What fields are refused, and what they mean (RFC 9110 section 5, RFC 9112 sections 5 and 6).
@Suite struct RequestFieldTests {
    struct Refusal: CustomTestStringConvertible {
        var start: String
        var fields: String
        var error: HeadError
        var testDescription: String { "\(start) \(fields.debugDescription)" }

        init(_ fields: String, _ error: HeadError, start: String = "POST / HTTP/1.1\r\n") {
            self.start = start
            self.fields = fields
            self.error = error
        }
    }

    static let http10 = "POST / HTTP/1.0\r\n"

    // MARK: - Smuggling

    static let framing = [
        Refusal("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", .contentLengthWithTransferEncoding),
        Refusal("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", .contentLengthWithTransferEncoding),
        Refusal("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", .contentLengthWithTransferEncoding),
        Refusal("Content-Length: 1\r\nContent-Length: 1\r\n", .duplicateContentLength),
        Refusal("Content-Length: 1\r\ncontent-length: 2\r\n", .duplicateContentLength),
        Refusal("Content-Length: 1, 1\r\n", .invalidContentLength),
        Refusal("Content-Length: 1,\r\n", .invalidContentLength),
        Refusal("Content-Length:\r\n", .invalidContentLength),
        Refusal("Content-Length: \t \r\n", .invalidContentLength),
        Refusal("Content-Length: +1\r\n", .invalidContentLength),
        Refusal("Content-Length: -1\r\n", .invalidContentLength),
        Refusal("Content-Length: 1_0\r\n", .invalidContentLength),
        Refusal("Content-Length: 0x1\r\n", .invalidContentLength),
        Refusal("Content-Length: 1e1\r\n", .invalidContentLength),
        Refusal("Content-Length: 1.0\r\n", .invalidContentLength),
        Refusal("Content-Length: 1 0\r\n", .invalidContentLength),
        Refusal("Content-Length: \"1\"\r\n", .invalidContentLength),
        Refusal("Content-Length: \u{b2}\r\n", .invalidContentLength),
        Refusal("Content-Length: 1\u{a0}\r\n", .invalidContentLength),
        Refusal("Content-Length: \u{85}1\r\n", .invalidContentLength),
        Refusal("Content-Length: 9223372036854775808\r\n", .invalidContentLength),
        Refusal("Content-Length: 18446744073709551617\r\n", .invalidContentLength),
        Refusal("Content-Length: 00000000000000000000001\r\n", .invalidContentLength),
        Refusal("Content-Length: \u{b}1\r\n", .invalidFieldValue),
        Refusal("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .duplicateTransferEncoding),
        Refusal("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", .duplicateTransferEncoding),
        Refusal("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", .unsupportedTransferEncoding),
        Refusal("Transfer-Encoding: chunked, chunked\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: chunked,\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: ,chunked\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: chunked, identity\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding:\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: \"chunked\"\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: chunked;q=1\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: chunked\u{a0}\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: \u{85}chunked\r\n", .invalidTransferEncoding),
        Refusal("Transfer-Encoding: \u{b}chunked\r\n", .invalidFieldValue),
        Refusal("Transfer-Encoding: chunked\0\r\n", .invalidFieldValue),
        Refusal("Transfer-Encoding: identity\r\n", .unsupportedTransferEncoding),
        Refusal("Transfer-Encoding: gzip, chunked\r\n", .unsupportedTransferEncoding),
        Refusal("Transfer-Encoding: xchunked\r\n", .unsupportedTransferEncoding),
        Refusal("Transfer-Encoding: chunke\r\n", .unsupportedTransferEncoding),
        Refusal("Transfer-Encoding: chunked\r\n", .transferEncodingInHTTP10, start: http10),
        Refusal("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", .transferEncodingInHTTP10, start: http10),
        Refusal("Content-Length: 5\r\n", .contentInConnect, start: "CONNECT a:1 HTTP/1.1\r\n"),
        Refusal("Transfer-Encoding: chunked\r\n", .contentInConnect, start: "CONNECT a:1 HTTP/1.1\r\n"),
    ]

    // MARK: - Lines

    static let lines = [
        Refusal("A: b\r\n c\r\n", .foldedField),
        Refusal("A: b\r\n\tc\r\n", .foldedField),
        Refusal(" A: b\r\n", .foldedField),
        Refusal("A: b\r\n \r\n", .foldedField),
        Refusal("Content-Length : 1\r\n", .invalidFieldName),
        Refusal("Transfer-Encoding\t: chunked\r\n", .invalidFieldName),
        Refusal("Transfer-Encoding\u{a0}: chunked\r\n", .invalidFieldName),
        Refusal("\u{a0}Transfer-Encoding: chunked\r\n", .invalidFieldName),
        Refusal("A\0: b\r\n", .invalidFieldName),
        Refusal("\0A: b\r\n", .invalidFieldName),
        Refusal("A\u{e9}: b\r\n", .invalidFieldName),
        Refusal("A(b): c\r\n", .invalidFieldName),
        Refusal("\"A\": c\r\n", .invalidFieldName),
        Refusal("A/b: c\r\n", .invalidFieldName),
        Refusal("A b: c\r\n", .invalidFieldName),
        Refusal("Content_Length: 1\r\n", .misleadingFieldName),
        Refusal("transfer_encoding: chunked\r\n", .misleadingFieldName),
        Refusal("X_Forwarded-For: 10.0.0.1\r\n", .misleadingFieldName),
        Refusal("X-FORWARDED_HOST: a\r\n", .misleadingFieldName),
        Refusal("x_forwarded_proto: https\r\n", .misleadingFieldName),
        Refusal(": a\r\n", .emptyFieldName),
        Refusal(":\r\n", .emptyFieldName),
        Refusal("A\r\n", .missingColon),
        Refusal("Transfer-Encoding\r\n", .missingColon),
        Refusal("A: b\nC: d\r\n", .bareLineFeed),
        Refusal("A: b\n\r\n", .bareLineFeed),
        Refusal("A\n: b\r\n", .missingColon),
        Refusal("\nA: b\r\n", .bareLineFeed),
        Refusal("A: b\rC: d\r\n", .bareCarriageReturn),
        Refusal("A: b\r\r\n", .bareCarriageReturn),
        Refusal("\rA: b\r\n", .bareCarriageReturn),
        Refusal("A: \rb\r\n", .bareCarriageReturn),
        Refusal("A: b\0c\r\n", .invalidFieldValue),
        Refusal("A: \u{1}\r\n", .invalidFieldValue),
        Refusal("A: b\u{8}c\r\n", .invalidFieldValue),
        Refusal("A: b\u{b}c\r\n", .invalidFieldValue),
        Refusal("A: b\u{c}c\r\n", .invalidFieldValue),
        Refusal("A: b\u{1f}c\r\n", .invalidFieldValue),
        Refusal("A: b\u{7f}c\r\n", .invalidFieldValue),
    ]

    // MARK: - What the request is for

    static let hosts = [
        Refusal("Host: b\r\n", .duplicateHost),
        Refusal("host: a\r\n", .duplicateHost),
        Refusal("Connection: Host\r\n", .invalidConnectionOption),
        Refusal("Connection: close, Content-Length\r\n", .invalidConnectionOption),
        Refusal("Connection: transfer-encoding\r\n", .invalidConnectionOption),
        Refusal("Connection: X-Forwarded-For\r\n", .invalidConnectionOption),
        Refusal("Connection: Authorization\r\n", .invalidConnectionOption),
        Refusal("Connection: cookie\r\n", .invalidConnectionOption),
        Refusal("Connection: a b\r\n", .invalidConnectionOption),
        Refusal("Connection: \"close\"\r\n", .invalidConnectionOption),
        Refusal("Expect: 100-continue, x\r\n", .unknownExpectation),
        Refusal("Expect: 200-ok\r\n", .unknownExpectation),
        Refusal("Expect:\r\n", .unknownExpectation),
    ]

    @Test(arguments: framing) func ambiguousFramingIsRefused(_ refusal: Refusal) { check(refusal) }
    @Test(arguments: lines) func malformedLinesAreRefused(_ refusal: Refusal) { check(refusal) }
    @Test(arguments: hosts) func misdirectionIsRefused(_ refusal: Refusal) { check(refusal) }

    private func check(_ refusal: Refusal) {
        // The faulty line may be the first, the last or between others.
        for (before, after) in [("Host: a\r\n", ""), ("Host: a\r\nX: y\r\n", "Z: 1\r\n")] {
            let request = parseRequest(refusal.start + before + refusal.fields + after + "\r\n")
            #expect(request.result == .failed(refusal.error))
        }
    }

    @Test(arguments: [
        "", " ", ":80", ".", "a b", "a,b", "a/b", "a@b", "a:", "a:x", "a:80x", "a:-1", "a:+80", "a:65536", "a:0",
        "a:080000",
        "a%41", "\u{e9}", "a\u{a0}", "[", "[]", "[::1", "::1", "[::1]x", "[::1%25eth0]", "[g::]", "a:80:80", "*", "<a>",
        "http://a", "a\\b", "a?b", "a#b",
    ])
    func badHostsAreRefused(_ host: String) {
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").result == .failed(.invalidHost))
        #expect(parseRequest("GET / HTTP/1.0\r\nHost: \(host)\r\n\r\n").result == .failed(.invalidHost))
        // Even if an absolute target has the say.
        #expect(parseRequest("GET http://b/ HTTP/1.1\r\nHost: \(host)\r\n\r\n").result == .failed(.invalidHost))
    }

    @Test(arguments: [
        ("a", "a", 0, false), ("a.example", "a.example", 0, false), ("a.example.", "a.example", 0, false),
        ("A.Example:80", "A.Example", 80, true), ("a.example.:65535", "a.example", 65535, false),
        ("10.0.0.1:8080", "10.0.0.1", 8080, false), ("[::1]", "[::1]", 0, false), ("[FE80::1]:1", "[FE80::1]", 1, true),
        ("under_score", "under_score", 0, false), ("a-b~c", "a-b~c", 0, false),
    ])
    func hostsAreRead(_ text: String, _ host: String, _ port: UInt16, _ hasUppercase: Bool) {
        let request = parseRequest("GET / HTTP/1.1\r\nHost: \(text) \r\n\r\n")
        #expect(request.result == .complete)
        #expect(request.authority == text)
        #expect(request.host == host)
        #expect(request.head?.port == port)
        #expect(request.head?.hostHasUppercase == hasUppercase)
    }

    @Test func hostIsRequiredByHTTP11Only() {
        #expect(parseRequest("GET / HTTP/1.1\r\n\r\n").result == .failed(.missingHost))
        #expect(parseRequest("GET http://a/ HTTP/1.1\r\n\r\n").result == .failed(.missingHost))
        let old = parseRequest("GET / HTTP/1.0\r\n\r\n")
        #expect(old.result == .complete)
        #expect(old.authority == "")
    }

    @Test func theTargetsAuthorityGoesBeforeHost() {
        let request = parseRequest("GET http://b.example:81/x HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(request.authority == "b.example:81")
        #expect(request.host == "b.example")
        #expect(request.head?.port == 81)
    }

    @Test(arguments: [
        ("", "", BodyFraming.none), ("", "Content-Length: 0\r\n", .length(0)),
        ("", "Content-Length:\t12 \r\n", .length(12)), ("", "CONTENT-LENGTH: 007\r\n", .length(7)),
        ("", "Content-Length: 999999999999999999\r\n", .length(999_999_999_999_999_999)),
        ("", "transfer-encoding: Chunked\r\n", .chunked), (http10, "Content-Length: 3\r\n", .length(3)),
    ])
    func framingIsRead(_ start: String, _ fields: String, _ framing: BodyFraming) {
        let start = start.isEmpty ? "POST / HTTP/1.1\r\n" : start
        #expect(parseRequest(start + "Host: a\r\n" + fields + "\r\n").head?.framing == framing)
    }

    @Test(arguments: [
        ("1.1", "", true), ("1.1", "Connection: close\r\n", false), ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false), ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true), ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Proxy-Connection: close\r\n", true), ("1.0", "Proxy-Connection: keep-alive\r\n", false),
        ("1.1", "Connection: closed\r\n", true), ("1.1", "Connection: , ,close,\r\n", false),
    ])
    func persistenceIsRead(_ version: String, _ fields: String, _ isPersistent: Bool) {
        let request = parseRequest("GET / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n")
        #expect(request.head?.isPersistent == isPersistent)
    }

    @Test func upgradesNeedBothFieldsAndHTTP11() {
        let both = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(both)\r\n").head?.wantsUpgrade == true)
        #expect(parseRequest("GET / HTTP/1.0\r\nHost: a\r\n\(both)\r\n").head?.wantsUpgrade == false)
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n").head?.wantsUpgrade == false)
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n").head?.wantsUpgrade == false)
    }

    @Test(arguments: [
        ("websocket", true), ("WebSocket", true), ("tcp", true), ("SPDY/3.1", true), ("h2c, websocket", false),
        ("h2c", false), ("H2C", false), ("websocket,h2c", false), ("HTTP/2.0", false), ("TLS/1.2, HTTP/1.1", false),
        ("", false),
    ])
    func upgradesToWhatCarriesRequestsAreNone(_ upgrade: String, _ isWanted: Bool) {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: \(upgrade)\r\n\r\n"
        #expect(parseRequest(text).head?.wantsUpgrade == isWanted)
    }

    @Test func aSecondUpgradeFieldIsReadToo() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n"
        #expect(parseRequest(text).head?.wantsUpgrade == false)
    }

    @Test func otherMeaningsAreRead() {
        let request = parseRequest(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTE: gzip;q=0.5, trailers\r\nConnection: TE, X-Hop\r\n\r\n"
        )
        #expect(request.head?.expectsContinue == true)
        #expect(request.head?.acceptsTrailers == true)
        #expect(request.head?.hasConnectionOptions == true)
        let plain = parseRequest("POST / HTTP/1.0\r\nExpect: 100-continue\r\nConnection: TE, Upgrade\r\n\r\n")
        #expect(plain.head?.expectsContinue == false)
        #expect(plain.head?.hasConnectionOptions == false)
    }

    @Test func otherUnderscoresAreAllowed() {
        let names = ["content_type", "User_Agent", "content_lengths", "x_forwarded_port", "transfer_encodinG_", "a_b"]
        let fields = names.map { "\($0): 1\r\n" }.joined()
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").fields.count == names.count + 1)
    }

    @Test func valuesLoseOnlySpacesAndTabs() {
        let request = parseRequest("GET / HTTP/1.1\r\nHost: a\r\nX: \u{a0}b\u{85} \t\r\nY:c\t d\r\n\r\n")
        #expect(request.fields == ["Host: a [host]", "X: \u{a0}b\u{85} [other]", "Y: c\t d [other]"])
    }

    @Test func everyKnownNameIsKnownInAnyCase() {
        for known in KnownField.allCases where known != .other && known != .envoy {
            let name = known.wireName
            for text in [name, name.uppercased(), name.prefix(1).uppercased() + name.dropFirst()] where known != .host {
                let value = known == .contentLength ? "1" : known == .transferEncoding ? "chunked" : "100-continue"
                let request = parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(text): \(value)\r\n\r\n")
                #expect(request.fields.last == "\(text): \(value) [\(known)]")
            }
            // One letter more or other is another name.
            for text in [name + "x", "~" + name.dropFirst(), String(name.dropLast()) + "~"] {
                let request = parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(text): 1\r\n\r\n")
                #expect(request.fields.last == "\(text): 1 [other]")
            }
        }
    }

    @Test(arguments: [
        ("x-envoy-max-retries", KnownField.envoy), ("X-Envoy-Retry-On", .envoy),
        ("X-ENVOY-UPSTREAM-RQ-PER-TRY-TIMEOUT-MS", .envoy), ("x-envoi-max-retries", .other), ("x-envoy", .other),
    ])
    func namesOfEnvoyAreKnownByTheirPrefix(name: String, known: KnownField) {
        let request = parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(name): 1\r\n\r\n")
        #expect(request.fields.last == "\(name): 1 [\(known)]")
    }
}

extension KnownField {
    /// The registered name, lower-case.
    fileprivate var wireName: String {
        switch self {
        case .xForwardedFor: "x-forwarded-for"
        case .xRequestID: "x-request-id"
        default:
            "\(self)".reduce(into: "") { name, letter in
                if letter.isUppercase { name += "-" }
                name += letter.lowercased()
            }
        }
    }
}
