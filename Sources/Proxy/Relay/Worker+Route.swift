import Mesh
import Synchronization

// What is decided about a request before it is sent.
extension Worker {
    /// Decides what becomes of a request whose head was just parsed into `reader`.
    mutating func route(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let request = exchanges[exchange].request
        if request.method == .connect {
            reply(exchange, 405, .connectRejected, [])
            return
        }
        let generation = exchanges[exchange].generation
        guard generation >= 0, let service = generations[generation].table.service(downstreams[index].service) else {
            reply(exchange, 404, .routeNotFound, .noRoute)
            return
        }
        exchanges[exchange].service = service
        let input = downstreams[index].input
        let bytes = buffers.bytes(input, input.start, input.end)
        let rejectsEncodedSlashes = generations[generation].table.rejectsEncodedSlashes(service)
        if let error = reader.normalize(request, bytes, rejectsEncodedSlashes: rejectsEncodedSlashes) {
            reply(exchange, 400, .pathRejected, .downstreamProtocolError, explanation: error.text)
            return
        }
        if isTokenRefused(exchange, service) { return }
        if let patience = decide(exchange, service) { shortenDeadline(exchange, max(patience, 1)) }
        if authorizeForService(exchange) { admit(exchange) }
    }

    /// Goes on with a request that the service's policies allow.
    private mutating func admit(_ exchange: UInt32) {
        if isLimited(exchange) { return }
        let generation = exchanges[exchange].generation
        let rule = exchanges[exchange].decision.rule
        var timeout: UInt32 = 0
        var fault: Int32 = -1
        if rule >= 0 {
            let settings = generations[generation].table.rules[Int(rule)]
            exchanges[exchange].record.rule = generations[generation].ruleIdentifiers[Int(rule)]
            timeout = settings.requestTimeout
            fault = settings.fault
        }
        timeout = exchanges[exchange].overrides.timeout ?? timeout
        if timeout > 0 { shortenDeadline(exchange, UInt64(timeout)) }
        if fault >= 0, injectFault(exchange, fault) { return }
        exchanges[exchange].isAdmitted = true
        forward(exchange)
    }

    /// - Parameter isFirst: false: an earlier configuration has decided about the request before.
    /// - Returns: how long the caller still waits, in milliseconds; nil: it does not say.
    private mutating func decide(_ exchange: UInt32, _ service: Int, isFirst: Bool = true) -> UInt64? {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        let decision = generations[exchanges[exchange].generation].table.route(service, view, random: random.next())
        if isFirst {
            let trace = tracing.trace(of: view)
            // Requests that go past the worker get none: those of one connection are all alike.
            let requestID = downstreams[index].shortcut.client == 0 ? tracing.requestID(for: view) : nil
            exchanges[exchange].trace = trace
            exchanges[exchange].requestID = requestID
            if requestLog.isOn {
                exchanges[exchange].ticket = requestLog.open(
                    view, local: downstreams[index].local, trace: trace, requestID: requestID)
            }
        }
        exchanges[exchange].decision = decision
        exchanges[exchange].record.template = template(exchange, view, decision.cluster)
        exchanges[exchange].cluster = Int(decision.cluster)
        if decision.allowsOrigin { exchanges[exchange].origin = view.slice(of: .origin) ?? .empty }
        exchanges[exchange].hasGRPCTimeout = view.slice(of: .grpcTimeout) != nil
        guard view.head.hasEnvoyFields || exchanges[exchange].hasGRPCTimeout else { return nil }
        if isTrusted(index) { exchanges[exchange].overrides = RequestOverrides(view) }
        return RequestDeadline.milliseconds(view)
    }

    /// Whether a client may decide about its requests' retries and timeouts, and ask for faults: a workload of the mesh, which the kernel or
    /// its certificate has identified. What Envoy calls internal.
    private func isTrusted(_ index: UInt32) -> Bool {
        downstreams[index].principal != PeerPrincipals.none
            || downstreams[index].source != 0 && !downstreams[index].isInbound
    }

    /// Which route template a request meets: of the service that it counts for.
    private func template(_ exchange: UInt32, _ view: borrowing RequestView, _ cluster: Int32) -> UInt8 {
        let generation = exchanges[exchange].generation
        let service =
            cluster < 0
            ? exchanges[exchange].record.service : generations[generation].clusterFacts[Int(cluster)].service
        let table = generations[generation].table.templates.table(service)
        guard table != 0 else { return 0 }
        return generations[generation].table.templates.match(
            method: view.bytes[view.head.methodText], path: view.path, table)
    }

