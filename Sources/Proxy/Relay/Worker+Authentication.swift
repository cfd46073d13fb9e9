// Tokens of requests: verified before anything is decided about the request.
extension Worker {
    /// True: the request has a token that is not valid, and has its answer. `reader` has the request.
    mutating func isTokenRefused(_ exchange: UInt32, _ service: Int) -> Bool {
        releaseToken(exchange)
        let generation = exchanges[exchange].generation
        guard generations[generation].table.authentication.applies(service) else { return false }
        switch authenticate(exchange, service) {
        case .none: return false
        case .valid(let entry, let rule):
            exchanges[exchange].token = entry
            exchanges[exchange].tokenRule = rule
            return false
        case .refused(let error):
            statistics.add(.tokensRefused)
            reply(exchange, 401, error.detail, .unauthorized, challenge: error)
        case .exhausted:
            reply(exchange, 503, .overload, .overload)
        }
        return true
    }

    private mutating func authenticate(_ exchange: UInt32, _ service: Int) -> TokenResult {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let generation = exchanges[exchange].generation
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        return tokens.authenticate(
            service, view, generations[generation].table.authentication, generations[generation].tokenIssuers,
            wall: UInt64(WallSeconds.now), now: now)
    }

    mutating func releaseToken(_ exchange: UInt32) {
        let token = exchanges[exchange].token
        guard token != .max else { return }
        exchanges[exchange].token = .max
        exchanges[exchange].tokenRule = -1
        tokens.cache.release(token)
    }

    /// Writes the fields that are made of the request's token into `extras`.
    mutating func writeTokenOutputs(_ exchange: UInt32) {
        let token = exchanges[exchange].token
        let rule = exchanges[exchange].tokenRule
        guard token != .max, rule >= 0 else { return }
        generations[exchanges[exchange].generation].table.authentication.writeOutputs(
            Int(rule), token: tokens.cache.token(token), tokens.cache.claims(token), into: &extras)
    }

    /// Writes what the client has to do (RFC 6750 section 3) into `scratch`.
    mutating func writeChallenge(_ exchange: UInt32, _ error: TokenError) {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let host = exchanges[exchange].request.host
        scratch.append("www-authenticate: Bearer realm=\"")
        if !host.isEmpty { scratch.append(buffers.bytes(input, input.start, input.end)[host]) }
        scratch.append("\", error=\"invalid_token\", error_description=\"")
        scratch.append(error.text)
        scratch.append("\"\r\n")
    }
}
