import Mesh
import Synchronization

/// Room for what is asked of authorizers and what they answer. One for each worker.
struct CheckRoom: ~Copyable {
    /// As much of an answer is read.
    static let limit = 60 << 10

    var fields = FieldTable()
    var changes = Scratch()
    var body = Scratch()
    var json = JSONArena(bytes: limit, nodes: 2048)
}

// Somebody else decides about a request: checks are requests of the proxy's own, without a client.
extension Worker {
    /// Asks the authorizer that the request waits for. `reader` has the request.
    mutating func ask(_ exchange: UInt32) {
        let provider = provider(exchange)
        guard let authorizer = provider.authorizer, provider.cluster >= 0 else {
            fail(exchange, provider)
            return
        }
        if case .grpc = authorizer.api {
            guard startCall(exchange, provider, timeout: UInt64(authorizer.timeout)) else {
                fail(exchange, provider)
                return
            }
            return
        }
        scratch.removeAll()
        writeCheck(exchange, provider)
        guard !scratch.overflowed, startCheck(exchange, provider, timeout: UInt64(authorizer.timeout)) else {
            fail(exchange, provider)
            return
        }
    }

    func provider(_ exchange: UInt32) -> ExternalProvider {
        generations[exchanges[exchange].generation].providers.providers[Int(exchanges[exchange].askedProvider)]
    }

    private mutating func fail(_ exchange: UInt32, _ provider: ExternalProvider) {
        provider.counters.reference.value.errors.wrappingAdd(1, ordering: .relaxed)
        authorizerFailed(exchange)
    }

    private mutating func writeCheck(_ exchange: UInt32, _ provider: ExternalProvider) {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        exchanges[exchange].isGRPC = view.isGRPC
        let generation = exchanges[exchange].generation
        let parties = CheckPeers(
            principal: principal(index, generation), source: downstreams[index].peer, destination: destination(exchange)
        )
        provider.write(view, parties, trace: exchanges[exchange].trace, into: &scratch)
    }

    /// Asks by gRPC. False: nobody can be asked.
    private mutating func startCall(_ exchange: UInt32, _ provider: ExternalProvider, timeout: UInt64) -> Bool {
        let index = exchanges[exchange].downstream
        let generation = exchanges[exchange].generation
        let cluster = Int(provider.cluster)
        guard
            case .endpoint(let endpoint) = generations[generation].clusters[cluster].pick(
                PickWish(), random: random.next(), now: now)
        else { return false }
        let input = downstreams[index].input
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        exchanges[exchange].isGRPC = view.isGRPC
        let parties = CheckPeers(
            principal: principal(index, generation), source: downstreams[index].peer,
            destination: destination(exchange))
        let message = view.checkMessage(parties, identifier: random.next())
        checkClient.ask(
            CheckCall(
                endpoint: pools[Int(generations[generation].pool(cluster, endpoint))].endpoint,
                authority: provider.host, message: message, trace: exchanges[exchange].trace,
                // The request itself gives up first.
                deadline: now + (timeout + 100) * 1_000_000,
                mailbox: mailbox, exchange: exchange, generation: exchanges.generation(exchange)))
        return true
    }

    /// Where the request is about to go, or what the client connected to.
    private func destination(_ exchange: UInt32) -> ClientAddress {
        let generation = exchanges[exchange].generation
        guard exchanges[exchange].authorizationStage == .endpoint, let endpoint = exchanges[exchange].chosenEndpoint
        else { return downstreams[exchanges[exchange].downstream].local }
        return ClientAddress(pools[Int(generations[generation].pool(exchanges[exchange].cluster, endpoint))].endpoint)
    }

    /// A call is over.
    mutating func conclude(_ reply: CheckReply) {
        let exchange = reply.exchange
        guard isWaiting(exchange, reply.generation) else { return }
        checks.changes.removeAll()
        checks.body.removeAll()
        checks.changes.append(reply.changes)
        checks.body.append(reply.body)
        obey(reply.verdict, isLate: false, exchange, provider(exchange))
    }

    /// Whether the exchange is the one that asked, and still waits for the answer.
    private func isWaiting(_ exchange: UInt32, _ generation: UInt32) -> Bool {
        exchanges.isLive(exchange) && exchanges.generation(exchange) == generation
            && exchanges[exchange].phase == .waiting && exchanges[exchange].pause == .authorization
            && exchanges[exchange].askedProvider >= 0
    }

    /// The peer's SPIFFE id without its scheme, as long as its connection and the configuration; empty: it has none.
    @_lifetime(immortal)
    private func principal(_ index: UInt32, _ generation: Int) -> RawSpan {
        let peer = downstreams[index].principal
        if peer != PeerPrincipals.none { return unsafe _overrideLifetime(peers.principal(peer), copying: ()) }
        let authorization = generations[generation].authorization
        let name = authorization.principal(ofWorkload: downstreams[index].source)
        return unsafe _overrideLifetime(name, copying: ())
    }

