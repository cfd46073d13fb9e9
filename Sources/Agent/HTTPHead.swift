/// The head of a request, parsed strictly (RFC 9112): what a lenient parser would have to guess about is refused.
struct HTTPHead {
    /// A refusal: the status to answer with and a sentence for the client.
    struct Refusal: Error, Equatable {
        let status: UInt16
        let reason: String

        static func bad(_ reason: String) -> Refusal { Refusal(status: 400, reason: reason) }
    }

    static let maxFields = 100

    var method: HTTPRequest.Method
    var isHead: Bool
    var path: String
    var query: [(name: String, value: String)]
    var headers: [(name: String, value: String)]
    var keepAlive: Bool
    /// Whether the client knows the chunked coding: HTTP/1.1.
    var takesChunks: Bool
    var contentLength: Int
    var expectsContinue: Bool

    /// Parses a head without the empty line that ends it. `maxBody` is the longest body that is accepted.
    init(_ bytes: ArraySlice<UInt8>, maxBody: Int) throws(Refusal) {
        var lines = HTTPLines(bytes)
        guard let requestLine = try lines.next() else { throw .bad("the request is empty") }
        let parts = requestLine.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .bad("the request line has to be: method SP target SP version") }
        let isVersion11 = try Self.isVersion11(parts[2])
        takesChunks = isVersion11
        headers = []
        while let line = try lines.next() {
            guard headers.count < Self.maxFields else {
                throw Refusal(status: 431, reason: "more than \(Self.maxFields) header fields")
            }
            headers.append(try Self.field(line))
        }
        (method, isHead) = try Self.method(parts[0])
        let authority: String?
        (path, query, authority) = try HTTPTarget.parse(parts[1])

        let hosts = headers.filter { $0.name == "host" }
        guard hosts.count <= 1 else { throw .bad("more than one Host header") }
        guard !isVersion11 || hosts.count == 1 else { throw .bad("HTTP/1.1 needs a Host header") }
        if let authority, let host = headers.firstIndex(where: { $0.name == "host" }) {
            headers[host].value = authority
        }
        contentLength = try Self.contentLength(headers, maxBody: maxBody)

        let options = headers.filter { $0.name == "connection" }
            .flatMap { $0.value.lowercased().split(separator: ",").map { HTTPText.trimmed($0) } }
        keepAlive = isVersion11 && !options.contains("close")
        expectsContinue = false
        for expectation in headers where expectation.name == "expect" {
            guard expectation.value.lowercased() == "100-continue" else {
                throw Refusal(status: 417, reason: "unknown expectation")
            }
            expectsContinue = isVersion11
        }
        try refuseForeignOrigin()
    }

    /// A page of another origin may make a browser send a request here; it must not change anything.
    private func refuseForeignOrigin() throws(Refusal) {
        guard method != .get, let origin = headers.first(where: { $0.name == "origin" })?.value else { return }
        let host = headers.first { $0.name == "host" }?.value ?? ""
        guard origin == "http://\(host)" else {
            throw Refusal(status: 403, reason: "requests of other origins are refused")
        }
    }

    private static func isVersion11(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> Bool {
        if bytes.elementsEqual("HTTP/1.1".utf8) { return true }
        if bytes.elementsEqual("HTTP/1.0".utf8) { return false }
        guard bytes.starts(with: "HTTP/".utf8), bytes.count <= 8 else { throw .bad("not an HTTP request") }
        throw Refusal(status: 505, reason: "only HTTP/1.1 and HTTP/1.0 are spoken here")
    }

    private static func method(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> (HTTPRequest.Method, isHead: Bool) {
        guard !bytes.isEmpty, bytes.allSatisfy(HTTPText.isTokenByte) else { throw .bad("the method is not a token") }
        let name = String(decoding: bytes, as: UTF8.self)
        if name == "HEAD" { return (.get, true) }
        guard let method = HTTPRequest.Method(rawValue: name) else {
            throw Refusal(status: 405, reason: "only GET, HEAD, POST and DELETE are served")
        }
        return (method, false)
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(Refusal) -> (name: String, value: String) {
        guard let first = line.first, first != UInt8(ascii: " "), first != UInt8(ascii: "\t") else {
            throw .bad("folded header fields are refused")
        }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw .bad("a header field without a colon") }
        let name = line[..<colon]
        guard !name.isEmpty, name.allSatisfy(HTTPText.isTokenByte) else {
            throw .bad("a header field's name is not a token")
        }
        let value = line[(colon + 1)...]
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == UInt8(ascii: "\t") }) else {
            throw .bad("a control character in a header field")
        }
        return (
            String(decoding: name, as: UTF8.self).lowercased(),
            HTTPText.trimmed(String(decoding: value, as: UTF8.self)[...])
        )
    }

    private static func contentLength(
        _ headers: [(name: String, value: String)], maxBody: Int
    ) throws(Refusal) -> Int {
        let lengths = headers.filter { $0.name == "content-length" }
        if headers.contains(where: { $0.name == "transfer-encoding" }) {
            guard lengths.isEmpty else { throw .bad("both Content-Length and Transfer-Encoding") }
            throw Refusal(status: 411, reason: "a body needs a Content-Length; transfer codings are not accepted")
        }
        guard let length = lengths.first?.value else { return 0 }
        guard lengths.count == 1, !length.isEmpty, length.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .bad("Content-Length is not one number")
        }
        guard let value = Int(length), value <= maxBody else {
            throw Refusal(status: 413, reason: "the body is longer than \(maxBody) bytes")
        }
        return value
    }
}

/// The lines of a head, each ended by CR LF; a CR or LF anywhere else is refused.
private struct HTTPLines {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func next() throws(HTTPHead.Refusal) -> ArraySlice<UInt8>? {
        guard !rest.isEmpty else { return nil }
        guard let end = rest.firstIndex(where: { $0 == 0x0d || $0 == 0x0a || $0 == 0 }) else {
            let line = rest
            rest = []
            return line
        }
        guard rest[end] == 0x0d, end + 1 < rest.endIndex, rest[end + 1] == 0x0a else {
            throw .bad("lines of the head have to end with CR LF")
        }
        let line = rest[..<end]
        rest = rest[(end + 2)...]
        return line
    }
}

enum HTTPText {
    /// RFC 9110 §5.6.2.
    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// Without spaces and tabs at either end.
    static func trimmed(_ text: Substring) -> String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        guard let start = text.firstIndex(where: { !isSpace($0) }), let end = text.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(text[start...end])
    }
}
