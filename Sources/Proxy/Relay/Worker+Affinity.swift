import CLinux
import Glibc

// Which endpoint a request belongs to, by its client's session or by a hash of something in it.
extension Worker {
    /// Reads from the request's head what the balancer is asked for. `reader` has it.
    mutating func findAffinity(_ exchange: UInt32) {
        if let persistence = persistence(exchange), let session = session(exchange, persistence) {
            exchanges[exchange].session = session
            stay(exchange, session)
        }
        guard generations[exchanges[exchange].generation].clusters[exchanges[exchange].cluster].hashes else { return }
        switch hash(exchange) {
        case .none: break
        case .hash(let hash): exchanges[exchange].hash = hash
        case .needsCookie:
            let cookie = random.next()
            exchanges[exchange].hashCookie = cookie
            exchanges[exchange].hash = RequestHash.hashOfCookie(cookie)
        }
    }

    private func persistence(_ exchange: UInt32) -> RoutePersistence? {
        let generation = exchanges[exchange].generation
        let rule = exchanges[exchange].decision.rule
        guard rule >= 0 else { return nil }
        let place = generations[generation].table.rules[Int(rule)].persistence
        return place >= 0 ? generations[generation].table.persistences[Int(place)] : nil
    }

    private func session(_ exchange: UInt32, _ persistence: RoutePersistence) -> SessionToken? {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        return generations[exchanges[exchange].generation].table.session(persistence, of: view, wall: WallSeconds.now)
    }

    private func hash(_ exchange: UInt32) -> RequestHash {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        return generations[exchanges[exchange].generation].clusters[exchanges[exchange].cluster].hash(of: view)
    }

    /// A session outweighs the weights of a rule's backends (GEP-1619): the request goes to the one that has its endpoint.
    private mutating func stay(_ exchange: UInt32, _ session: SessionToken) {
        let generation = exchanges[exchange].generation
        guard !generations[generation].clusters[exchanges[exchange].cluster].has(session: session.endpoint) else {
            return
        }
        let backends = generations[generation].table.rules[Int(exchanges[exchange].decision.rule)].backends
        for place in backends.indices {
            let cluster = generations[generation].table.backends[place].cluster
            guard cluster >= 0, generations[generation].clusters[Int(cluster)].has(session: session.endpoint) else {
                continue
            }
            exchanges[exchange].decision.backend = Int32(place)
            exchanges[exchange].decision.cluster = cluster
            exchanges[exchange].cluster = Int(cluster)
            return
        }
    }

    /// Writes into `extras` what the client's response says besides the backend's own: its session, its cookie for the
    /// hash, and where it stands with its rate limits.
    mutating func writeExtras(_ exchange: UInt32) {
        extras.removeAll()
        if let verdict = exchanges[exchange].rateLimit { verdict.write(into: &extras) }
        HeaderChanges(changes(exchange)).write(ofResponse: true, into: &extras)
        let generation = exchanges[exchange].generation
        guard generation >= 0, let endpoint = exchanges[exchange].endpoint else { return }
        let cluster = exchanges[exchange].cluster
        if let cookie = exchanges[exchange].hashCookie {
            let source = generations[generation].clusters[cluster].hashSource
            source.writeCookie(cookie, into: &extras)
        }
        guard let persistence = persistence(exchange) else { return }
        let sessionID = generations[generation].clusters[cluster][endpoint].sessionID
        generations[generation].table.writeSession(
            persistence, exchanges[exchange].session, endpoint: sessionID, wall: WallSeconds.now, into: &extras)
    }
}

// Rate limits: the service's, then the rule's.
extension Worker {
    /// True: the request was over a limit, and has its answer. `reader` has the request.
    mutating func isLimited(_ exchange: UInt32) -> Bool {
        let generation = exchanges[exchange].generation
        let rule = exchanges[exchange].decision.rule
        let ofService = generations[generation].table.limits(ofService: exchanges[exchange].service)
        let ofRule = rule >= 0 ? generations[generation].table.rules[Int(rule)].limits : .empty
        guard !ofService.isEmpty || !ofRule.isEmpty else { return false }
        var verdict: RateLimitVerdict?
        guard let refusal = refusal(exchange, ofService, ofRule, &verdict) else {
            exchanges[exchange].rateLimit = verdict
            return false
        }
        exchanges[exchange].rateLimit = verdict
        let isQuota = generations[generation].limiters[Int(refusal.config)].isQuota
        reply(exchange, refusal.status, isQuota ? .quotaExceeded : .rateLimited, .rateLimited)
        return true
    }

    private func refusal(
        _ exchange: UInt32, _ ofService: RouteRun, _ ofRule: RouteRun, _ verdict: inout RateLimitVerdict?
    ) -> RouteRateLimit? {
        let generation = exchanges[exchange].generation
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let wall = UInt64(WallSeconds.now)
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        return generations[generation].table.refusal(
            ofService, of: view, generations[generation].limiters, now: now, wall: wall, tightest: &verdict)
            ?? generations[generation].table.refusal(
                ofRule, of: view, generations[generation].limiters, now: now, wall: wall, tightest: &verdict)
    }
}

/// CLOCK_REALTIME in whole seconds, for sessions and quotas.
enum WallSeconds {
    static var now: UInt32 { UInt32(clamping: time(nil)) }
}
