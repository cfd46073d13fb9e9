/// One call of a client: the stream of HTTP/2, from its head to the last message.
struct WorkloadAPICall {
    enum Method {
        case fetchX509SVID
        case fetchX509Bundles

        init?(path: String) {
            switch path {
            case "/SpiffeWorkloadAPI/FetchX509SVID": self = .fetchX509SVID
            case "/SpiffeWorkloadAPI/FetchX509Bundles": self = .fetchX509Bundles
            default: return nil
            }
        }
    }

    enum State {
        case reading
        /// Messages go out, now and at each change.
        case serving(Method)
        /// Answered; nothing follows but what is in `pending`.
        case ended
    }

    var state = State.reading
    // What matters of the head.
    private var verb = ""
    private var path = ""
    private var contentType = ""
    private var securityField = ""
    private(set) var headBytes = 0
    private(set) var body: [UInt8] = []

    /// The message that is being sent, in its frame, and how much of it is.
    var pending: [UInt8] = []
    var sent = 0
    /// The message that was taken last; what equals it is not sent again.
    var latest: [UInt8] = []
    /// Replaces the messages that the client was too slow for: each has the whole state.
    var next: [UInt8]?
    /// Ends the call when the pending message is out.
    var end: GRPCStatus?

    /// Bytes that a field counts for besides its own (RFC 9113 §6.5.2).
    private static let fieldOverhead = 32

    mutating func field(_ name: String, _ value: String) {
        headBytes += name.utf8.count + value.utf8.count + Self.fieldOverhead
        switch name {
        case ":method": verb = value
        case ":path": path = value
        case "content-type": contentType = value
        // More than one is not `true`.
        case "workload.spiffe.io": securityField += value
        default: break
        }
    }

    mutating func append(_ bytes: [UInt8], limit: Int) throws(GRPCStatus) {
        guard body.count + bytes.count <= limit else {
            throw GRPCStatus(.resourceExhausted, "the request is longer than \(limit) bytes")
        }
        body += bytes
    }

    /// The status of HTTP if it is no call of gRPC at all.
    var refusal: Int? {
        if verb != "POST" { return 405 }
        return contentType == "application/grpc" || contentType.hasPrefix("application/grpc+")
            || contentType.hasPrefix("application/grpc;") ? nil : 415
    }

    /// The method, when the head is one that the API takes.
    ///
    /// Requests that a browser or a proxy was led to send do not have the field.
    /// Source: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#61-hardening
    func method() throws(GRPCStatus) -> Method {
        guard securityField == "true" else {
            throw GRPCStatus(.invalidArgument, "the metadata workload.spiffe.io: true is required")
        }
        guard let method = Method(path: path) else {
            throw GRPCStatus(.unimplemented, "only FetchX509SVID and FetchX509Bundles are served")
        }
        return method
    }

    /// Takes the state to send, unless the client has it.
    ///
    /// - Returns: whether there is something to send now.
    mutating func offer(_ message: [UInt8]) -> Bool {
        guard message != latest else { return false }
        latest = message
        guard sent == pending.count else {
            next = message
            return false
        }
        load(message)
        return true
    }

    mutating func load(_ message: [UInt8]) {
        pending = message
        sent = 0
        next = nil
    }
}
