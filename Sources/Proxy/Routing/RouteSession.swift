/// What a client's session cookie or header says: its endpoint and its times.
///
/// On the wire it is three numbers in hexadecimal, `<endpoint>-<created>-<seen>`. It is not signed: whoever changes it
/// reaches another endpoint of the same cluster, nothing else.
public struct RouteSession: BitwiseCopyable, Sendable, Equatable {
    /// `Cluster.Endpoint.sessionID`.
    public var endpoint: UInt64
    /// Seconds since 1970: when it was made, and when it was last written.
    public var created: UInt32
    public var seen: UInt32

    public init(endpoint: UInt64, now: UInt32) {
        self.endpoint = endpoint
        created = now
        seen = now
    }

    init?(_ text: RawSpan) {
        guard text.byteCount == 34, text[16] == UInt8(ascii: "-"), text[25] == UInt8(ascii: "-"),
            let endpoint = Self.number(text, 0..<16), let created = Self.number(text, 17..<25),
            let seen = Self.number(text, 26..<34)
        else { return nil }
        self.endpoint = endpoint
        self.created = UInt32(truncatingIfNeeded: created)
        self.seen = UInt32(truncatingIfNeeded: seen)
    }

    private static func number(_ text: RawSpan, _ range: Range<Int>) -> UInt64? {
        var number: UInt64 = 0
        for index in range {
            guard let digit = text[index].hexValue else { return nil }
            number = number << 4 | UInt64(digit)
        }
        return number
    }
}

extension RouteTable {
    /// The session that a request belongs to; nil if it has none, or one whose time is over (GEP-1619).
    ///
    /// - Parameters:
    ///   - persistence: its place in `persistences`.
    ///   - now: seconds since 1970.
    public func session(_ persistence: Int32, of view: borrowing RequestView, now: UInt32) -> RouteSession? {
        let policy = persistences[Int(persistence)]
        let name = text(policy.name)
        guard let value = policy.isCookie ? view.cookie(name) : view.header(name),
            let session = RouteSession(view.bytes[value])
        else { return nil }
        // What the future made is not of this node's clock; it ends like what was made now.
        if let timeout = policy.absoluteTimeout, now > session.created, now - session.created >= timeout { return nil }
        if let timeout = policy.idleTimeout, now > session.seen, now - session.seen >= timeout { return nil }
        return session
    }

    /// Whether a client has to be given its session: a new one, another endpoint, or a time of idleness that begins anew.
    public func needsSessionField(_ persistence: Int32, known: RouteSession?, endpoint: UInt64, now: UInt32) -> Bool {
        guard let known, known.endpoint == endpoint else { return true }
        return persistences[Int(persistence)].idleTimeout != nil && known.seen != now
    }

    /// Writes the line of a response's head that gives the client its session with an endpoint.
    func writeSessionField(
        _ persistence: Int32, known: RouteSession?, endpoint: UInt64, now: UInt32, into scratch: inout Scratch
    ) {
        let policy = persistences[Int(persistence)]
        // A session that goes on elsewhere is still the same.
        var session = known ?? RouteSession(endpoint: endpoint, now: now)
        session.endpoint = endpoint
        session.seen = now
        if policy.isCookie { scratch.append("set-cookie: ") }
        scratch.append(text(policy.name))
        scratch.append(policy.isCookie ? "=" : ": ")
        scratch.append(hexadecimal: session.endpoint, digits: 16)
        scratch.append(byte: UInt8(ascii: "-"))
        scratch.append(hexadecimal: UInt64(session.created), digits: 8)
        scratch.append(byte: UInt8(ascii: "-"))
        scratch.append(hexadecimal: UInt64(session.seen), digits: 8)
        if policy.isCookie {
            scratch.append("; Path=/")
            scratch.appendCookieAttributes(lifetime: policy.cookieLifetime ?? 0)
        }
        scratch.append("\r\n")
    }
}

extension Scratch {
    mutating func append(hexadecimal value: UInt64, digits: Int) {
        for index in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(index * 4) & 15)
            append(byte: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    /// What ends a cookie. `lifetime` in seconds; 0: the browser's session.
    mutating func appendCookieAttributes(lifetime: UInt32) {
        if lifetime > 0 {
            append("; Max-Age=")
            append(decimal: UInt64(lifetime))
        }
        append("; HttpOnly")
    }
}