    /// Sends what is in `scratch` to the authorizer, as a request of a client that is not there. False: there is no room.
    private mutating func startCheck(_ exchange: UInt32, _ provider: ExternalProvider, timeout: UInt64) -> Bool {
        let bytes = scratch.bytes
        var head = RequestHead()
        var progress = HeadProgress()
        guard
            RequestParser.parse(bytes, progress: &progress, head: &head, fields: &checks.fields) == .complete,
            let input = keep(bytes, behind: Buffer())
        else { return false }
        let source = downstreams[exchanges[exchange].downstream]
        var downstream = Downstream(descriptor: -1, listener: source.listener, peer: source.peer, local: source.local)
        downstream.phase = .exchanging
        downstream.isShadow = true
        downstream.parent = exchange
        downstream.parentGeneration = exchanges.generation(exchange)
        downstream.input = input
        downstream.input.cursor = UInt32(head.byteCount)
        downstream.source = source.source
        let generation = exchanges[exchange].generation
        // The answer has no chunks and ends with the connection: what is kept of it is its head and its content.
        head.minorVersion = 0
        head.wantsUpgrade = false
        var check = Exchange(downstream: 0, request: head, generation: generation, tick: tick)
        check.requestBody = MessageBody(head.framing)
        _ = check.requestBody.take(bytes.extracting(Int(head.byteCount)..<bytes.byteCount))
        check.decision = exchanges[exchange].decision
        check.decision.kind = .forward
        check.decision.rule = -1
        check.decision.backend = -1
        check.decision.allowsOrigin = false
        check.cluster = Int(provider.cluster)
        check.closesDownstream = true
        check.requestDeadline = tick + max(timeout, 1)
        check.record.started = now
        guard let index = downstreams.insert(downstream) else {
            buffers.give(&downstream.input)
            return false
        }
        check.downstream = index
        guard let place = exchanges.insert(check) else {
            buffers.give(&downstreams[index].input)
            downstreams.remove(index)
            return false
        }
        downstreams[index].exchange = place
        listeners[Int(source.listener)].connections += 1
        generations[generation].users += 1
        statistics.add(.downstreamActive, 1)
        statistics.add(.requestsActive, 1)
        // Its fields are parsed when its turn comes: the request that waits is not done with `reader`.
        pause(place, .mirror, until: tick)
        return true
    }

    /// Keeps what comes for a client that is not there.
    mutating func capture(_ index: UInt32, _ bytes: RawSpan) {
        guard downstreams[index].parent != .max, !downstreams[index].hasExcess else { return }
        guard let kept = keep(bytes, behind: downstreams[index].answer) else {
            downstreams[index].hasExcess = true
            return
        }
        downstreams[index].answer = kept
    }

    /// A check is over: the request that waits for it goes on, or gets its answer.
    mutating func concludeCheck(_ index: UInt32, _ method: HTTPMethod, _ record: RequestRecord) {
        let exchange = downstreams[index].parent
        defer { buffers.give(&downstreams[index].answer) }
        guard isWaiting(exchange, downstreams[index].parentGeneration) else { return }
        let provider = provider(exchange)
        let answer = downstreams[index].answer
        checks.changes.removeAll()
        checks.body.removeAll()
        var verdict = CheckVerdict.error
        // Everything else is no answer of the authorizer.
        if record.detail == .viaUpstream, !downstreams[index].hasExcess, answer.hasChunk {
            verdict = provider.read(
                buffers.bytes(answer, answer.start, answer.end), method: method, json: &checks.json,
                fields: &checks.fields, changes: &checks.changes, body: &checks.body)
        }
        obey(verdict, isLate: record.detail == .requestTimeout, exchange, provider)
    }

    /// Does as an authorizer says, with what `checks` has of its answer.
    private mutating func obey(
        _ verdict: CheckVerdict, isLate: Bool, _ exchange: UInt32, _ provider: ExternalProvider
    ) {
        let counters = provider.counters.reference
        switch verdict {
        case .allowed:
            if checks.changes.count > 0 {
                guard let kept = keep(checks.changes.bytes, behind: exchanges[exchange].changes) else {
                    fail(exchange, provider)
                    return
                }
                exchanges[exchange].changes = kept
            }
            counters.value.allowed.wrappingAdd(1, ordering: .relaxed)
            authorizerAllowed(exchange)
        case .denied(let status):
            counters.value.denied.wrappingAdd(1, ordering: .relaxed)
            authorizerDenied(exchange, status)
        case .error:
            if isLate {
                counters.value.timeouts.wrappingAdd(1, ordering: .relaxed)
            } else {
                counters.value.errors.wrappingAdd(1, ordering: .relaxed)
            }
            authorizerFailed(exchange)
        }
    }

    /// What authorizers have changed of the request.
    @_lifetime(immortal)
    func changes(_ exchange: UInt32) -> RawSpan {
        let kept = exchanges[exchange].changes
        return kept.hasChunk ? buffers.bytes(kept, kept.start, kept.end) : RawSpan()
    }
}
