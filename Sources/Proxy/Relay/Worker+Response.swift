// From the backend to the client.
extension Worker {
    /// Moves what there is of the response to the client. False: the exchange is over.
    mutating func pumpResponse(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        var budget = Self.turnBudget
        while true {
            if downstreams[index].output.unsent > 0 {
                guard downstreams[index].isWritable else { return true }
                switch sendOutput(index) {
                case .sent: break
                case .blocked: return true
                case .failed:
                    abandon(exchange)
                    return false
                }
            }
            let upstream = exchanges[exchange].upstream
            switch exchanges[exchange].phase {
            case .replying:
                finish(exchange)
                return false
            case .waiting: return true
            case .awaitingHead:
                guard upstream != .max else { return true }
                if upstreams[upstream].input.unsent > 0 {
                    switch readResponseHead(exchange) {
                    case .more: break
                    case .done: continue
                    case .over: return false
                    }
                }
            case .relaying, .tunnelling:
                guard upstream != .max else { return true }
                let input = upstreams[upstream].input
                if input.sendable > 0 {
                    guard downstreams[index].isWritable else { return true }
                    let end = permittedEnd(exchange, input)
                    guard end > input.cursor else { return true }
                    switch sendToClient(index, buffers.bytes(input, input.cursor, end)) {
                    case .bytes(let count):
                        if exchanges[exchange].throttle.isOn { exchanges[exchange].throttle.spend(count) }
                        upstreams[upstream].input.cursor += UInt32(count)
                        exchanges[exchange].record.sent &+= UInt64(count)
                        exchanges[exchange].lastProgress = tick
                        guard count == Int(end - input.cursor) else {
                            downstreams[index].isWritable = false
                            return true
                        }
                        if end < input.ready { continue }
                    case .wouldBlock, .end:
                        downstreams[index].isWritable = false
                        return true
                    case .failed:
                        abandon(exchange)
                        return false
                    }
                }
                if exchanges[exchange].responseBody.isComplete {
                    if exchanges[exchange].phase == .tunnelling { return true }
                    finish(exchange)
                    return false
                }
                if downstreams[index].isShadow, exchanges[exchange].record.sent > Self.shadowLimit {
                    finish(exchange)
                    return false
                }
            }
            guard upstreams[upstream].isReadable else {
                // An idle stream holds no memory.
                if upstreams[upstream].input.unsent == 0 { buffers.give(&upstreams[upstream].input) }
                return true
            }
            guard budget > 0 else {
                enqueue(upstream: upstream)
                return true
            }
            let received = exchanges[exchange].record.received
            guard receiveResponse(exchange) else { return false }
            budget -= Int(exchanges[exchange].record.received &- received)
        }
    }

    /// Up to where the body may go to the client now. An injected fault makes the rest wait, and the backend with it.
    @inline(__always)
    private mutating func permittedEnd(_ exchange: UInt32, _ input: Buffer) -> UInt32 {
        guard exchanges[exchange].throttle.isOn, exchanges[exchange].phase == .relaying else { return input.ready }
        let count = exchanges[exchange].throttle.permits(input.sendable, now: now)
        if count == 0 {
            let delay = exchanges[exchange].throttle.delay(of: input.sendable)
            exchanges[exchange].wakeup = tick + 1 + delay / 1_000_000
            armTimer(exchange)
        }
        return input.cursor + UInt32(count)
    }

