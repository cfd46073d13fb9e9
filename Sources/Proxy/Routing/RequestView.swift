internal import Mesh

/// What routing, limits and policies see of a request. It is valid as long as the buffer that holds the head.
public struct RequestView: ~Escapable {
    /// The bytes that the slices of `head` and `fields` speak of.
    public let bytes: RawSpan
    public let head: RequestHead
    public let fields: Span<HeadField>
    /// Normalised; this is what is matched, logged and forwarded.
    public let path: RawSpan
    /// Lower-case host without port and without a trailing dot.
    public let host: RawSpan
    /// The workload that called, as the kernel's maps name it; 0: unknown.
    public let source: UInt64
    /// The client's address, IPv4 in mapped form.
    public let client: ClientAddress
    /// It came over TLS: its scheme is https.
    public let isSecure: Bool

    @_lifetime(copy bytes, copy fields, copy path, copy host)
    public init(
        bytes: RawSpan, head: RequestHead, fields: Span<HeadField>, path: RawSpan, host: RawSpan,
        source: UInt64,
        client: ClientAddress, isSecure: Bool = false
    ) {
        self.bytes = bytes
        self.head = head
        self.fields = fields
        self.path = path
        self.host = host
        self.source = source
        self.client = client
        self.isSecure = isSecure
    }
}

/// An address and port of a peer, both in the machine's order.
public struct ClientAddress: BitwiseCopyable, Sendable, Equatable {
    public var high: UInt64
    public var low: UInt64
    public var port: UInt16

    public init(high: UInt64, low: UInt64, port: UInt16) {
        self.high = high
        self.low = low
        self.port = port
    }

    init(address: IPAddress, port: UInt16) {
        self.init(high: UInt64(bigEndian: address.high), low: UInt64(bigEndian: address.low), port: port)
    }
}
