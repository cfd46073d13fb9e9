// Whether policies allow a request: those of the service that it is for, before it is known where it goes, and those of
// the workload that it is about to be sent to.
extension Worker {
    /// False: the request waits or was answered.
    mutating func authorizeForService(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        let service = downstreams[index].service
        guard !downstreams[index].isShadow else { return true }
        let group = generations[exchanges[exchange].generation].authorization.group(ofService: service)
        guard group >= 0 else { return true }
        exchanges[exchange].authorizationStage = .service
        return obey(decide(exchange, group, destination: downstreams[index].local), of: group, exchange)
    }

    /// Decides by the policies of the workload at an endpoint, if they are to be decided here. False: the request waits or was
    /// answered.
    mutating func authorize(_ exchange: UInt32, _ endpoint: EndpointIndex) -> Bool {
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        let group = generations[generation].group(cluster, endpoint)
        // Checks are the proxy's own.
        guard group >= 0, downstreams[exchanges[exchange].downstream].parent == .max else { return true }
        exchanges[exchange].chosenEndpoint = endpoint
        exchanges[exchange].authorizationStage = .endpoint
        let pool = generations[generation].pool(cluster, endpoint)
        let destination = ClientAddress(pools[Int(pool)].endpoint)
        guard generations[generation].table.changesRequest(exchanges[exchange].decision) else {
            return obey(decide(exchange, group, destination: destination), of: group, exchange)
        }
        // The workload's policies are about what the workload gets.
        writeRequestHead(exchange)
        var head = RequestHead()
        var progress = HeadProgress()
        let bytes = scratch.bytes
        guard !scratch.overflowed,
            RequestParser.parse(bytes, progress: &progress, head: &head, fields: &forwardedReader.fields) == .complete,
            forwardedReader.normalize(head, bytes, rejectsEncodedSlashes: false) == nil
        else { return obey(nil, of: group, exchange) }
        return obey(decide(exchange, group, forwarded: head, destination: destination), of: group, exchange)
    }

    /// - Parameter forwarded: the head in `scratch` is decided about, in place of the one that came.
    /// - Returns: nil: nobody can say which rules for paths the request meets.
    private func decide(
        _ exchange: UInt32, _ group: Int32, forwarded: RequestHead? = nil, destination: ClientAddress
    ) -> AuthorizationDecision? {
        let index = exchanges[exchange].downstream
        let source = downstreams[index].source
        let peer = downstreams[index].peer
        guard let forwarded else {
            let input = downstreams[index].input
            let bytes = buffers.bytes(input, input.start, input.end)
            let view = reader.view(exchanges[exchange].request, bytes, source: source, client: peer)
            return decide(exchange, group, view, destination)
        }
        let view = forwardedReader.view(forwarded, scratch.bytes, source: source, client: peer)
        return decide(exchange, group, view, destination)
    }

    private func decide(
        _ exchange: UInt32, _ group: Int32, _ view: RequestView, _ destination: ClientAddress
    ) -> AuthorizationDecision? {
        let generation = exchanges[exchange].generation
        guard !generations[generation].authorization.hidesPath(group, view) else { return nil }
        let allowing = exchanges[exchange].askedGroup == group ? exchanges[exchange].allowingProvider : -1
        let source = view.source
        let address = generations[generation].authorization.sourceAddress(
            ofWorkload: source, peer: view.client, to: destination)
        let peer = downstreams[exchanges[exchange].downstream].principal
        let claims = claims(exchange)
        if peer != PeerPrincipals.none {
            let principal = peers.principal(peer)
            let attributes = AuthorizationAttributes(
                principal: principal, namespace: PeerPrincipals.namespace(of: principal), source: address,
                destination: destination, request: view, claims: claims)
            return generations[generation].authorization.evaluate(group, attributes, after: allowing)
        }
        let attributes = AuthorizationAttributes(
            principal: generations[generation].authorization.principal(ofWorkload: source),
            namespace: generations[generation].authorization.namespace(ofWorkload: source), source: address,
            destination: destination, request: view, claims: claims)
        return generations[generation].authorization.evaluate(group, attributes, after: allowing)
    }

