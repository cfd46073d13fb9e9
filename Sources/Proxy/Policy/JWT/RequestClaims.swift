/// What a valid token says of a request (Istio's `request.auth`). It is a view of what was verified.
struct RequestClaims: ~Escapable {
    /// The token's payload.
    let payload: JSONView
    /// `<iss>/<sub>`; empty if the token names no subject, or no issuer.
    let principal: RawSpan

    @_lifetime(copy payload, copy principal)
    init(payload: JSONView, principal: RawSpan) {
        self.payload = payload
        self.principal = principal
    }

    /// The party that the token was issued to (`azp`, OpenID Connect Core section 2); nil: not said.
    var presenter: RawSpan? {
        @_lifetime(copy self)
        get { payload.string("azp") }
    }

    /// The values of `aud`.
    var audiences: ClaimCursor { payload.member("aud").map { values(of: $0) } ?? ClaimCursor(node: -1) }

    /// The value of a member of an object in the payload; nil if there is none.
    ///
    /// - Parameter object: `JSONView.root` for a claim itself.
    func member(_ name: RawSpan, of object: Int = JSONView.root) -> Int? { payload.member(name, of: object) }

    /// The strings that a claim stands for: itself, or the elements of a list. Others have none. `scope` and `permission`
    /// are lists of words (RFC 8693 section 4.2).
    func values(of node: Int) -> ClaimCursor {
        switch payload.kind(node) {
        case .string:
            let name = payload.name(of: node)
            var cursor = ClaimCursor(node: node)
            cursor.splits = ByteText.equal(name, "scope") || ByteText.equal(name, "permission")
            return cursor
        case .array: return ClaimCursor(node: payload.first(in: node) ?? -1, list: node)
        default: return ClaimCursor(node: -1)
        }
    }

    /// The next string; nil after the last.
    @_lifetime(copy self)
    func next(_ cursor: inout ClaimCursor) -> RawSpan? {
        if cursor.splits { return nextWord(&cursor) }
        while cursor.node >= 0 {
            let node = cursor.node
            cursor.node = cursor.list >= 0 ? payload.next(after: node, in: cursor.list) ?? -1 : -1
            if payload.kind(node) == .string { return payload.text(of: node) }
        }
        return nil
    }

    @_lifetime(copy self)
    private func nextWord(_ cursor: inout ClaimCursor) -> RawSpan? {
        let text = payload.text(of: cursor.node)
        while cursor.position < text.byteCount {
            let start = cursor.position
            let end = ByteText.index(of: .space, in: text, from: start) ?? text.byteCount
            cursor.position = end + 1
            if end > start { return text.extracting(start..<end) }
        }
        return nil
    }
}

/// A position among the strings of a claim.
struct ClaimCursor: BitwiseCopyable {
    fileprivate(set) var node: Int
    fileprivate var list = -1
    fileprivate var splits = false
    fileprivate var position = 0

    fileprivate init(node: Int, list: Int = -1) {
        self.node = node
        self.list = list
    }
}

extension ByteText {
    @inline(__always)
    static func equal(_ text: RawSpan, _ other: StaticString) -> Bool {
        unsafe equal(text, RawSpan(_unsafeStart: other.utf8Start, byteCount: other.utf8CodeUnitCount))
    }
}
