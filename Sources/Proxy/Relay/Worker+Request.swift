import Glibc

// From the client to the backend.
extension Worker {
    /// Sends the request on a connection of the pool. `reader` has its fields.
    mutating func send(_ exchange: UInt32, pool: UInt32) {
        switch connect(exchange, pool: pool) {
        case .connected: break
        case .shortage:
            endAttempt(exchange, .cancelled)
            reply(exchange, 503, .overload, .overload)
            return
        case .failed:
            upstreamFailed(exchange, AttemptFailure(.connectFailure))
            return
        }
        exchanges[exchange].lastProgress = tick
        if requestLog.isOn { logUpstream(exchange, pool) }
        writeRequestHead(exchange)
        guard !scratch.overflowed else {
            reply(exchange, 431, .headTooLarge, .downstreamProtocolError)
            return
        }
        guard sendRequestHead(exchange) else { return }
        _ = pumpRequest(exchange)
    }

    private mutating func logUpstream(_ exchange: UInt32, _ pool: UInt32) {
        let upstream = exchanges[exchange].upstream
        let local = upstreams[upstream].local ?? Sockets.localAddress(upstreams[upstream].descriptor)
        upstreams[upstream].local = local
        requestLog.upstream(
            exchanges[exchange].ticket, address: ClientAddress(pools[Int(pool)].endpoint), local: local,
            attemptStarted: exchanges[exchange].record.attempts > 1 ? exchanges[exchange].attemptStarted : 0)
    }

    /// Writes the request as it is sent on into `scratch`.
    mutating func writeRequestHead(_ exchange: UInt32) {
        extras.removeAll()
        let index = exchanges[exchange].downstream
        if exchanges[exchange].requestDeadline > tick, !downstreams[index].isShadow {
            RequestDeadline.write(
                milliseconds: exchanges[exchange].requestDeadline - tick, isGRPC: exchanges[exchange].hasGRPCTimeout,
                into: &extras)
        }
        let input = downstreams[index].input
        let request = exchanges[exchange].request
        var options = MessageOptions(
            framing: request.framing, connection: request.wantsUpgrade ? .upgrade : .persistent)
        options.replacesDeadline = extras.count > 0
        let generation = exchanges[exchange].generation
        if let endpoint = exchanges[exchange].endpoint {
            options.isTunnelled = generations[generation].isTunnelled(exchanges[exchange].cluster, endpoint)
        }
        writeTokenOutputs(exchange)
        writeIdentity(exchange, &options)
        HeaderChanges(changes(exchange)).write(ofResponse: false, into: &extras)
        let view = reader.view(
            request, buffers.bytes(input, input.start, input.end), source: downstreams[index].source,
            client: downstreams[index].peer)
        scratch.removeAll()
        generations[exchanges[exchange].generation].table.writeRequestHead(
            exchanges[exchange].decision, service: exchanges[exchange].service, view, options, extra: extras.bytes,
            changes: changes(exchange), into: &scratch)
    }

    /// Says which request it is, and of which trace.
    private mutating func writeIdentity(_ exchange: UInt32, _ options: inout MessageOptions) {
        if let requestID = exchanges[exchange].requestID, !isOtherwiseDecided(exchange, "x-request-id") {
            let text = requestID.text
            extras.append("x-request-id: ")
            unsafe extras.append(text.span.bytes)
            extras.append("\r\n")
        }
        let trace = exchanges[exchange].trace
        guard trace.isPresent else { return }
        options.replacesTrace = true
        options.dropsTraceState = trace.dropsState
        trace.write(into: &extras)
    }

    /// Whether a rule or an authorizer says what becomes of a field.
    private func isOtherwiseDecided(_ exchange: UInt32, _ name: StaticString) -> Bool {
        generations[exchanges[exchange].generation].table.decides(exchanges[exchange].decision, requestField: name)
            || HeaderChanges(changes(exchange)).removes(RawSpan(name))
    }

