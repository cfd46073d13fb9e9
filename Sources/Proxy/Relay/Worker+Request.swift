// From the client to the backend.
extension Worker {
    /// Chooses where the request goes, and sends it there.
    mutating func route(_ exchange: UInt32) {
        if exchanges[exchange].request.method == .connect {
            reply(exchange, 405, .connectRejected, [])
            return
        }
        attempt(exchange, pool: listeners[Int(downstreams[exchanges[exchange].downstream].listener)].pool)
    }

    /// Sends the request on a connection of the pool. `fields` are the request's.
    mutating func attempt(_ exchange: UInt32, pool: UInt32) {
        guard connect(exchange, pool: pool) else {
            upstreamFailed(exchange, 0)
            return
        }
        exchanges[exchange].record.attempts &+= 1
        exchanges[exchange].phase = .awaitingHead
        writeRequestHead(exchange)
        guard !scratch.overflowed else {
            reply(exchange, 431, .headTooLarge, .downstreamProtocolError)
            return
        }
        guard sendRequestHead(exchange) else { return }
        _ = pumpRequest(exchange)
    }

    private mutating func writeRequestHead(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let bytes = buffers.bytes(input, input.start, input.end)
        scratch.removeAll()
        HeadWriter.request(exchanges[exchange].request, fields.fields, bytes, into: &scratch)
    }

    /// Sends what is in `scratch`, with what there is of the body. False: the exchange is over.
    private mutating func sendRequestHead(_ exchange: UInt32) -> Bool {
        let upstream = exchanges[exchange].upstream
        let index = exchanges[exchange].downstream
        let input = downstreams[index].input
        let headCount = scratch.count
        let result: Transfer
        if input.sendable == 0 {
            result = Sockets.send(upstreams[upstream].descriptor, scratch.bytes)
        } else {
            result = Sockets.send(
                upstreams[upstream].descriptor, scratch.bytes, buffers.bytes(input, input.cursor, input.ready))
        }
        var sent = 0
        switch result {
        case .bytes(let count):
            sent = count
            if upstreams[upstream].isConnecting { connected(upstream) }
            if count < headCount + input.sendable { upstreams[upstream].isWritable = false }
        case .wouldBlock, .end: upstreams[upstream].isWritable = false
        case .failed(let error):
            upstreamFailed(exchange, error)
            return false
        }
        if sent >= headCount {
            downstreams[index].input.cursor += UInt32(sent - headCount)
            return true
        }
        let rest = scratch.bytes.extracting(sent..<headCount)
        guard let kept = keep(rest, behind: upstreams[upstream].output) else {
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
            guard buffers.grow(&buffer), buffers.room(buffer) >= bytes.byteCount else {
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
        var budget = 1 << 20
        while true {
            let upstream = exchanges[exchange].upstream
            switch exchanges[exchange].phase {
            case .waiting, .replying: return true
            case .awaitingHead, .relaying, .tunnelling: break
            }
            guard upstream != .max, upstreams[upstream].isWritable else { return true }
            if upstreams[upstream].output.unsent > 0 {
                let output = upstreams[upstream].output
                switch Sockets.send(
                    upstreams[upstream].descriptor, buffers.bytes(output, output.cursor, output.end))
                {
                case .bytes(let count):
                    upstreams[upstream].output.cursor += UInt32(count)
                    if upstreams[upstream].isConnecting { connected(upstream) }
                    guard upstreams[upstream].output.unsent == 0 else {
                        upstreams[upstream].isWritable = false
                        return true
                    }
                    buffers.give(&upstreams[upstream].output)
                case .wouldBlock, .end:
                    upstreams[upstream].isWritable = false
                    return true
                case .failed(let error): return upstreamFailed(exchange, error)
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
                case .failed(let error): return upstreamFailed(exchange, error)
                }
            }
            if exchanges[exchange].requestBody.isComplete { return true }
            guard downstreams[index].isReadable else { return true }
            guard budget > 0 else {
                enqueue(downstream: index)
                return true
            }
            guard receiveRequestBody(exchange) else { return false }
        }
    }

    /// Receives more of the request's body. False: the exchange is over.
    private mutating func receiveRequestBody(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        makeRoomForBody(exchange)
        let room = buffers.room(downstreams[index].input)
        guard room > 0 else { return true }
        switch buffers.receive(downstreams[index].descriptor, into: &downstreams[index].input) {
        case .bytes(let count):
            if count < room, !downstreams[index].hasEnding { downstreams[index].isReadable = false }
            guard receiveBody(exchange) else {
                exchanges[exchange].record.flags.insert(.downstreamProtocolError)
                if exchanges[exchange].phase == .awaitingHead {
                    reply(exchange, 400, .malformedRequest, .downstreamProtocolError)
                    return false
                }
                abandon(exchange, .malformedRequest)
                return false
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

    /// Everything received has been sent on. Keeps it as long as there is room, so that the request can be sent again.
    private mutating func makeRoomForBody(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let isLarge = exchanges[exchange].requestBody.exceeds(Int(BufferPool.smallSize) / 2)
        if exchanges[exchange].keepsBody, exchanges[exchange].phase == .awaitingHead {
            if buffers.room(downstreams[index].input) > 0 { return }
            if buffers.grow(&downstreams[index].input) { return }
        } else if isLarge {
            _ = buffers.grow(&downstreams[index].input)
        }
        exchanges[exchange].keepsBody = false
        let start = downstreams[index].input.start + UInt32(exchanges[exchange].request.byteCount)
        buffers.drop(&downstreams[index].input, from: start)
    }
}
