// Answers that the proxy gives itself. Each says why in `x-weft-reason`.
extension Worker {
    /// Answers the exchange's request instead of a backend.
    ///
    /// - Parameters:
    ///   - explanation: what is behind the detail, for people.
    ///   - grpcStatus: 0 and above: a gRPC answer with this status in its head.
    ///   - challenge: what was wrong with the request's token.
    mutating func reply(
        _ exchange: UInt32, _ status: UInt16, _ detail: ResponseDetail, _ flags: ResponseFlags,
        explanation: StaticString = "", grpcStatus: Int16 = -1, challenge: TokenError? = nil
    ) {
        prepareReply(exchange, status, detail, flags)
        let options = replyOptions(exchange)
        scratch.removeAll()
        if let challenge { writeChallenge(exchange, challenge) }
        if grpcStatus >= 0 {
            scratch.append("grpc-status: ")
            scratch.append(decimal: UInt64(grpcStatus))
            scratch.append("\r\n")
        }
        if let verdict = exchanges[exchange].rateLimit { verdict.write(into: &scratch) }
        let extra = scratch.bytes
        let start = scratch.count
        LocalResponse.writeError(
            status: status, detail: detail, explanation: RawSpan(explanation), options, extra: extra, into: &scratch)
        sendReply(exchange, from: start)
    }

    /// Answers for a policy's rule that refuses the request.
    mutating func replyDenied(_ exchange: UInt32, _ rule: Int32, isGRPC: Bool) {
        prepareReply(exchange, isGRPC ? 200 : 403, .accessDenied, .unauthorized)
        let options = replyOptions(exchange)
        if isGRPC { exchanges[exchange].grpcStatus = 7 }
        scratch.removeAll()
        if let verdict = exchanges[exchange].rateLimit { verdict.write(into: &scratch) }
        let extra = scratch.bytes
        let start = scratch.count
        let generation = exchanges[exchange].generation
        generations[generation].authorization.writeDenial(
            rule: self.options.namesPolicies ? rule : -1, isGRPC: isGRPC, options, extra: extra, into: &scratch)
        sendReply(exchange, from: start)
    }

    /// Answers what an authorizer has refused, with the fields and the body that `checks` has of it.
    mutating func replyChecked(_ exchange: UInt32, _ status: UInt16) {
        let isGRPC = exchanges[exchange].isGRPC
        prepareReply(exchange, isGRPC ? 200 : status, .externalDenied, .unauthorized)
        let options = replyOptions(exchange)
        scratch.removeAll()
        LocalResponse.start(isGRPC ? 200 : status, options, into: &scratch)
        scratch.append("x-weft-reason: ")
        scratch.append(ResponseDetail.externalDenied.staticText)
        scratch.append("\r\n")
        if let verdict = exchanges[exchange].rateLimit { verdict.write(into: &scratch) }
        if isGRPC {
            let code: UInt8 = status == 401 ? 16 : status == 403 ? 7 : status == 429 || status == 503 ? 14 : 2
            exchanges[exchange].grpcStatus = code
            scratch.append("content-type: application/grpc\r\ngrpc-status: ")
            scratch.append(decimal: UInt64(code))
            scratch.append("\r\ncontent-length: 0\r\n\r\n")
        } else {
            scratch.append(checks.changes.bytes)
            scratch.appendFraming(.length(UInt64(checks.body.count)))
            scratch.append("\r\n")
            if !options.isHead { scratch.append(checks.body.bytes) }
        }
        guard !scratch.overflowed else {
            abandon(exchange, .overload)
            return
        }
        sendReply(exchange, from: 0)
    }

    /// Answers as the rule says: redirects, direct responses, preflights, refusals.
    mutating func answer(_ exchange: UInt32) {
        let decision = exchanges[exchange].decision
        let flags: ResponseFlags =
            decision.detail == .routeNotFound ? .noRoute : decision.detail == .invalidBackend ? .noCluster : []
        prepareReply(exchange, decision.status, decision.detail, flags)
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let options = replyOptions(exchange)
        scratch.removeAll()
        do {
            let view = reader.view(
                exchanges[exchange].request, buffers.bytes(input, input.start, input.end),
                source: downstreams[index].source, client: downstreams[index].peer)
            generations[exchanges[exchange].generation].table.writeLocalResponse(
                decision, service: exchanges[exchange].service, view, options, into: &scratch)
        }
        exchanges[exchange].record.status = scratch.statusCode
        sendReply(exchange, from: 0)
    }

    private func replyOptions(_ exchange: UInt32) -> LocalResponse.Options {
        var options = LocalResponse.Options(isHead: exchanges[exchange].request.method == .head)
        if exchanges[exchange].closesDownstream {
            options.connection = .close
        } else if exchanges[exchange].request.minorVersion == 0 {
            options.connection = .keepAlive
        }
        return options
    }

    private mutating func prepareReply(
        _ exchange: UInt32, _ status: UInt16, _ detail: ResponseDetail, _ flags: ResponseFlags
    ) {
        endAttempt(exchange, .cancelled)
        exchanges[exchange].phase = .replying
        exchanges[exchange].record.status = status
        exchanges[exchange].record.detail = detail
        exchanges[exchange].record.flags.formUnion(flags)
        exchanges[exchange].record.responded = now
        // What has not come of the body is not waited for.
        if !exchanges[exchange].requestBody.isComplete || isDraining { exchanges[exchange].closesDownstream = true }
        exchanges[exchange].responseBody = MessageBody(.none)
        // From here on only a client that does not read holds it up.
        exchanges[exchange].wakeup = 0
        exchanges[exchange].tryDeadline = 0
        exchanges[exchange].requestDeadline = 0
        exchanges[exchange].lastProgress = tick
        armTimer(exchange)
    }

    private mutating func sendReply(_ exchange: UInt32, from start: Int) {
        guard sendScratch(exchange, from: start) else { return }
        _ = pumpResponse(exchange)
    }

    /// Answers what is not a request, and ends the connection.
    mutating func refuse(_ index: UInt32, _ error: HeadError) {
        refuse(index, status: error.status, error.detail, .downstreamProtocolError, explanation: error.text)
    }

    /// The worker is at one of its ceilings.
    mutating func shed(_ index: UInt32) { refuse(index, status: 503, .overload, .overload) }

    mutating func refuse(
        _ index: UInt32, status: UInt16, _ detail: ResponseDetail, _ flags: ResponseFlags,
        explanation: StaticString = ""
    ) {
        var record = RequestRecord()
        record.status = status
        record.detail = detail
        record.flags = flags
        record.take(downstreams[index])
        record.started = downstreams[index].headStarted
        record.responded = now
        record.ended = now
        statistics.record(record)
        countOnConnection(index, record)
        requestLog.close(
            .none, record, client: downstreams[index].peer, local: downstreams[index].local,
            principal: peers.principal(downstreams[index].principal))
        scratch.removeAll()
        LocalResponse.writeError(
            status: status, detail: detail, explanation: RawSpan(explanation),
            LocalResponse.Options(connection: .close), into: &scratch)
        buffers.give(&downstreams[index].input)
        var sent = 0
        if case .bytes(let count) = Sockets.send(downstreams[index].descriptor, scratch.bytes) { sent = count }
        if sent < scratch.count {
            guard let kept = keep(scratch.bytes.extracting(sent..<scratch.count), behind: downstreams[index].output)
            else {
                closeDownstream(index)
                return
            }
            downstreams[index].output = kept
            downstreams[index].isWritable = false
        }
        flush(index)
    }
}