    /// The request ends so many milliseconds from now, unless it is to end earlier.
    private mutating func shortenDeadline(_ exchange: UInt32, _ milliseconds: UInt64) {
        let deadline = tick + min(milliseconds, 1 << 40)
        let present = exchanges[exchange].requestDeadline
        guard present == 0 || deadline < present else { return }
        exchanges[exchange].requestDeadline = deadline
        armTimer(exchange)
    }

    /// A rule's fault as it is for this request; nil: not for this one.
    private func fault(_ place: Int32, for exchange: UInt32) -> RouteFault? {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let view = reader.view(
            exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
            source: downstreams[index].source, client: downstreams[index].peer)
        let generation = exchanges[exchange].generation
        let fault = generations[generation].table.faults[Int(place)]
        guard generations[generation].table.applies(fault, to: view) else { return nil }
        let isByRequest = fault.delaysByRequest || fault.abortsByRequest || fault.limitsRateByRequest
        guard isByRequest else { return fault }
        return (isTrusted(index) ? RequestedFault(view) : RequestedFault()).applied(to: fault)
    }

    /// True: the request waits or was answered.
    private mutating func injectFault(_ exchange: UInt32, _ place: Int32) -> Bool {
        guard let fault = fault(place, for: exchange) else { return false }
        // All are drawn at once, so that the delay does not change the share of the aborts.
        let delays = fault.delay > 0 && Percentage.isChosen(fault.delayPartsPerMillion, random: random.next())
        let aborts =
            fault.abortPartsPerMillion > 0 && Percentage.isChosen(fault.abortPartsPerMillion, random: random.next())
        exchanges[exchange].faultStatus = aborts ? fault.abortStatus : 0
        exchanges[exchange].faultGRPCStatus = aborts ? fault.abortGRPCStatus : -1
        let slows =
            fault.responseRate > 0 && Percentage.isChosen(fault.ratePartsPerMillion, random: random.next())
        if slows { exchanges[exchange].throttle = ResponseThrottle(kibibytesPerSecond: fault.responseRate) }
        if delays || aborts || slows { statistics.add(.faultsInjected) }
        guard delays || aborts else { return false }
        guard delays else {
            abort(exchange)
            return true
        }
        exchanges[exchange].record.flags.insert(.delayInjected)
        pause(exchange, .fault, until: tick + UInt64(fault.delay))
        return true
    }

    /// Ends a request as a fault says; false: there is none to inject.
    @discardableResult
    private mutating func abort(_ exchange: UInt32) -> Bool {
        let status = exchanges[exchange].faultStatus
        guard status > 0 else { return false }
        reply(exchange, status, .faultAbort, .faultInjected, grpcStatus: exchanges[exchange].faultGRPCStatus)
        return true
    }

    /// Goes on with a request that no limit and no fault has held up.
    ///
    /// - Parameter mirrors: false: the mirrors have had their copies.
    private mutating func forward(_ exchange: UInt32, mirrors: Bool = true) {
        guard exchanges[exchange].decision.kind == .forward else {
            answer(exchange)
            return
        }
        findAffinity(exchange)
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        exchanges[exchange].record.service = generations[generation].clusterFacts[cluster].service
        guard generations[generation].clusters[cluster].admit(now: now) else {
            reply(exchange, 503, .upstreamOverflow, .upstreamOverflow)
            return
        }
        exchanges[exchange].admission = cluster
        if mirrors, exchanges[exchange].decision.backend >= 0, !downstreams[exchanges[exchange].downstream].isShadow {
            let backend = generations[generation].table.backends[Int(exchanges[exchange].decision.backend)]
            exchanges[exchange].awaitsMirrors = backend.mirrors.count > 0
        }
        if exchanges[exchange].awaitsMirrors, exchanges[exchange].requestBody.isComplete { mirror(exchange) }
        attempt(exchange)
    }