    /// Sends what is in `scratch`, with what there is of the body. False: the exchange is over or waits.
    private mutating func sendRequestHead(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let headCount = scratch.count
        let result: Transfer
        if upstreams[upstream].tunnelOutcome == .pending {
            result = .wouldBlock
        } else if input.sendable == 0 {
            result = Sockets.send(upstreams[upstream].descriptor, scratch.bytes)
        } else {
            result = Sockets.send(
                upstreams[upstream].descriptor, scratch.bytes, buffers.bytes(input, input.cursor, input.ready))
        }
        var sent = 0
        switch result {
        case .bytes(let count):
            sent = count
            exchanges[exchange].hasSent = true
            exchanges[exchange].lastProgress = tick
            if upstreams[upstream].isConnecting { connected(upstream) }
            if count < headCount + input.sendable { upstreams[upstream].isWritable = false }
        case .wouldBlock, .end: upstreams[upstream].isWritable = false
        case .failed:
            upstreamFailed(exchange, failure(of: exchange))
            return false
        }
        if sent >= headCount {
            downstreams[index].input.cursor += UInt32(sent - headCount)
            return true
        }
        guard let kept = keep(scratch.bytes.extracting(sent..<headCount), behind: upstreams[upstream].output) else {
            reply(exchange, 503, .overload, .overload)
            return false
        }
        upstreams[upstream].output = kept
        return true
    }

    /// Keeps bytes that a socket did not take, behind those that `buffer` has. nil: at the ceiling of the memory.
    mutating func keep(_ bytes: RawSpan, behind buffer: Buffer) -> Buffer? {
        var buffer = buffer
        let isNew = !buffer.hasChunk
        if isNew, !buffers.take(&buffer) { return nil }
        if buffers.room(buffer) < bytes.byteCount {
            // Asked first: the chunk that grows is given back, and the caller still names it.
            guard Int(BufferPool.largeSize) - Int(buffer.end - buffer.start) >= bytes.byteCount, buffers.grow(&buffer)
            else {
                if isNew { buffers.give(&buffer) }
                return nil
            }
        }
        _ = buffers.append(bytes, to: &buffer)
        buffer.ready = buffer.end
        return buffer
    }

    /// Moves what there is of the request to the backend. False: the exchange is over.
    mutating func pumpRequest(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        var budget = Self.turnBudget
        while true {
            switch exchanges[exchange].phase {
            case .waiting, .replying: return true
            case .awaitingHead, .relaying, .tunnelling: break
            }
            let upstream = exchanges[exchange].upstream
            guard upstream != .max, upstreams[upstream].isWritable else { return true }
            if upstreams[upstream].output.unsent > 0 {
                switch sendUpstreamOutput(exchange) {
                case .sent: break
                case .blocked: return true
                case .failed: return sendingFailed(exchange)
                }
            }
            let input = downstreams[index].input
            if input.sendable > 0 {
                switch Sockets.send(upstreams[upstream].descriptor, buffers.bytes(input, input.cursor, input.ready)) {
                case .bytes(let count):
                    downstreams[index].input.cursor += UInt32(count)
                    exchanges[exchange].lastProgress = tick
                    budget -= count
                    guard count == input.sendable else {
                        upstreams[upstream].isWritable = false
                        return true
                    }
                case .wouldBlock, .end:
                    upstreams[upstream].isWritable = false
                    return true
                case .failed(let error):
                    if error == ECONNRESET { upstreams[upstream].wasReset = true }
                    return sendingFailed(exchange)
                }
            }
            if exchanges[exchange].requestBody.isComplete || downstreams[index].isShadow { return true }
            guard downstreams[index].isReadable else { return true }
            guard budget > 0 else {
                enqueue(downstream: index)
                return true
            }
            guard receiveRequestBody(exchange) else { return false }
        }
    }

