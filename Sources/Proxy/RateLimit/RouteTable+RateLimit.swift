extension RateLimitConfig {
    public init(_ config: LimitConfig) {
        self.init(
            scope: "\(config.service):\(config.port)" + (config.rule.map { " \($0)" } ?? ""), limit: config.limit)
    }
}

extension RouteTable {
    /// What a limit counts a request by. Requests without the limit's header, or of unknown callers, share one bucket.
    func key(_ limit: RouteRateLimit, of view: borrowing RequestView, _ limiters: borrowing WorkerLimiters) -> UInt64 {
        switch limit.key {
        case .all: return 0
        case .identity: return limiters.key(identity(ofWorkload: view.source))
        case .clientAddress: return limiters.key(view.client)
        case .header:
            guard let slice = view.header(text(limit.header)) else { return limiters.key(0) }
            return limiters.key(view.bytes[slice])
        }
    }

    /// The limits of a request in their order, up to the first that refuses it.
    ///
    /// - Parameters:
    ///   - run: places in `limits`, of the service or of the rule.
    ///   - tightest: what the response's `X-RateLimit-*` fields say: the limit with the least left.
    /// - Returns: the limit that refuses; nil if none does.
    func refusal(
        _ run: RouteRun, of view: borrowing RequestView, _ limiters: borrowing WorkerLimiters, now: UInt64,
        wall: UInt64, tightest: inout RateLimitVerdict?
    ) -> RouteRateLimit? {
        for index in run.indices {
            let limit = limits[index]
            guard applies(limit, to: view) else { continue }
            let verdict = limiters[Int(limit.config)].check(
                key: key(limit, of: view, limiters), now: now, wall: wall)
            if limit.isShadow { continue }
            if verdict.isRefused || verdict.remaining < tightest?.remaining ?? .max { tightest = verdict }
            if verdict.isRefused { return limit }
        }
        return nil
    }
}

extension RateLimitVerdict {
    /// Writes the lines that tell the client where it stands; with `Retry-After` if it was refused.
    /// Source: https://datatracker.ietf.org/doc/html/draft-polli-ratelimit-headers-03
    func write(into scratch: inout Scratch) {
        scratch.append("X-RateLimit-Limit: ")
        scratch.append(decimal: UInt64(limit))
        scratch.append(", ")
        scratch.append(decimal: UInt64(limit))
        scratch.append(";w=")
        scratch.append(decimal: UInt64(window))
        scratch.append("\r\nX-RateLimit-Remaining: ")
        scratch.append(decimal: UInt64(remaining))
        scratch.append("\r\nX-RateLimit-Reset: ")
        scratch.append(decimal: UInt64(reset))
        scratch.append("\r\n")
        guard isRefused else { return }
        scratch.append("Retry-After: ")
        scratch.append(decimal: UInt64(retryAfter))
        scratch.append("\r\n")
    }
}
