import DNS

/// Questions for the node's resolvers: answered from the cache, asked once however many ask them, and bounded.
final class DNSForwarder {
    /// Questions under way at the same time, and those who wait for one of them.
    private static let maxExchanges = 512
    private static let maxWaiting = 128

    typealias Reply = (_ answer: DNSAnswer, _ age: UInt32) -> Void

    private final class Pending {
        var exchange: DNSExchange?
        var waiting: [Reply] = []
    }

    private let reactor: Reactor
    private let resolvers: NodeResolvers
    private let statistics: DNSStatistics
    private var cache: DNSCache
    private var pending: [DNSCache.Key: Pending] = [:]
    /// The server that answered last: it is asked first.
    private var preferred = 0

    init(reactor: Reactor, resolvers: NodeResolvers, statistics: DNSStatistics, cacheCapacity: Int = 4096) {
        self.reactor = reactor
        self.resolvers = resolvers
        self.statistics = statistics
        cache = DNSCache(capacity: cacheCapacity)
    }

    /// The answer for `query`, at once or later.
    func resolve(_ query: DNSQuery, _ reply: @escaping Reply) {
        let now = Reactor.now()
        if resolvers.refresh(now: now) {
            cache.removeAll()
            preferred = 0
        }
        let key = DNSCache.Key(
            question: query.question, wantsSecurity: query.edns?.wantsSecurity == true,
            checkingDisabled: query.flags.contains(.checkingDisabled))
        if let (answer, age) = cache.lookup(key, now: now) {
            statistics.count(.cached)
            return reply(answer, age)
        }
        if let known = pending[key] {
            guard known.waiting.count < Self.maxWaiting else { return fail(reply) }
            known.waiting.append(reply)
            return
        }
        // Nobody who does not want it is asked on behalf of (RFC 1035 §4.1.1).
        guard query.flags.contains(.recursionDesired), pending.count < Self.maxExchanges, !resolvers.servers.isEmpty
        else { return fail(reply) }
        start(key, reply)
    }

    private func start(_ key: DNSCache.Key, _ reply: @escaping Reply) {
        let entry = Pending()
        entry.waiting.append(reply)
        pending[key] = entry
        let exchange = DNSExchange(
            reactor: reactor, key: key, servers: resolvers.servers, first: preferred
        ) { [unowned self] answer in
            end(key, answer)
        }
        entry.exchange = exchange
        exchange.start()
    }

    private func end(_ key: DNSCache.Key, _ answer: DNSAnswer) {
        guard let entry = pending.removeValue(forKey: key) else { return }
        if let exchange = entry.exchange, answer.code != .serverFailure { preferred = exchange.current }
        statistics.count(answer.code == .serverFailure ? .failed : .forwarded, entry.waiting.count)
        cache.insert(answer, for: key, now: Reactor.now())
        for reply in entry.waiting { reply(answer, 0) }
    }

    private func fail(_ reply: Reply) {
        statistics.count(.failed)
        reply(DNSAnswer.serverFailure, 0)
    }

    func close() {
        for entry in pending.values { entry.exchange?.cancel() }
        pending = [:]
    }
}
