/// A complete request as the control plane's responder understood it.
public struct HTTPRequest: Sendable {
    public enum Method: String, Sendable {
        /// Also of a HEAD request: the responder leaves the body out.
        case get = "GET"
        case post = "POST"
        case delete = "DELETE"
    }

    public var method: Method
    /// Percent-decoded, without the query; begins with `/`.
    public var path: String
    /// Percent-decoded names and values in their order; a name without `=` has an empty value.
    public var query: [(name: String, value: String)]
    /// Names in lower case, values without surrounding white space, in their order.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    public init(
        method: Method, path: String, query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = [], body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
    }

    /// The first value of a query parameter.
    public func query(_ name: String) -> String? { query.first { $0.name == name }?.value }

    /// The first value of a header; `name` in lower case.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// What a route answers.
public struct HTTPResponse {
    enum Body {
        case bytes([UInt8])
        case pieces((inout [UInt8]) -> Bool)
        case stream((HTTPStream) -> Void)
    }

    var status: UInt16
    var contentType: String
    var headers: [(name: String, value: String)]
    var body: Body

    /// A response whose body is known.
    public static func full(
        _ status: UInt16, contentType: String, body: [UInt8], headers: [(name: String, value: String)] = []
    ) -> HTTPResponse {
        HTTPResponse(status: status, contentType: contentType, headers: headers, body: .bytes(body))
    }

    /// A response whose body is made while it is sent: `next` appends the next piece, and returns false after the last one.
    /// It is called on the reactor's thread, whenever the client has taken what was there.
    public static func pieces(contentType: String, next: @escaping (inout [UInt8]) -> Bool) -> HTTPResponse {
        HTTPResponse(status: 200, contentType: contentType, headers: [], body: .pieces(next))
    }

    /// A response that stays open: `start` is called once with its writer, after the head is on its way.
    public static func stream(contentType: String, _ start: @escaping (HTTPStream) -> Void) -> HTTPResponse {
        HTTPResponse(status: 200, contentType: contentType, headers: [], body: .stream(start))
    }

    /// Plain text; a line feed is added.
    public static func text(_ status: UInt16, _ text: String) -> HTTPResponse {
        full(status, contentType: "text/plain; charset=utf-8", body: Array((text + "\n").utf8))
    }

    /// 404.
    public static var notFound: HTTPResponse { text(404, "not found") }

    /// 405 with the methods that the path does have.
    public static func methodNotAllowed(_ allowed: [HTTPRequest.Method]) -> HTTPResponse {
        var names = allowed.map(\.rawValue)
        if allowed.contains(.get) { names.append("HEAD") }
        var response = text(405, "method not allowed; allowed: \(names.joined(separator: ", "))")
        response.headers.append(("allow", names.joined(separator: ", ")))
        return response
    }

    /// The head as it goes on the wire. A length that is nil leaves the end of the body to the chunked coding, or to the
    /// end of the connection.
    func head(contentLength: Int?, isChunked: Bool = false, keepAlive: Bool) -> [UInt8] {
        var text = "HTTP/1.1 \(status) \(Self.reason(status))\r\ncontent-type: \(contentType)\r\n"
        if let contentLength { text += "content-length: \(contentLength)\r\n" }
        if isChunked { text += "transfer-encoding: chunked\r\n" }
        if !headers.contains(where: { $0.name == "cache-control" }) { text += "cache-control: no-store\r\n" }
        text += "x-content-type-options: nosniff\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        text += keepAlive ? "\r\n" : "connection: close\r\n\r\n"
        return Array(text.utf8)
    }

    /// RFC 9110 §15.
    private static func reason(_ status: UInt16) -> String {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 204: "No Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: status < 400 ? "OK" : "Error"
        }
    }
}
