import Mesh

/// What a cluster's ring hash or Maglev hashes of a request.
struct RouteHashKey: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case none, header, query, source, cookie }

    var kind = Kind.none
    /// A header's in lower case.
    var name = RouteText.empty
    /// Of the cookie that is made.
    var path = RouteText.empty
    /// Seconds; 0: the browser's session.
    var lifetime: UInt32 = 0
}

extension RouteTable {
    /// The hash of a request's key; nil if the cluster has no key, or the request has nothing of that name.
    public func balancingHash(_ cluster: Int, of view: borrowing RequestView) -> UInt64? {
        let key = hashKeys[cluster]
        switch key.kind {
        case .none: return nil
        case .header: return view.header(text(key.name)).map { xxHash64(view.bytes[$0]) }
        case .query: return view.parameter(text(key.name)).map { xxHash64(view.bytes[$0]) }
        case .cookie: return view.cookie(text(key.name)).map { xxHash64(view.bytes[$0]) }
        case .source: return mix64(mix64(view.client.high) ^ view.client.low)
        }
    }

    /// Whether a request without a hash gets a cookie, so that its successors have one.
    public func makesHashCookie(_ cluster: Int) -> Bool { hashKeys[cluster].kind == .cookie }

    /// The hash that a cookie made of this number has.
    public func hash(ofCookie number: UInt64) -> UInt64 {
        var text = InlineArray<16, UInt8>(repeating: 0)
        for index in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64((15 - index) * 4) & 15)
            text[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
        }
        return unsafe xxHash64(text.span.bytes)
    }

    /// Writes the line that gives the client the cookie.
    func writeHashCookie(_ cluster: Int, number: UInt64, into scratch: inout Scratch) {
        let key = hashKeys[cluster]
        scratch.append("set-cookie: ")
        scratch.append(text(key.name))
        scratch.append(byte: UInt8(ascii: "="))
        scratch.append(hexadecimal: number, digits: 16)
        if !key.path.isEmpty {
            scratch.append("; Path=")
            scratch.append(text(key.path))
        }
        scratch.appendCookieAttributes(lifetime: key.lifetime)
        scratch.append("\r\n")
    }
}

extension RouteTableBuilder {
    mutating func hashKey(_ key: HTTPBalancer.HashKey?) -> RouteHashKey {
        switch key {
        case nil: return RouteHashKey()
        case .header(let name): return RouteHashKey(kind: .header, name: text(name.lowercased()))
        case .query(let name): return RouteHashKey(kind: .query, name: text(name))
        case .sourceAddress: return RouteHashKey(kind: .source)
        case .cookie(let name, let path, let lifetime):
            let isSafe = HeaderEditBuilder.isValue(path) && !path.contains(";")
            guard HeaderEditBuilder.isToken(name) else { return RouteHashKey() }
            return RouteHashKey(
                kind: .cookie, name: text(name), path: text(isSafe ? path : ""), lifetime: lifetime)
        }
    }
}
