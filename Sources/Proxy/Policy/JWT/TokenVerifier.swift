/// What one rule demands of tokens.
struct TokenDemand: Sendable {
    let issuer: [UInt8]
    /// Empty: any.
    let audiences: [[UInt8]]

    init(issuer: String, audiences: [String]) {
        self.issuer = Array(issuer.utf8)
        self.audiences = audiences.map { Array($0.utf8) }
    }
}

/// Reads and verifies tokens: JWS in compact form (RFC 7515) with claims as payload (RFC 7519). One for each worker.
struct TokenVerifier: ~Copyable {
    /// Bytes of a token, and of its header.
    static let maximumSize = 16 << 10
    static let maximumHeaderSize = 4 << 10
    /// How far the issuer's clock may be from this one's, seconds.
    static let skew: UInt64 = 60
    /// As many keys of a set are tried for a token that names none.
    static let maximumTries = 8

    private var header = JSONArena(bytes: maximumHeaderSize, nodes: 64)
    private var payload = JSONArena(bytes: maximumSize, nodes: 512)
    private var algorithm = SignatureAlgorithm.rs256
    private var signedCount = 0
    private var signatureStart = 0

    /// Of the token that was read last, up to the next: not to be believed before `verify`.
    var claims: JSONView {
        @_lifetime(immortal)
        get { unsafe _overrideLifetime(payload.view, copying: ()) }
    }

    /// Takes a token apart.
    mutating func read(_ token: RawSpan) throws(TokenError) {
        guard token.byteCount <= Self.maximumSize else { throw .tooLarge }
        guard let first = ByteText.index(of: UInt8(ascii: "."), in: token),
            let second = ByteText.index(of: UInt8(ascii: "."), in: token, from: first + 1),
            ByteText.index(of: UInt8(ascii: "."), in: token, from: second + 1) == nil
        else { throw .malformed }
        guard first * 3 / 4 <= Self.maximumHeaderSize else { throw .tooLarge }
        guard Self.read(token.extracting(0..<first), into: &header),
            Self.read(token.extracting(first + 1..<second), into: &payload)
        else { throw .malformed }
        // RFC 7515 section 4.1.11: whoever does not understand an extension has to refuse.
        guard header.view.member("crit") == nil else { throw .critical }
        guard let name = header.view.member("alg") else { throw .malformed }
        guard header.view.kind(name) == .string,
            let algorithm = SignatureAlgorithm(header.view.text(of: name))
        else { throw .algorithm }
        if let identifier = header.view.member("kid"), header.view.kind(identifier) != .string { throw .malformed }
        self.algorithm = algorithm
        signedCount = second
        signatureStart = second + 1
    }

    /// Whether what was read is a JSON object.
    private static func read(_ text: RawSpan, into arena: inout JSONArena) -> Bool {
        arena.removeAll()
        guard Base64URL.decode(text, { arena.append(byte: $0) }), (try? arena.read()) != nil else { return false }
        return arena.view.kind(JSONView.root) == .object
    }

    /// Whether the claim `iss` of the token that was read is this one.
    func isIssued(by issuer: [UInt8]) -> Bool {
        guard let claim = payload.view.string("iss") else { return false }
        return unsafe ByteText.equal(claim, issuer.span.bytes)
    }

    /// Verifies the token that was read.
    ///
    /// - Parameter now: seconds since 1970.
    /// - Returns: until when it is valid, in seconds since 1970 and with the skew; `.max`: for ever.
    func verify(
        _ token: RawSpan, _ demand: TokenDemand, keys: KeySet, now: UInt64
    ) throws(TokenError) -> UInt64 {
        let end = try check(demand, now: now)
        try checkSignature(token, keys)
        return end
    }

    /// The same without the signature: of what only says that it is a token.
    func check(_ demand: TokenDemand, now: UInt64) throws(TokenError) -> UInt64 {
        guard isIssued(by: demand.issuer) else { throw .issuer }
        let end = try checkTimes(now)
        guard demand.audiences.isEmpty || isFor(demand.audiences) else { throw .audience }
        return end
    }

    private func checkTimes(_ now: UInt64) throws(TokenError) -> UInt64 {
        var end = UInt64.max
        if let expiry = payload.view.member("exp") {
            guard let seconds = payload.view.seconds(expiry) else { throw .time }
            end = seconds + Self.skew
            // RFC 7519 section 4.1.4: on or after that time.
            guard now < end else { throw .expired }
        }
        if let start = payload.view.member("nbf") {
            guard let seconds = payload.view.seconds(start) else { throw .time }
            guard now + Self.skew >= seconds else { throw .notYetValid }
        }
        // Not a condition of RFC 7519, but a token from the future is none of an issuer whose clock is right.
        if let issued = payload.view.member("iat") {
            guard let seconds = payload.view.seconds(issued) else { throw .time }
            guard now + Self.skew >= seconds else { throw .notYetValid }
        }
        return end
    }

    private func isFor(_ audiences: [[UInt8]]) -> Bool {
        let view = payload.view
        guard let claim = view.member("aud") else { return false }
        switch view.kind(claim) {
        case .string: return audiences.contains { unsafe ByteText.equal(view.text(of: claim), $0.span.bytes) }
        case .array:
            var next = view.first(in: claim)
            while let node = next {
                if view.kind(node) == .string,
                    audiences.contains(where: { unsafe ByteText.equal(view.text(of: node), $0.span.bytes) })
                {
                    return true
                }
                next = view.next(after: node, in: claim)
            }
            return false
        default: return false
        }
    }

    private func checkSignature(_ token: RawSpan, _ keys: KeySet) throws(TokenError) {
        let text = token.extracting(signatureStart..<token.byteCount)
        guard let signature = TokenSignature(text, algorithm) else { throw .signature }
        let message = token.extracting(0..<signedCount)
        let identifier = header.view.member("kid")
        var isKnown = false
        var tries = 0
        for key in keys.keys {
            if let identifier, !key.identifier.isEmpty {
                guard unsafe ByteText.equal(header.view.text(of: identifier), key.identifier.span.bytes) else {
                    continue
                }
            }
            isKnown = true
            guard key.key.type.allows(algorithm), key.algorithm.map({ $0 == algorithm }) ?? true else { continue }
            guard tries < Self.maximumTries else { break }
            tries += 1
            if key.key.verifies(signature, of: message, algorithm) { return }
        }
        guard isKnown else { throw .unknownKey }
        throw tries == 0 ? .algorithm : .signature
    }
}