    /// nil: the request has no valid token.
    @_lifetime(immortal)
    private func claims(_ exchange: UInt32) -> RequestClaims? {
        let token = exchanges[exchange].token
        return token == .max ? nil : tokens.cache.claims(token)
    }

    /// Does as a decision says. False: the request waits or was answered.
    private mutating func obey(
        _ decision: AuthorizationDecision?, of group: Int32, _ exchange: UInt32
    ) -> Bool {
        guard let decision else {
            // Backends differ in whether an encoded slash is one.
            reply(
                exchange, 400, .pathRejected, .downstreamProtocolError, explanation: PathError.encodedSlash.text)
            return false
        }
        switch decision.verdict {
        case .allowed:
            // A request that waits for a connection is decided about again and again.
            if exchanges[exchange].countedGroup != group {
                exchanges[exchange].countedGroup = group
                generations[exchanges[exchange].generation].policyCounts.add(decision)
            }
            return true
        case .denied:
            generations[exchanges[exchange].generation].policyCounts.add(decision)
            deny(exchange, decision.rule)
            return false
        case .external:
            if exchanges[exchange].askedGroup != group { exchanges[exchange].allowingProvider = -1 }
            exchanges[exchange].askedGroup = group
            exchanges[exchange].askedProvider = decision.provider
            exchanges[exchange].askingRule = decision.rule
            let generation = exchanges[exchange].generation
            let provider = generations[generation].authorization.providerFacts[Int(decision.provider)]
            pause(exchange, .authorization, until: tick + UInt64(max(provider.timeout, 1)))
            ask(exchange)
            return false
        }
    }

    // MARK: Somebody else decides

    /// An authorizer has allowed the request that waits for it: it goes on in the next turn.
    mutating func authorizerAllowed(_ exchange: UInt32) {
        guard exchanges[exchange].phase == .waiting, exchanges[exchange].pause == .authorization else { return }
        generations[exchanges[exchange].generation].policyCounts.add(exchanges[exchange].askingRule, denies: false)
        exchanges[exchange].allowingProvider = exchanges[exchange].askedProvider
        exchanges[exchange].askedProvider = -1
        pause(exchange, .authorization, until: tick)
    }

    /// An authorizer has refused the request that waits for it: `checks` has the fields and the body of its answer.
    mutating func authorizerDenied(_ exchange: UInt32, _ status: UInt16) {
        generations[exchanges[exchange].generation].policyCounts.add(exchanges[exchange].askingRule, denies: true)
        exchanges[exchange].askedProvider = -1
        nameRule(exchange, exchanges[exchange].askingRule)
        replyChecked(exchange, status)
    }

    /// An authorizer could not be asked, or has not answered in time.
    mutating func authorizerFailed(_ exchange: UInt32) {
        let generation = exchanges[exchange].generation
        let provider = generations[generation].authorization.providerFacts[Int(exchanges[exchange].askedProvider)]
        if provider.failsOpen {
            authorizerAllowed(exchange)
            return
        }
        generations[generation].policyCounts.add(exchanges[exchange].askingRule, denies: true)
        exchanges[exchange].askedProvider = -1
        nameRule(exchange, exchanges[exchange].askingRule)
        reply(exchange, provider.statusOnError, .authorizerError, .unauthorized)
    }

    // MARK: Refusals

    private mutating func deny(_ exchange: UInt32, _ rule: Int32) {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let bytes = buffers.bytes(input, input.start, input.end)
        let isGRPC: Bool
        do {
            let view = reader.view(
                exchanges[exchange].request, bytes, source: downstreams[index].source,
                client: downstreams[index].peer)
            isGRPC = view.isGRPC
        }
        nameRule(exchange, rule)
        replyDenied(exchange, rule, isGRPC: isGRPC)
    }

    private func nameRule(_ exchange: UInt32, _ rule: Int32) {
        guard requestLog.isOn else { return }
        requestLog.policy(
            exchanges[exchange].ticket, generations[exchanges[exchange].generation].authorization.title(rule))
    }
}

extension RequestView {
    /// `application/grpc`, alone or with a suffix as in `application/grpc+proto`.
    var isGRPC: Bool {
        guard let type = slice(of: .contentType) else { return false }
        return ByteText.hasPrefixIgnoringCase(bytes[type], "application/grpc")
    }
}
