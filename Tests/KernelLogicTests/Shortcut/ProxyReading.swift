import Mesh
import WeftABI

@testable import Proxy

/// What the proxy makes of heads that the program has understood: its own parsers, and the heads that it would send on.
struct ProxyReading: ~Copyable {
    private let table: RouteTable
    private let service: Int
    private var fields = FieldTable()
    private var scratch = Scratch()
    private var normalized = [UInt8](repeating: 0, count: 3 * Int(WEFT_SHORTCUT_TARGET))

    init() {
        let name = ObjectName(namespace: "shop", name: "web")
        let endpoint = MeshEndpoint(address: IPAddress(high: 0, low: 1), port: 8080)
        var snapshot = MeshSnapshot(generation: 1)
        snapshot.services[name] = MeshService(
            name: name, addresses: [],
            ports: [MeshServicePort(name: "", port: 80, transport: .tcp, endpoints: [endpoint])],
            balancing: Balancing())
        snapshot.services[name]?.ports[0].http = HTTPRouting(rules: [])
        table = RouteTable(
            snapshot, identifiers: RouteIdentifiers(services: [.init(service: name, port: 80): [1]]))
        service = table.service(1) ?? -1
    }

    /// Why the program should not have understood a request as it did; nil: it is right.
    ///
    /// - Parameter bytes: of the message: its head, and what follows.
    mutating func fault(_ bytes: [UInt8], ofRequest reader: ShortcutReader) -> String? {
        var head = RequestHead()
        var progress = HeadProgress()
        let span = unsafe bytes.span.bytes
        switch RequestParser.parse(span, progress: &progress, head: &head, fields: &fields) {
        case .complete: break
        // No table is for such a Host.
        case .failed(.invalidHost), .failed(.missingHost): return isHost(bytes, reader) ? "Host is valid" : nil
        case let result: return "the proxy says \(result)"
        }
        guard reader.hasHost else { return "there is a Host" }
        let read = reader.head
        let expected: UInt64
        switch head.framing {
        case .none: expected = 0
        case .length(let length): expected = length
        case .chunked, .untilClose: return "the framing is \(head.framing)"
        }
        if case .length = head.framing, !reader.hasLength { return "there is a length" }
        if head.framing == .none, reader.hasLength { return "there is no length" }
        if read.content_length != expected { return "the length is \(expected)" }
        if read.line != UInt32(head.byteCount) { return "the head has \(head.byteCount) bytes" }
        if head.form != .origin || head.minorVersion != 1 { return "the form is \(head.form)" }
        if read.method != Self.bit(head.method) { return "the method is \(head.method)" }
        if reader.host != head.authority.range { return "Host is at \(head.authority)" }
        if read.path_length != UInt32(head.path.count) { return "the path has \(head.path.count) bytes" }
        let path = Array(bytes[head.path.range])
        if reader.path != Array(path.prefix(Int(WEFT_SHORTCUT_TEXT))) { return "the path differs" }
        if let fault = pathFault(path) { return fault }
        if head.wantsUpgrade || head.expectsContinue || head.hasConnectionOptions || head.hasEnvoyFields
            || head.acceptsTrailers || !head.isPersistent
        {
            return "the head says more: \(head)"
        }
        return forwardingFault(bytes, head, path)
    }

    private func isHost(_ bytes: [UInt8], _ reader: ShortcutReader) -> Bool {
        reader.hasHost
            && Authority(
                HeadSlice(from: reader.host.lowerBound, to: reader.host.upperBound), in: unsafe bytes.span.bytes) != nil
    }

    private mutating func pathFault(_ path: [UInt8]) -> String? {
        var output = normalized.mutableSpan
        switch PathNormalizer.normalize(unsafe path.span.bytes, rejectsEncodedSlashes: true, into: &output) {
        case .normalized(let count): return path == Array(normalized[..<count]) ? nil : "the path has a normal form"
        case .rejected(let error): return "the path is refused: \(error)"
        }
    }