    /// Receives from the backend. False: the exchange is over.
    private mutating func receiveResponse(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        guard makeRoomForResponse(exchange) else {
            if exchanges[exchange].phase == .awaitingHead {
                exchanges[exchange].keepsUpstream = false
                reply(exchange, 503, .overload, .overload)
            } else {
                abandon(exchange, .overload)
            }
            return false
        }
        let room = buffers.room(upstreams[upstream].input)
        switch buffers.receive(upstreams[upstream].descriptor, into: &upstreams[upstream].input) {
        case .bytes(let count):
            if count < room, !upstreams[upstream].hasEnding { upstreams[upstream].isReadable = false }
            exchanges[exchange].record.received &+= UInt64(count)
            upstreams[upstream].taken &+= UInt32(count)
            guard exchanges[exchange].phase != .awaitingHead else { return true }
            guard receiveResponseBody(exchange) else {
                exchanges[exchange].record.flags.insert(.upstreamProtocolError)
                abandon(exchange, .upstreamProtocolError)
                return false
            }
            return true
        case .wouldBlock:
            upstreams[upstream].isReadable = false
            return true
        case .end:
            upstreams[upstream].isReadable = false
            exchanges[exchange].keepsUpstream = false
            guard exchanges[exchange].phase != .awaitingHead, !upstreams[upstream].wasReset,
                exchanges[exchange].responseBody.end()
            else {
                return upstreamFailed(exchange, failure(of: exchange))
            }
            guard exchanges[exchange].phase == .tunnelling else { return true }
            Sockets.shutdownWriting(downstreams[exchanges[exchange].downstream].descriptor)
            return !finishTunnel(exchange)
        case .failed: return upstreamFailed(exchange, failure(of: exchange))
        }
    }

    /// Counts what has arrived to the body. False: it is malformed.
    private mutating func receiveResponseBody(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        let input = upstreams[upstream].input
        if exchanges[exchange].latency == 0, input.end > input.ready || exchanges[exchange].responseBody.isComplete {
            exchanges[exchange].latency = max(1, now - min(now, exchanges[exchange].attemptStarted))
        }
        if exchanges[exchange].unchunks { return unchunk(exchange) }
        guard let count = exchanges[exchange].responseBody.take(buffers.bytes(input, input.ready, input.end)) else {
            return false
        }
        upstreams[upstream].input.ready += UInt32(count)
        // Bytes behind the end of a response belong to nothing: the connection is out of step.
        if exchanges[exchange].responseBody.isComplete, upstreams[upstream].input.ready < upstreams[upstream].input.end
        {
            exchanges[exchange].keepsUpstream = false
        }
        return true
    }

    /// Moves the content of the chunks that have arrived together. False: they are malformed.
    private mutating func unchunk(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        let input = upstreams[upstream].input
        let bytes = buffers.bytes(input, input.ready, input.end)
        var end = input.ready
        var position = 0
        while true {
            switch exchanges[exchange].responseBody.nextChunk(in: bytes, at: &position) {
            case .data(let range):
                buffers.move(input, from: input.ready + UInt32(range.lowerBound), to: end, UInt32(range.count))
                end += UInt32(range.count)
                continue
            case .needMore, .end:
                // As above.
                if exchanges[exchange].responseBody.isComplete, position < bytes.byteCount {
                    exchanges[exchange].keepsUpstream = false
                }
                upstreams[upstream].input.ready = end
                upstreams[upstream].input.end = end
                return true
            case .failed: return false
            }
        }
    }

    /// Everything received has been sent on, or a head is incomplete. False: at the ceiling of the memory.
    private mutating func makeRoomForResponse(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        guard upstreams[upstream].input.hasChunk else {
            guard buffers.take(&upstreams[upstream].input) else { return false }
            if exchanges[exchange].phase != .awaitingHead, exchanges[exchange].responseBody.exceeds(16 << 10) {
                _ = buffers.grow(&upstreams[upstream].input)
            }
            return true
        }
        if upstreams[upstream].input.unsent == 0 {
            let wasFull = buffers.room(upstreams[upstream].input) == 0
            upstreams[upstream].input.rewind(to: 0)
            if wasFull, exchanges[exchange].phase != .awaitingHead,
                exchanges[exchange].responseBody.exceeds(Int(BufferPool.smallSize))
            {
                _ = buffers.grow(&upstreams[upstream].input)
            }
            return true
        }
        guard buffers.room(upstreams[upstream].input) == 0 else { return true }
        if upstreams[upstream].input.cursor > 0 {
            upstreams[upstream].input.start = upstreams[upstream].input.cursor
            buffers.compact(&upstreams[upstream].input)
            return true
        }
        return buffers.grow(&upstreams[upstream].input)
    }

    private enum HeadStep { case more, done, over }