    /// The backend takes no more of the request. It may have answered before it ended: that answer counts. False: the
    /// exchange is over, or waits for another attempt.
    private mutating func sendingFailed(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        guard exchanges[exchange].hasSent, !upstreams[upstream].isConnecting else {
            return upstreamFailed(exchange, failure(of: exchange))
        }
        upstreams[upstream].isWritable = false
        upstreams[upstream].isReadable = true
        upstreams[upstream].hasEnding = true
        if exchanges[exchange].phase == .tunnelling {
            _ = exchanges[exchange].requestBody.end()
            if finishTunnel(exchange) { return false }
        }
        return pumpResponse(exchange)
    }

    /// Sends what is kept of the request's head.
    private mutating func sendUpstreamOutput(_ exchange: UInt32) -> OutputStep {
        let upstream = exchanges[exchange].upstream
        let output = upstreams[upstream].output
        switch Sockets.send(upstreams[upstream].descriptor, buffers.bytes(output, output.cursor, output.end)) {
        case .bytes(let count):
            upstreams[upstream].output.cursor += UInt32(count)
            exchanges[exchange].hasSent = true
            exchanges[exchange].lastProgress = tick
            if upstreams[upstream].isConnecting { connected(upstream) }
            guard upstreams[upstream].output.unsent == 0 else {
                upstreams[upstream].isWritable = false
                return .blocked
            }
            buffers.give(&upstreams[upstream].output)
            return .sent
        case .wouldBlock, .end:
            upstreams[upstream].isWritable = false
            return .blocked
        case .failed(let error):
            if error == ECONNRESET { upstreams[upstream].wasReset = true }
            return .failed
        }
    }

    /// Receives more of the request's body. False: the exchange is over.
    private mutating func receiveRequestBody(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        guard makeRoomForBody(exchange) else {
            if exchanges[exchange].phase == .awaitingHead {
                reply(exchange, 503, .overload, .overload)
            } else {
                exchanges[exchange].record.flags.insert(.overload)
                abandon(exchange, .overload)
            }
            return false
        }
        let room = buffers.room(downstreams[index].input)
        switch buffers.receive(downstreams[index].descriptor, into: &downstreams[index].input) {
        case .bytes(let count):
            if count < room, !downstreams[index].hasEnding { downstreams[index].isReadable = false }
            exchanges[exchange].record.received &+= UInt64(count)
            downstreams[index].shortcut.taken &+= UInt32(count)
            guard receiveBody(exchange) else {
                exchanges[exchange].record.flags.insert(.downstreamProtocolError)
                if exchanges[exchange].phase == .awaitingHead {
                    reply(
                        exchange, 400, .malformedRequest, .downstreamProtocolError,
                        explanation: MessageBody.malformedText)
                } else {
                    abandon(exchange, .malformedRequest)
                }
                return false
            }
            if exchanges[exchange].awaitsMirrors, exchanges[exchange].keepsBody,
                exchanges[exchange].requestBody.isComplete
            {
                mirror(exchange)
            }
            return true
        case .wouldBlock:
            downstreams[index].isReadable = false
            return true
        case .end:
            downstreams[index].isReadable = false
            guard exchanges[exchange].requestBody.end() else {
                abandon(exchange)
                return false
            }
            Sockets.shutdownWriting(upstreams[exchanges[exchange].upstream].descriptor)
            return !finishTunnel(exchange)
        case .failed:
            abandon(exchange)
            return false
        }
    }

    /// Everything received has been sent on. It is kept as long as there is room, so that the request can be sent again.
    /// False: there is no room, and no way to make any.
    private mutating func makeRoomForBody(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        if exchanges[exchange].keepsBody, exchanges[exchange].phase == .awaitingHead {
            if buffers.room(downstreams[index].input) > 0 { return true }
            if buffers.grow(&downstreams[index].input) { return true }
        }
        exchanges[exchange].keepsBody = false
        let wasFull = buffers.room(downstreams[index].input) == 0
        buffers.drop(
            &downstreams[index].input,
            from: downstreams[index].input.start + UInt32(exchanges[exchange].request.byteCount))
        if wasFull { _ = buffers.grow(&downstreams[index].input) }
        if buffers.room(downstreams[index].input) == 0 { buffers.compact(&downstreams[index].input) }
        return buffers.room(downstreams[index].input) > 0
    }
}
