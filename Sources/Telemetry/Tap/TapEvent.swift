/// A live request: its beginning, or its end with everything that is known of it then.
public struct TapEvent: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case request, response
    }

    /// Which request on which connection: beginning and end have the same.
    public struct ID: Sendable, Hashable {
        public var connection: UInt64
        public var number: UInt64

        public init(connection: UInt64, number: UInt64) {
            self.connection = connection
            self.number = number
        }
    }

    public var kind: Kind
    public var id: ID
    /// Nanoseconds since 1970: when its head was read, or when it has ended.
    public var time: Int64 = 0
    public var lane = Terms.unknown
    /// `outbound`: seen at the client's end; `inbound`: at the server's.
    public var direction = "outbound"
    /// As in `FlowRecord`.
    public var from: String?
    public var sourcePrincipal: String?
    public var to: String?
    public var destination: String?
    /// `address:port` of the client and of who answers.
    public var sourceAddress: String?
    public var destinationAddress: String?
    public var method: String?
    /// The Host field; nil where only the first line is read.
    public var authority: String?
    /// The request target, cut when it is long.
    public var path: String?
    /// Of the response; nil: there was none.
    public var status: UInt16?
    /// What became of it: `complete`, `client_ended`, `server_ended` or `unparsed`; in the proxy lane Envoy's response code
    /// details.
    public var outcome: String?
    /// Envoy's response flags; nil: none.
    public var flags: String?
    /// First byte of the request to the last one of the response, and to the first one.
    public var durationMicroseconds: UInt64?
    public var firstByteMicroseconds: UInt64?
    /// Of the bodies.
    public var requestBytes: UInt64?
    public var responseBytes: UInt64?

    public init(_ kind: Kind, _ id: ID) {
        self.kind = kind
        self.id = id
    }

    /// One JSON object without line feeds; every key is always there, in this order; `null` says that there is none or that
    /// it is not known yet.
    ///
    /// `event` (`request` or `response`), `id`, `time` (RFC 3339, UTC), `lane`, `direction`, `from`, `source_principal`, `to`,
    /// `destination`, `source_address`, `destination_address`, `method`, `authority`, `path`, `status`, `outcome`, `flags`,
    /// `duration_us`, `first_byte_us`, `request_bytes`, `response_bytes`.
    public func writeJSON(to bytes: inout [UInt8]) {
        var object = JSONObjectWriter()
        object.add("event", kind.rawValue)
        object.add("id", "\(id.connection):\(id.number)")
        object.add("time", WallClock.text(unixNanoseconds: time))
        object.add("lane", lane)
        object.add("direction", direction)
        object.add("from", from)
        object.add("source_principal", sourcePrincipal)
        object.add("to", to)
        object.add("destination", destination)
        object.add("source_address", sourceAddress)
        object.add("destination_address", destinationAddress)
        object.add("method", method)
        object.add("authority", authority)
        object.add("path", path)
        object.add("status", number: status)
        object.add("outcome", outcome)
        object.add("flags", flags)
        object.add("duration_us", number: durationMicroseconds)
        object.add("first_byte_us", number: firstByteMicroseconds)
        object.add("request_bytes", number: requestBytes)
        object.add("response_bytes", number: responseBytes)
        bytes.append(contentsOf: object.finished())
    }
}