    private mutating func readResponseHead(_ exchange: UInt32) -> HeadStep {
        let upstream = exchanges[exchange].upstream
        let input = upstreams[upstream].input
        let bytes = buffers.bytes(input, input.cursor, input.end)
        var head = ResponseHead()
        let method = exchanges[exchange].request.method
        switch ResponseParser.parse(
            bytes, method: method, progress: &upstreams[upstream].progress, head: &head, fields: &reader.fields)
        {
        case .needMore: return .more
        case .failed:
            exchanges[exchange].keepsUpstream = false
            endAttempt(exchange, .reset)
            // What is no HTTP is a reset to the conditions of retries, as in Envoy.
            if case .retry(let delay) = decideRetry(exchange, AttemptFailure(.reset)) {
                retry(exchange, after: delay, AttemptFailure(.reset))
                return .over
            }
            reply(exchange, 502, .upstreamProtocolError, .upstreamProtocolError)
            return .over
        case .complete: break
        }
        upstreams[upstream].progress = HeadProgress()
        if head.status < 200, head.status != 101 { return relayInterim(exchange, head, bytes) }
        return relayHead(exchange, head, bytes)
    }

    /// As many 1xx responses may come before the one that counts.
    private static let interimLimit: UInt8 = 32

    /// The backend breaks the rules of HTTP, and the client has not seen a head yet.
    private mutating func refuseResponse(_ exchange: UInt32) -> HeadStep {
        exchanges[exchange].keepsUpstream = false
        endAttempt(exchange, .reset)
        reply(exchange, 502, .upstreamProtocolError, .upstreamProtocolError)
        return .over
    }

    /// A 1xx response goes on to clients that know them; another response follows.
    private mutating func relayInterim(_ exchange: UInt32, _ head: ResponseHead, _ bytes: RawSpan) -> HeadStep {
        takeHead(exchange, head)
        exchanges[exchange].interimResponses &+= 1
        guard exchanges[exchange].interimResponses <= Self.interimLimit else { return refuseResponse(exchange) }
        guard exchanges[exchange].request.minorVersion == 1 else { return .done }
        writeResponseHead(exchange, head, bytes, MessageOptions(framing: .none))
        return sendScratch(exchange) ? .done : .over
    }

    /// What follows in the buffer is the body, or another response.
    private mutating func takeHead(_ exchange: UInt32, _ head: ResponseHead) {
        let upstream = exchanges[exchange].upstream
        upstreams[upstream].input.cursor += UInt32(head.byteCount)
        upstreams[upstream].input.ready = upstreams[upstream].input.cursor
        upstreams[upstream].input.start = upstreams[upstream].input.cursor
        exchanges[exchange].lastProgress = tick
    }

    private mutating func writeResponseHead(
        _ exchange: UInt32, _ head: ResponseHead, _ bytes: RawSpan, _ options: MessageOptions
    ) {
        let index = exchanges[exchange].downstream
        var origin = RawSpan()
        if !exchanges[exchange].origin.isEmpty {
            let input = downstreams[index].input
            origin = buffers.bytes(input, input.start, input.end)[exchanges[exchange].origin]
        }
        writeExtras(exchange)
        scratch.removeAll()
        generations[exchanges[exchange].generation].table.writeResponseHead(
            exchanges[exchange].decision, head, reader.fields.fields, of: bytes, origin: origin, options,
            extra: extras.bytes, into: &scratch)
    }

    /// Looks at what the balancer and the retries want to know of a response.
    private mutating func inspect(_ exchange: UInt32, _ head: ResponseHead, _ bytes: RawSpan) -> AttemptFailure {
        var failure = AttemptFailure(status: head.status)
        exchanges[exchange].record.status = head.status
        let fields = reader.fields.fields
        for index in fields.indices {
            switch fields[index].known {
            case .retryAfter: failure.retryAfter = number(bytes[fields[index].value])
            case .grpcStatus: failure.grpcStatus = UInt8(clamping: number(bytes[fields[index].value]))
            default:
                if head.status == 429, bytes.equals(fields[index].name, ignoringCase: "x-envoy-ratelimited") {
                    failure.isRateLimited = true
                }
            }
        }
        failure.hasRetriableHeader = hasRetriableHeader(exchange, bytes)
        exchanges[exchange].retryAfter = failure.retryAfter
        exchanges[exchange].grpcStatus = failure.grpcStatus
        return failure
    }

