/// Memory with a token and the claims in it. One of the few files with unsafe code: who copies it gives the memory back
/// once.
@safe struct ClaimStorage: BitwiseCopyable {
    private let base: UnsafeMutableRawPointer
    private let textCount: Int
    private let principalCount: Int
    private let tokenCount: Int
    private let nodeStart: Int
    private let nodeCount: Int

    /// A copy of a payload that was read; nil: it is no object.
    init?(_ payload: borrowing JSONView, token: RawSpan) {
        guard payload.nodes.count > 0, payload.kind(JSONView.root) == .object else { return nil }
        let issuer = payload.string("iss")
        let subject = payload.string("sub")
        textCount = payload.text.byteCount
        var principal = 0
        if let issuer, let subject { principal = issuer.byteCount + 1 + subject.byteCount }
        principalCount = principal
        tokenCount = token.byteCount
        let alignment = MemoryLayout<JSONNode>.alignment
        nodeStart = (textCount + principalCount + tokenCount + alignment - 1) / alignment * alignment
        nodeCount = payload.nodes.count
        let size = nodeStart + nodeCount * MemoryLayout<JSONNode>.stride
        unsafe base = .allocate(byteCount: size, alignment: alignment)
        unsafe Self.copy(payload.text, to: base)
        if principal > 0, let issuer, let subject {
            unsafe Self.copy(issuer, to: base + textCount)
            unsafe base.storeBytes(of: UInt8(ascii: "/"), toByteOffset: textCount + issuer.byteCount, as: UInt8.self)
            unsafe Self.copy(subject, to: base + textCount + issuer.byteCount + 1)
        }
        unsafe Self.copy(token, to: base + textCount + principalCount)
        unsafe Self.copy(payload.nodes.bytes, to: base + nodeStart)
    }

    @unsafe func deallocate() { unsafe base.deallocate() }

    /// The caller knows how long.
    var claims: RequestClaims {
        @_lifetime(immortal)
        get {
            let text = unsafe RawSpan(_unsafeStart: base, byteCount: textCount)
            let principal = unsafe RawSpan(_unsafeStart: base + textCount, byteCount: principalCount)
            let nodes = unsafe Span<JSONNode>(
                _unsafeStart: (base + nodeStart).assumingMemoryBound(to: JSONNode.self), count: nodeCount)
            let claims = RequestClaims(payload: JSONView(text: text, nodes: nodes), principal: principal)
            return unsafe _overrideLifetime(claims, copying: ())
        }
    }

    var token: RawSpan {
        @_lifetime(immortal)
        get {
            let token = unsafe RawSpan(_unsafeStart: base + textCount + principalCount, byteCount: tokenCount)
            return unsafe _overrideLifetime(token, copying: ())
        }
    }

    private static func copy(_ bytes: RawSpan, to target: UnsafeMutableRawPointer) {
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe target.copyMemory(from: start, byteCount: source.count)
        }
    }
}

/// Claims with memory of their own, as long as they are kept.
struct ClaimSet: ~Copyable {
    private let storage: ClaimStorage

    /// Reads a payload; nil: it is no JSON object.
    init?(json: [UInt8]) {
        var arena = JSONArena(bytes: json.count, nodes: 4096)
        guard unsafe arena.append(json.span.bytes), (try? arena.read()) != nil,
            let storage = ClaimStorage(arena.view, token: RawSpan())
        else { return nil }
        self.storage = storage
    }

    deinit { unsafe storage.deallocate() }

    var claims: RequestClaims {
        @_lifetime(borrow self)
        get { unsafe _overrideLifetime(storage.claims, borrowing: self) }
    }
}