    /// Chooses an endpoint and sends the request there.
    private mutating func attempt(_ exchange: UInt32) {
        // Also when it does not come to a connection: what fails now has not been answered.
        exchanges[exchange].phase = .awaitingHead
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        var wish = PickWish()
        wish.excluded = exchanges[exchange].tried
        leaveOutLegs(&wish.excluded, of: exchange)
        wish.hash = exchanges[exchange].hash
        wish.sessionID = exchanges[exchange].session?.endpoint
        switch generations[generation].clusters[cluster].pick(wish, random: random.next(), now: now) {
        case .endpoint(let endpoint): if authorize(exchange, endpoint) { begin(exchange, endpoint) }
        case .none(let reason): withoutEndpoint(exchange, reason)
        }
    }

    /// Sends the request to an endpoint whose workload's policies allow it.
    private mutating func begin(_ exchange: UInt32, _ endpoint: EndpointIndex) {
        exchanges[exchange].phase = .awaitingHead
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        let pool = generations[generation].pool(cluster, endpoint)
        guard admitConnection(exchange, pool: pool) else {
            // As long as a request may be without progress.
            if tick < exchanges[exchange].lastProgress + options.streamIdleTimeout {
                queue(exchange, forConnection: true)
            } else {
                reply(exchange, 503, .upstreamOverflow, .upstreamOverflow)
            }
            return
        }
        leaveQueue(exchange)
        generations[generation].clusters[cluster].began(endpoint)
        let rule = retryRule(exchange)
        if rule?.avoidsPreviousHosts ?? false { exchanges[exchange].tried.insert(endpoint) }
        exchanges[exchange].endpoint = endpoint
        exchanges[exchange].attemptStarted = now
        exchanges[exchange].latency = 0
        exchanges[exchange].hasSent = false
        exchanges[exchange].record.attempts &+= 1
        exchanges[exchange].record.destination = generations[generation].destination(cluster, endpoint)
        setTryDeadline(exchange, rule)
        send(exchange, pool: pool)
    }

    func retryRule(_ exchange: UInt32) -> RetryRule? {
        let place = exchanges[exchange].decision.rule
        let rule = place < 0 ? nil : generations[exchanges[exchange].generation].retryRules[Int(place)]
        guard exchanges[exchange].overrides.changesRetries else { return rule }
        let input = downstreams[exchanges[exchange].downstream].input
        return exchanges[exchange].overrides.applied(to: rule, buffers.bytes(input, input.start, input.end))
    }

    private mutating func setTryDeadline(_ exchange: UInt32, _ rule: RetryRule?) {
        let place = exchanges[exchange].decision.rule
        let override = exchanges[exchange].overrides.perTryTimeout
        guard place >= 0 || override != nil else { return }
        let backend =
            override ?? generations[exchanges[exchange].generation].table.rules[Int(place)].backendTimeout
        let deadline = exchanges[exchange].requestDeadline
        let timeout = exchanges[exchange].retry.perTryTimeout(
            rule: override == nil ? rule : nil, backendRequest: backend == 0 ? nil : UInt64(backend) * 1_000_000,
            deadline: deadline == 0 ? .max : deadline * 1_000_000, now: now)
        exchanges[exchange].tryDeadline = timeout.map { tick + max(1, $0 / 1_000_000) } ?? 0
        if exchanges[exchange].tryDeadline != 0 || deadline != 0 { armTimer(exchange) }
    }

    private mutating func withoutEndpoint(_ exchange: UInt32, _ reason: Pick.Reason) {
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        let fallback = generations[generation].clusterFacts[cluster].fallback
        if fallback >= 0, Int(fallback) != cluster, !exchanges[exchange].usesFallback {
            releasePermissions(exchange)
            exchanges[exchange].usesFallback = true
            exchanges[exchange].tried = TriedEndpoints()
            exchanges[exchange].cluster = Int(fallback)
            exchanges[exchange].hash = nil
            exchanges[exchange].hashCookie = nil
            attempt(exchange)
            return
        }
        switch generations[generation].clusters[cluster].waits(for: reason, now: now) {
        case .wait(let end) where now < end: queue(exchange)
        // Whether it has waited or not, Envoy has one word for it.
        case .wait, .fail: reply(exchange, 503, .noHealthyUpstream, .noHealthyUpstream)
        }
    }

