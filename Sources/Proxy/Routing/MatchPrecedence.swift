import Mesh

/// The path of a match in the form in which it is compared: the normal form, as that of requests.
struct PathPattern {
    var kind: RouteDecision.PathKind
    /// Without the trailing slash of a prefix by elements; lower-case if case is ignored, also in expressions' names.
    var text: String
    var ignoresCase: Bool

    init(_ match: HTTPMatch) {
        ignoresCase = match.ignoresPathCase
        switch match.path {
        case nil:
            kind = .any
            text = ""
            ignoresCase = false
        case .exact(let path):
            kind = .exact
            text = Self.normalized(path)
        case .prefix(let path):
            kind = .element
            let path = Self.normalized(path)
            text = path.hasSuffix("/") ? String(path.dropLast()) : path
        case .textPrefix(let path):
            kind = .text
            text = Self.normalized(path)
        case .regex(let path):
            kind = .regex
            text = path
        }
        if ignoresCase, kind != .regex { text = text.lowercased() }
    }

    /// As it is if it has no normal form: no request has one that it matches.
    private static func normalized(_ path: String) -> String {
        guard path.hasPrefix("/") else { return path }
        let bytes = Array(path.encodedForTarget.utf8)
        var output = [UInt8](repeating: 0, count: 3 * bytes.count)
        var span = output.mutableSpan
        let result = unsafe PathNormalizer.normalize(bytes.span.bytes, rejectsEncodedSlashes: false, into: &span)
        guard case .normalized(let count) = result else { return path }
        return String(decoding: output[..<count], as: UTF8.self)
    }

    /// With `regex`.
    var expression: String { ignoresCase ? "(?i)" + text : text }

    /// What compares it outside a trie.
    var test: RouteCondition.Test {
        switch kind {
        case .exact: ignoresCase ? .exactAnyCase : .exact
        case .element, .any: ignoresCase ? .elementAnyCase : .element
        case .text: ignoresCase ? .prefixAnyCase : .prefix
        case .regex: .regex
        }
    }
}

/// Which of two matches wins where both match: the lesser.
///
/// `HTTPRoute`: exact path, longest prefix, method, most headers, most query parameters, then the order that the objects'
/// age and names give. The specification leaves expressions to the implementation; here they come after every prefix but
/// `/`, which matches everything and would leave them nothing.
struct MatchPrecedence: Comparable {
    private var key: [Int]

    /// Istio: as written.
    init(order: (rule: Int, match: Int)) { key = [order.rule, order.match] }

    init(_ path: PathPattern, _ match: HTTPMatch, order: (rule: Int, match: Int)) {
        let length = path.text.unicodeScalars.count
        let rank =
            switch path.kind {
            case .exact: 0
            case .element, .text: path.text.isEmpty || path.text == "/" ? 3 : 1
            case .regex: 2
            case .any: 3
            }
        key = [
            rank, path.kind == .any || rank == 3 ? 0 : -length, match.method == nil ? 1 : 0,
            -match.headers.count,
            -match.query.count, order.rule, order.match,
        ]
    }

    static func < (a: Self, b: Self) -> Bool { a.key.lexicographicallyPrecedes(b.key) }
}
