/// A request that nobody sent: for explaining what would become of one.
public struct SyntheticRequest: Sendable {
    public var method: String
    /// Path and query.
    public var target: String
    /// With a port if it is to have one.
    public var host: String
    public var headers: [(name: String, value: String)]
    /// The calling workload; 0: unknown.
    public var source: UInt64
    public var isSecure = false
    /// See `RouteTable.rejectsEncodedSlashes(_:)`.
    public var rejectsEncodedSlashes = true

    /// Why there is no such request.
    public enum Problem: Error, Equatable {
        case head(HeadError)
        case path(PathError)
        /// It has no end, or more than one.
        case notOneRequest
    }

    public init(
        method: String = "GET", target: String = "/", host: String = "",
        headers: [(name: String, value: String)] = [],
        source: UInt64 = 0
    ) {
        self.method = method
        self.target = target
        self.host = host
        self.headers = headers
        self.source = source
    }

    /// Parses and normalises it as if it had come over a connection, and lends it to `body`.
    public func withView<Value>(_ body: (borrowing RequestView) throws(Problem) -> Value)
        throws(Problem) -> Value
    {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
        for header in headers { text += "\(header.name): \(header.value)\r\n" }
        let bytes = Array((text + "\r\n").utf8)
        let span = unsafe bytes.span.bytes
        var progress = HeadProgress()
        var head = RequestHead()
        var table = FieldTable()
        switch RequestParser.parse(span, progress: &progress, head: &head, fields: &table) {
        case .needMore: throw .notOneRequest
        case .failed(let error): throw .head(error)
        case .complete where Int(head.byteCount) != bytes.count: throw .notOneRequest
        case .complete: break
        }

        var path = [UInt8](repeating: 0, count: max(3 * Int(head.path.count), 1))
        var pathCount = 0
        if !head.path.isEmpty {
            var output = path.mutableSpan
            switch PathNormalizer.normalize(
                span.extracting(head.path.range), rejectsEncodedSlashes: rejectsEncodedSlashes, into: &output)
            {
            case .normalized(let count): pathCount = count
            case .rejected(let error): throw .path(error)
            }
        } else if head.form != .asterisk {
            path[0] = UInt8(ascii: "/")
            pathCount = 1
        }
        let hostBytes = bytes[head.host.range].map(ByteText.lowercase)
        return try body(
            RequestView(
                bytes: span, head: head, fields: table.fields,
                path: unsafe path.span.bytes.extracting(0..<pathCount), host: unsafe hostBytes.span.bytes,
                source: source, client: ClientAddress(high: 0, low: 0, port: 0), isSecure: isSecure))
    }
}
