internal import Synchronization

/// What the tokens of a request come to.
enum TokenResult: BitwiseCopyable {
    /// It has none.
    case none
    /// The first of them; all are valid. `entry` is in the cache and retained for the caller.
    case valid(entry: UInt32, rule: Int32)
    case refused(TokenError)
    /// No place for what its token says.
    case exhausted
}

/// Verifies the tokens of requests. One for each worker.
struct TokenAuthenticator: ~Copyable {
    /// A request that has more is refused.
    static let maximumTokens = 4

    private var verifier = TokenVerifier()
    var cache: TokenCache

    /// - Parameter users: the most requests at one time.
    init(users: UInt32) {
        cache = TokenCache(users: users)
    }

    /// - Parameters:
    ///   - issuers: of the table's rules.
    ///   - wall: seconds since 1970.
    ///   - now: CLOCK_MONOTONIC, nanoseconds.
    mutating func authenticate(
        _ service: Int, _ view: borrowing RequestView, _ table: AuthenticationTable, _ issuers: TokenIssuers,
        wall: UInt64, now: UInt64
    ) -> TokenResult {
        let facts = issuers.facts.view
        var cursor = TokenCursor()
        var result = TokenResult.none
        var count = 0
        while let found = table.next(&cursor, service: service, view) {
            count += 1
            guard count <= Self.maximumTokens else { return refuse(result, .tooMany) }
            let token = view.bytes[found.slice]
            let rules = table.locations[found.location].rules
            let hash = cache.hash(token)
            var entry = UInt32.max
            var rule: Int32 = -1
            for index in rules.indices {
                let place = Int(table.members[index])
                let keys = facts[place].version.value.load(ordering: .acquiring)
                guard let known = cache.find(token, hash: hash, rule: facts[place].identity, keys: keys, now: wall)
                else { continue }
                entry = known
                rule = Int32(place)
                break
            }
            if entry == .max {
                do throws(TokenError) {
                    (entry, rule) = try verify(token, hash, rules, table, issuers, wall: wall, now: now)
                } catch {
                    return refuse(result, error)
                }
                guard entry != .max else {
                    release(result)
                    return .exhausted
                }
            }
            if case .none = result {
                cache.retain(entry)
                result = .valid(entry: entry, rule: rule)
            }
        }
        return result
    }

    private mutating func refuse(_ result: TokenResult, _ error: TokenError) -> TokenResult {
        release(result)
        return .refused(error)
    }

    private mutating func release(_ result: TokenResult) {
        if case .valid(let entry, _) = result { cache.release(entry) }
    }

    /// - Returns: its place in the cache; `.max`: there is no room.
    private mutating func verify(
        _ token: RawSpan, _ hash: UInt64, _ rules: RouteRun, _ table: AuthenticationTable,
        _ issuers: TokenIssuers, wall: UInt64, now: UInt64
    ) throws(TokenError) -> (entry: UInt32, rule: Int32) {
        try verifier.read(token)
        var problem = TokenError.issuer
        for index in rules.indices {
            let place = Int(table.members[index])
            let issuer = issuers.issuers[place]
            guard verifier.isIssued(by: issuer.demand.issuer) else { continue }
            // Read before the keys are: if they change in between, the token is verified once more.
            let version = issuer.source.version.reference.value.load(ordering: .acquiring)
            guard let keys = issuer.source.current else {
                problem = .keysUnavailable
                continue
            }
            do throws(TokenError) {
                let end = try verifier.verify(token, issuer.demand, keys: keys, now: wall)
                let entry = cache.insert(
                    token, verifier.claims, hash: hash, rule: issuer.identity, keys: version, end: end)
                return (entry ?? .max, Int32(place))
            } catch {
                if error == .unknownKey { issuer.source.wanted.store(now, ordering: .relaxed) }
                problem = error
            }
        }
        throw problem
    }
}
