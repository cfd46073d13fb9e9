/// What a cookie or header of session persistence says: an endpoint by its opaque number, and when the session began and
/// was last used (GEP-1619). 32 hexadecimal digits.
public struct SessionToken: BitwiseCopyable, Sendable, Equatable {
    static let length = 32

    /// `EndpointState.sessionID`.
    public var endpoint: UInt64
    /// Seconds since 1970.
    public var began: UInt32
    public var used: UInt32

    public init(endpoint: UInt64, began: UInt32, used: UInt32) {
        self.endpoint = endpoint
        self.began = began
        self.used = used
    }

    /// nil for anything but a token.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount == Self.length, let endpoint = Self.number(bytes, 0..<16),
            let times = Self.number(bytes, 16..<32)
        else { return nil }
        self.init(endpoint: endpoint, began: UInt32(times >> 32), used: UInt32(truncatingIfNeeded: times))
    }

    private static func number(_ bytes: RawSpan, _ range: Range<Int>) -> UInt64? {
        var value: UInt64 = 0
        for index in range {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    /// Whether the session goes on. Timeouts in seconds; nil: none.
    func isAlive(absolute: UInt32?, idle: UInt32?, wall: UInt32) -> Bool {
        // Clocks of nodes differ a little: what was begun or used just now is not old.
        if let absolute, wall > began, wall - began >= absolute { return false }
        if let idle, wall > used, wall - used >= idle { return false }
        return true
    }

    func write(into scratch: inout Scratch) {
        for index in 0..<16 { scratch.append(byte: hexDigit(endpoint, index)) }
        let times = UInt64(began) << 32 | UInt64(used)
        for index in 0..<16 { scratch.append(byte: hexDigit(times, index)) }
    }
}

extension RouteTable {
    /// The session that a request belongs to; nil if it has none, or its time is over.
    func session(_ persistence: RoutePersistence, of view: borrowing RequestView, wall: UInt32) -> SessionToken? {
        let name = text(persistence.name)
        guard let slice = persistence.isCookie ? view.cookie(name) : view.header(name),
            let token = SessionToken(view.bytes[slice]),
            token.isAlive(absolute: persistence.absoluteTimeout, idle: persistence.idleTimeout, wall: wall)
        else { return nil }
        return token
    }

    /// Writes the line that tells the client its session, where it does not know it: it has none or another one, or its
    /// idle time begins anew.
    ///
    /// - Parameters:
    ///   - session: the one that the request came with.
    ///   - endpoint: `EndpointState.sessionID` of who answers.
    func writeSession(
        _ persistence: RoutePersistence, _ session: SessionToken?, endpoint: UInt64, wall: UInt32,
        into scratch: inout Scratch
    ) {
        let isSame = session?.endpoint == endpoint
        if isSame, persistence.idleTimeout == nil { return }
        let token = SessionToken(endpoint: endpoint, began: isSame ? session?.began ?? wall : wall, used: wall)
        guard persistence.isCookie else {
            scratch.append(text(persistence.name))
            scratch.append(": ")
            token.write(into: &scratch)
            scratch.append("\r\n")
            return
        }
        scratch.append("Set-Cookie: ")
        scratch.append(text(persistence.name))
        scratch.append("=")
        token.write(into: &scratch)
        scratch.append("; Path=/; HttpOnly")
        if let lifetime = persistence.cookieLifetime {
            scratch.append("; Max-Age=")
            scratch.append(decimal: UInt64(lifetime))
        }
        scratch.append("\r\n")
    }
}