    /// Whether the response in `reader` has a field that its rule or its caller names as a reason to try again.
    private func hasRetriableHeader(_ exchange: UInt32, _ bytes: RawSpan) -> Bool {
        var names = RouteRun.empty
        let rule = exchanges[exchange].decision.rule
        let generation = exchanges[exchange].generation
        if rule >= 0 {
            let retry = generations[generation].table.rules[Int(rule)].retry
            if retry >= 0 { names = generations[generation].table.retries[Int(retry)].headers }
        }
        let namesHeaders = exchanges[exchange].overrides.namesHeaders
        guard namesHeaders || !names.isEmpty else { return false }
        let input = downstreams[exchanges[exchange].downstream].input
        let request = buffers.bytes(input, input.start, input.end)
        let fields = reader.fields.fields
        for index in fields.indices {
            let name = bytes[fields[index].name]
            if namesHeaders, exchanges[exchange].overrides.names(name, request) { return true }
            if generations[generation].table.isNamed(name, in: names) { return true }
        }
        return false
    }

    /// 0 for what is no decimal number, such as a date.
    private func number(_ bytes: RawSpan) -> UInt32 {
        guard bytes.byteCount > 0, bytes.byteCount < 10 else { return 0 }
        var value: UInt32 = 0
        for index in 0..<bytes.byteCount {
            guard bytes[index].isDigit else { return 0 }
            value = value * 10 + UInt32(bytes[index] - UInt8(ascii: "0"))
        }
        return value
    }

    /// True: there is another attempt in place of this response, or the answer is another one.
    private mutating func retries(_ exchange: UInt32, _ failure: AttemptFailure) -> Bool {
        switch decideRetry(exchange, failure) {
        case .retry(let delay):
            exchanges[exchange].keepsUpstream = false
            endAttempt(exchange, .none)
            retry(exchange, after: delay, failure)
            return true
        case .stop(.attemptsUsed):
            exchanges[exchange].record.flags.insert(.retryLimitExceeded)
            return false
        case .stop(.budgetExceeded):
            // Gateway API: over the budget the answer is 503.
            statistics.add(.retriesDenied)
            endAttempt(exchange, .none)
            reply(exchange, 503, .retryBudget, [])
            return true
        case .stop(.overflow):
            statistics.add(.retriesDenied)
            exchanges[exchange].record.flags.insert(.upstreamOverflow)
            return false
        case .stop: return false
        }
    }

    private mutating func relayHead(_ exchange: UInt32, _ head: ResponseHead, _ bytes: RawSpan) -> HeadStep {
        let isTunnel = head.status == 101
        if isTunnel, !exchanges[exchange].request.wantsUpgrade || !head.wantsUpgrade {
            return refuseResponse(exchange)
        }
        let failure = inspect(exchange, head, bytes)
        if exchanges[exchange].decision.rule >= 0 || exchanges[exchange].overrides.changesRetries,
            head.status >= 400 || failure.grpcStatus != 255 || failure.hasRetriableHeader, retries(exchange, failure)
        {
            return .over
        }
        takeHead(exchange, head)
        let isOld = exchanges[exchange].request.minorVersion == 0
        exchanges[exchange].record.responded = now
        exchanges[exchange].tryDeadline = 0
        exchanges[exchange].responseBody = MessageBody(isTunnel ? .untilClose : head.framing)
        exchanges[exchange].keepsUpstream = head.isPersistent && !isTunnel
        var options = MessageOptions(framing: head.framing)
        if isTunnel {
            options.connection = .upgrade
            exchanges[exchange].requestDeadline = 0
            exchanges[exchange].phase = .tunnelling
            exchanges[exchange].requestBody = MessageBody(.untilClose)
            _ = receiveBody(exchange)
        } else {
            exchanges[exchange].phase = .relaying
            exchanges[exchange].unchunks = isOld && head.framing == .chunked
            if exchanges[exchange].unchunks { options.framing = .untilClose }
            if options.framing == .untilClose || !exchanges[exchange].requestBody.isComplete || isDraining {
                exchanges[exchange].closesDownstream = true
            }
            if exchanges[exchange].closesDownstream {
                options.connection = .close
            } else if isOld {
                options.connection = .keepAlive
            }
        }
        writeResponseHead(exchange, head, bytes, options)
        guard receiveResponseBody(exchange) else { return refuseResponse(exchange) }
        return sendHeadAndBody(exchange) ? .done : .over
    }