    private mutating func forwardingFault(_ bytes: [UInt8], _ head: RequestHead, _ path: [UInt8]) -> String? {
        let span = unsafe bytes.span.bytes
        let host = bytes[head.host.range].map(ByteText.lowercase)
        let view = RequestView(
            bytes: span, head: head, fields: fields.fields, path: unsafe path.span.bytes, host: unsafe host.span.bytes,
            source: 0, client: ClientAddress(high: 0, low: 0, port: 0))
        scratch.removeAll()
        table.writeRequestHead(
            table.route(service, view, random: 0), service: service, view, MessageOptions(framing: head.framing),
            extra: RawSpan(), into: &scratch)
        return isForwarded(bytes, Int(head.byteCount), ofRequest: true) ? nil : "the proxy sends \(scratchText)"
    }

    /// The same for a response.
    mutating func fault(_ bytes: [UInt8], ofResponse reader: ShortcutReader, to method: HTTPMethod) -> String? {
        var head = ResponseHead()
        var progress = HeadProgress()
        let span = unsafe bytes.span.bytes
        let result = ResponseParser.parse(span, method: method, progress: &progress, head: &head, fields: &fields)
        guard result == .complete else { return "the proxy says \(result)" }
        if reader.head.status != UInt32(head.status) { return "the status is \(head.status)" }
        if reader.head.line != UInt32(head.byteCount) { return "the head has \(head.byteCount) bytes" }
        switch head.framing {
        // The program leaves chunks in an answer to HEAD.
        case .none: if reader.isChunked { return method == .head ? nil : "it has no chunks" }
        case .length(let length):
            if !reader.hasLength || reader.head.content_length != length { return "the length is \(length)" }
        case .untilClose: return reader.hasLength || reader.isChunked ? "there is no length" : nil
        case .chunked: if !reader.isChunked || reader.hasLength { return "it is chunked" }
        }
        if head.hasConnectionOptions || head.wantsUpgrade || !head.isPersistent { return "the head says more: \(head)" }
        scratch.removeAll()
        table.writeResponseHead(
            RouteDecision(.forward), head, fields.fields, of: span, origin: RawSpan(),
            MessageOptions(framing: head.framing), extra: RawSpan(), into: &scratch)
        return isForwarded(bytes, Int(head.byteCount), ofRequest: false) ? nil : "the proxy sends \(scratchText)"
    }

    /// Why the program should not have found that much content in chunks; nil: it is right.
    func fault(_ chunks: [UInt8], content: Int) -> String? {
        var decoder = ChunkedDecoder()
        var position = 0
        var found = 0
        while true {
            switch decoder.next(in: unsafe chunks.span.bytes, at: &position) {
            case .data(let range): found += range.count
            case .end:
                guard position == chunks.count else { return "they end at \(position)" }
                return found == content ? nil : "they have \(found) bytes"
            case let result: return "the proxy says \(result)"
            }
        }
    }

    // MARK: What is sent on

    private var scratchText: String {
        unsafe scratch.bytes.withUnsafeBytes { bytes in unsafe String(decoding: bytes, as: UTF8.self) }
    }

    /// Whether `scratch` is the head as it came, but for what says that a connection persists: that is the default.
    private func isForwarded(_ bytes: [UInt8], _ end: Int, ofRequest: Bool) -> Bool {
        var expected = bytes.count == end ? bytes : Array(bytes[..<end])
        for index in fields.fields.indices.reversed() {
            let field = fields.fields[index]
            switch field.known {
            case .connection: break
            // What a server says of its connection is about one that the client does not have; it does no harm.
            case .keepAlive where !ofRequest: break
            default: continue
            }
            expected.removeSubrange(field.line.range)
        }
        return unsafe scratch.bytes.withUnsafeBytes { sent in
            unsafe expected.withUnsafeBytes { unsafe $0.elementsEqual(sent) }
        }
    }

    private static func bit(_ method: HTTPMethod) -> UInt32 {
        switch method {
        case .get: WEFT_SHORTCUT_GET.rawValue
        case .head: WEFT_SHORTCUT_HEAD.rawValue
        case .post: WEFT_SHORTCUT_POST.rawValue
        case .put: WEFT_SHORTCUT_PUT.rawValue
        case .delete: WEFT_SHORTCUT_DELETE.rawValue
        case .patch: WEFT_SHORTCUT_PATCH.rawValue
        case .options: WEFT_SHORTCUT_OPTIONS.rawValue
        case .other, .connect, .trace: 0
        }
    }
}
