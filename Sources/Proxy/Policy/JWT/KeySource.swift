internal import Mesh
internal import Synchronization

/// Where an issuer's keys come from, and what they are now. Workers see changes by its version.
final class KeySource: Sendable {
    struct State: Sendable {
        /// The last good set.
        var set: KeySet?
        /// Of the last time; nil: it was good.
        var problem: String?
        /// Times that it was read or fetched well, and that this failed.
        var successes: UInt64 = 0
        var failures: UInt64 = 0
    }

    let keys: JWTRule.Keys
    /// Milliseconds that fetching may take.
    let timeout: UInt32
    /// 0: there is no set yet. Grows with every change of the keys.
    let version = SharedCell(Atomic<UInt64>(0))
    /// A token named a key that the set does not have: CLOCK_MONOTONIC, nanoseconds; 0: none did.
    let wanted = Atomic<UInt64>(0)
    private let state = Mutex(State())

    init(_ keys: JWTRule.Keys, timeout: UInt32) {
        self.keys = keys
        self.timeout = timeout
        if case .inline(let json) = keys { take(Array(json.utf8)) }
    }

    var current: KeySet? { state.withLock { $0.set } }
    var reading: State { state.withLock { $0 } }

    /// Puts a set in force. A text that is no key set leaves the last good one.
    ///
    /// - Returns: whether it is one.
    @discardableResult
    func take(_ json: [UInt8]) -> Bool {
        do throws(KeySet.Problem) {
            let set = try KeySet(json: json)
            state.withLock { state in
                state.set = set
                state.problem = nil
                state.successes += 1
            }
            version.reference.value.add(1, ordering: .releasing)
            return true
        } catch {
            fail(error.description)
            return false
        }
    }

    func fail(_ problem: String) {
        state.withLock { state in
            state.problem = problem
            state.failures += 1
        }
    }
}

/// One rule of the tables in force.
final class TokenIssuer: Sendable {
    /// The same in every configuration that has the rule; never reused.
    let identity: UInt64
    let rule: JWTRule
    let demand: TokenDemand
    let source: KeySource

    init(identity: UInt64, _ rule: JWTRule, source: KeySource) {
        self.identity = identity
        self.rule = rule
        demand = TokenDemand(issuer: rule.issuer, audiences: rule.audiences)
        self.source = source
    }
}

/// A rule of the table as a worker sees it.
struct IssuerFacts: BitwiseCopyable, Sendable {
    let identity: UInt64
    let version: SharedReference<Atomic<UInt64>>

    init(_ issuer: TokenIssuer) {
        identity = issuer.identity
        version = issuer.source.version.reference
    }
}

/// How the keys of an issuer are, for people and metrics.
public struct TokenIssuerStatus: Sendable, Equatable {
    public var issuer: String
    /// The URL; `inline` for keys that are in the configuration.
    public var source: String
    /// Keys that tokens are verified with; 0: none yet, so that all of its tokens are refused.
    public var keys: Int
    /// Keys of the set that cannot be used.
    public var ignoredKeys: Int
    public var successes: UInt64
    public var failures: UInt64
    /// Why they could not be got the last time; nil: they could.
    public var problem: String?
}

/// The issuers of a configuration, in the order of its table's rules.
final class TokenIssuers: Sendable {
    let issuers: [TokenIssuer]
    let facts: SharedTable<IssuerFacts>
    private static let nextIdentity = Atomic<UInt64>(1)

    /// Rules that were there before keep their identities and keys.
    init(_ rules: [JWTRule], previous: TokenIssuers?) {
        var issuers: [TokenIssuer] = []
        var sources: [String: KeySource] = [:]
        for issuer in previous?.issuers ?? [] { sources[Self.key(issuer.rule)] = issuer.source }
        for rule in rules {
            if let known = previous?.issuers.first(where: { $0.rule == rule }) {
                issuers.append(known)
                continue
            }
            let source = sources[Self.key(rule)] ?? KeySource(rule.keys, timeout: rule.timeout)
            sources[Self.key(rule)] = source
            let identity = Self.nextIdentity.add(1, ordering: .relaxed).oldValue
            issuers.append(TokenIssuer(identity: identity, rule, source: source))
        }
        self.issuers = issuers
        facts = SharedTable(issuers.map(IssuerFacts.init))
    }

    private static func key(_ rule: JWTRule) -> String {
        switch rule.keys {
        case .inline(let json): "inline:\(json)"
        case .url(let url): "\(rule.timeout):\(url)"
        }
    }

    /// Each once.
    var sources: [KeySource] {
        var seen: Set<ObjectIdentifier> = []
        return issuers.map(\.source).filter { seen.insert(ObjectIdentifier($0)).inserted }
    }

    var statuses: [TokenIssuerStatus] {
        issuers.map { issuer in
            let state = issuer.source.reading
            let source =
                switch issuer.rule.keys {
                case .inline: "inline"
                case .url(let url): url
                }
            return TokenIssuerStatus(
                issuer: issuer.rule.issuer, source: source, keys: state.set?.keys.count ?? 0,
                ignoredKeys: state.set?.ignored ?? 0, successes: state.successes, failures: state.failures,
                problem: state.problem)
        }
    }
}