    /// Sends the head in `scratch` together with the body's bytes that are there. False: the exchange is over.
    private mutating func sendHeadAndBody(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        let index = exchanges[exchange].downstream
        let input = upstreams[upstream].input
        // Nothing may overtake what is already waiting.
        guard downstreams[index].output.unsent == 0, input.sendable > 0, !scratch.overflowed,
            !exchanges[exchange].throttle.isOn
        else {
            return sendScratch(exchange)
        }
        let headCount = scratch.count
        let body = buffers.bytes(input, input.cursor, input.ready)
        let result: Transfer
        if body.byteCount <= 2048 {
            // Copying little is cheaper than a second range.
            scratch.append(body)
            result = sendToClient(index, scratch.bytes)
        } else {
            result = sendToClient(index, scratch.bytes, body)
        }
        var sent = 0
        switch result {
        case .bytes(let count): sent = count
        case .wouldBlock, .end: break
        case .failed:
            abandon(exchange)
            return false
        }
        exchanges[exchange].record.sent &+= UInt64(sent)
        if sent < headCount + body.byteCount { downstreams[index].isWritable = false }
        if sent >= headCount {
            upstreams[upstream].input.cursor += UInt32(sent - headCount)
            return true
        }
        guard let kept = keep(scratch.bytes.extracting(sent..<headCount), behind: downstreams[index].output) else {
            abandon(exchange, .overload)
            return false
        }
        downstreams[index].output = kept
        return true
    }

    /// Sends what is in `scratch` from `start` on to the client, or keeps it until it can be sent. False: the exchange is
    /// over.
    mutating func sendScratch(_ exchange: UInt32, from start: Int = 0) -> Bool {
        let index = exchanges[exchange].downstream
        guard !scratch.overflowed else {
            abandon(exchange, .headTooLarge)
            return false
        }
        let bytes = scratch.bytes.extracting(start...)
        var sent = 0
        if downstreams[index].output.unsent == 0, downstreams[index].isWritable {
            switch sendToClient(index, bytes) {
            case .bytes(let count): sent = count
            case .wouldBlock, .end: break
            case .failed:
                abandon(exchange)
                return false
            }
        }
        exchanges[exchange].record.sent &+= UInt64(sent)
        guard sent < bytes.byteCount else { return true }
        downstreams[index].isWritable = false
        guard let kept = keep(bytes.extracting(sent...), behind: downstreams[index].output) else {
            abandon(exchange, .overload)
            return false
        }
        downstreams[index].output = kept
        return true
    }

    @inline(__always)
    private mutating func sendToClient(_ index: UInt32, _ bytes: RawSpan) -> Transfer {
        guard downstreams[index].isShadow else { return Sockets.send(downstreams[index].descriptor, bytes) }
        capture(index, bytes)
        return .bytes(bytes.byteCount)
    }

    @inline(__always)
    private mutating func sendToClient(_ index: UInt32, _ first: RawSpan, _ second: RawSpan) -> Transfer {
        guard downstreams[index].isShadow else {
            return Sockets.send(downstreams[index].descriptor, first, second)
        }
        capture(index, first)
        capture(index, second)
        return .bytes(first.byteCount + second.byteCount)
    }

    enum OutputStep { case sent, blocked, failed }

    /// Sends what is kept for the client.
    mutating func sendOutput(_ index: UInt32) -> OutputStep {
        let output = downstreams[index].output
        switch sendToClient(index, buffers.bytes(output, output.cursor, output.end)) {
        case .bytes(let count):
            downstreams[index].output.cursor += UInt32(count)
            let exchange = downstreams[index].exchange
            if exchange != .max { exchanges[exchange].lastProgress = tick }
            guard downstreams[index].output.unsent == 0 else {
                downstreams[index].isWritable = false
                return .blocked
            }
            buffers.give(&downstreams[index].output)
            return .sent
        case .wouldBlock, .end:
            downstreams[index].isWritable = false
            return .blocked
        case .failed: return .failed
        }
    }
}