    /// Nothing has been sent while it waited for an endpoint: if there is a newer configuration, that one decides.
    private mutating func attemptAnew(_ exchange: UInt32) {
        let old = exchanges[exchange].generation
        let index = exchanges[exchange].downstream
        guard old != generations.current, !downstreams[index].isShadow else {
            attempt(exchange)
            return
        }
        releasePermissions(exchange)
        if exchanges[exchange].admission >= 0 {
            generations[old].clusters[exchanges[exchange].admission].ended()
            exchanges[exchange].admission = -1
        }
        exchanges[exchange].generation = generations.current
        generations[generations.current].users += 1
        generations.release(old)
        exchanges[exchange].tried = TriedEndpoints()
        exchanges[exchange].usesFallback = false
        exchanges[exchange].countedGroup = -1
        exchanges[exchange].askedGroup = -1
        exchanges[exchange].hash = nil
        exchanges[exchange].hashCookie = nil
        exchanges[exchange].session = nil
        guard let service = generations[generations.current].table.service(downstreams[index].service) else {
            exchanges[exchange].service = -1
            exchanges[exchange].decision = .notFound
            reply(exchange, 404, .routeNotFound, .noRoute)
            return
        }
        exchanges[exchange].service = service
        let awaitsMirrors = exchanges[exchange].awaitsMirrors
        exchanges[exchange].awaitsMirrors = false
        buffers.give(&exchanges[exchange].changes)
        if isTokenRefused(exchange, service) { return }
        _ = decide(exchange, service, isFirst: false)
        let rule = exchanges[exchange].decision.rule
        if rule >= 0 {
            exchanges[exchange].record.rule = generations[generations.current].ruleIdentifiers[Int(rule)]
        }
        exchanges[exchange].hasMirrored = !awaitsMirrors
        if authorizeForService(exchange) { forward(exchange, mirrors: awaitsMirrors) }
    }

    // MARK: Waiting

    /// Goes on with a request that somebody else had to decide about.
    private mutating func resumeAuthorization(_ exchange: UInt32) {
        guard exchanges[exchange].askedProvider < 0 else {
            provider(exchange).counters.reference.value.timeouts.wrappingAdd(1, ordering: .relaxed)
            // It still waits for what becomes of it.
            exchanges[exchange].pause = .authorization
            authorizerFailed(exchange)
            return
        }
        switch exchanges[exchange].authorizationStage {
        case .service:
            guard authorizeForService(exchange) else { return }
            if exchanges[exchange].isAdmitted {
                forward(exchange, mirrors: !exchanges[exchange].hasMirrored)
            } else {
                admit(exchange)
            }
        case .endpoint:
            guard let endpoint = exchanges[exchange].chosenEndpoint, authorize(exchange, endpoint) else { return }
            begin(exchange, endpoint)
        }
    }

    mutating func pause(_ exchange: UInt32, _ pause: Exchange.Pause, until wakeup: UInt64) {
        exchanges[exchange].phase = .waiting
        exchanges[exchange].pause = pause
        exchanges[exchange].wakeup = wakeup
        armTimer(exchange)
        // Without a delay it still is not resumed from here: attempts would nest.
        if wakeup <= tick { enqueue(downstream: exchanges[exchange].downstream) }
    }

    /// Goes on with a request whose wait is over.
    mutating func resume(_ exchange: UInt32) {
        let pause = exchanges[exchange].pause
        exchanges[exchange].pause = .none
        exchanges[exchange].wakeup = 0
        // Other requests have used `reader` since.
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let bytes = buffers.bytes(input, input.start, input.end)
        var head = RequestHead()
        var progress = HeadProgress()
        guard RequestParser.parse(bytes, progress: &progress, head: &head, fields: &reader.fields) == .complete,
            // It has passed before, whatever it was asked.
            reader.normalize(head, bytes, rejectsEncodedSlashes: false) == nil
        else {
            abandon(exchange, .overload)
            return
        }
        downstreams[index].input.cursor = input.start + UInt32(exchanges[exchange].request.byteCount)
        switch pause {
        case .authorization: resumeAuthorization(exchange)
        case .fault:
            exchanges[exchange].isAdmitted = true
            if !abort(exchange) { forward(exchange) }
        case .endpoint where exchanges[exchange].record.attempts == 0: attemptAnew(exchange)
        case .retry, .endpoint: attempt(exchange)
        case .mirror: forward(exchange)
        case .none: break
        }
    }
}
