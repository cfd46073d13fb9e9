/// What the valid tokens of a request say, for policies. It is valid as long as the memory that the values are in.
public struct RequestClaims: ~Escapable {
    /// What the slices of `principal`, `presenter` and `values` speak of.
    public let bytes: RawSpan
    /// `<iss>/<sub>` of the token; empty: there is no valid one.
    public let principal: ClaimSlice
    /// `azp`; empty: none.
    public let presenter: ClaimSlice
    /// Every string of the token's payload, with where it stands. A list has one entry for each of its strings, `aud` is a
    /// list even if it is written as one string, and `scope` and `permission` are split at their spaces (as Istio does).
    /// Claims that are neither strings nor lists of strings are left out.
    public let values: Span<ClaimValue>

    @_lifetime(copy bytes, copy values)
    public init(bytes: RawSpan, principal: ClaimSlice, presenter: ClaimSlice, values: Span<ClaimValue>) {
        self.bytes = bytes
        self.principal = principal
        self.presenter = presenter
        self.values = values
    }

    /// No token.
    public static var none: RequestClaims {
        @_lifetime(immortal)
        get { RequestClaims(bytes: RawSpan(), principal: .empty, presenter: .empty, values: Span()) }
    }

    /// Between the elements of a claim's path: no JSON text has it unescaped, and claims whose name has it are left out.
    public static let separator: UInt8 = 0

    @_lifetime(copy self)
    func text(_ slice: ClaimSlice) -> RawSpan { bytes.extracting(slice.range) }
}

/// Bytes of `RequestClaims.bytes`.
public struct ClaimSlice: BitwiseCopyable, Sendable, Equatable {
    public var start: UInt32
    public var count: UInt32

    public init(start: UInt32, count: UInt32) {
        self.start = start
        self.count = count
    }

    public static let empty = ClaimSlice(start: 0, count: 0)

    public var isEmpty: Bool { count == 0 }
    var range: Range<Int> { Int(start)..<(Int(start) + Int(count)) }
}

/// One string of a token's payload.
public struct ClaimValue: BitwiseCopyable, Sendable {
    /// The claim's names from the outermost on, with `RequestClaims.separator` between them.
    public var path: ClaimSlice
    /// Unescaped.
    public var value: ClaimSlice

    public init(path: ClaimSlice, value: ClaimSlice) {
        self.path = path
        self.value = value
    }
}
