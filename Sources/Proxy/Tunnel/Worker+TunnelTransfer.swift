import Glibc

// The bytes of sessions: from TLS to the sockets of streams, and back.
extension Worker {
    /// Receives what there is, and passes it on.
    mutating func receiveTunnel(_ index: UInt32) {
        tunnels.sessions[index].isReadable = true
        var budget = Self.turnBudget
        while tunnels.sessions[index].isReadable {
            guard budget > 0 else {
                enqueue(tunnelSession: index)
                return
            }
            var count = 0
            var end: TLSFailure?
            receiving: while count < HTTP2Port.inputCapacity {
                switch unsafe tunnels.sessions[index].tls.read(into: tunnels.port.input(from: count)) {
                case .bytes(let more):
                    count += more
                    // To ask once more would be a system call that finds nothing.
                    guard tunnels.sessions[index].tls.hasMore else {
                        tunnels.sessions[index].isReadable = false
                        break receiving
                    }
                case .wantsRead, .wantsWrite:
                    tunnels.sessions[index].isReadable = false
                    break receiving
                case .closed:
                    end = .peerClosed
                    break receiving
                case .failed(let failure):
                    end = failure
                    break receiving
                }
            }
            if count > 0 {
                budget -= count
                tunnels.sessions[index].lastReceived = tick
                let result = tunnels.sessions[index].http.receive(count, tick: tick)
                takeEvents(of: index)
                if case .failed(let violation) = result {
                    refusePeer(index, violation)
                    // nghttp2 is not asked to read any more.
                    tunnels.sessions[index].isReadable = false
                }
            }
            if let end {
                sessionFailed(index, end)
                return
            }
        }
        enqueue(tunnelSession: index)
    }

    /// Sends what there is: as many frames as one call takes.
    mutating func flushTunnel(_ index: UInt32) {
        guard tunnels.sessions[index].phase == .open else { return }
        var budget = Self.turnBudget
        while true {
            while tunnels.sessions[index].output.unsent > 0 {
                guard tunnels.sessions[index].isWritable else { return }
                let output = tunnels.sessions[index].output
                let result = unsafe buffers.bytes(output, output.cursor, output.end).withUnsafeBytes { bytes in
                    unsafe tunnels.sessions[index].tls.write(bytes, isLast: false)
                }
                guard let count = written(result, index) else { return }
                tunnels.sessions[index].output.cursor += UInt32(count)
                budget -= count
            }
            guard tunnels.sessions[index].http.wantsToSend else { break }
            guard budget > 0 else {
                enqueue(tunnelSession: index)
                break
            }
            guard fill(index) else { return }
            if tunnels.sessions[index].output.unsent == 0 { break }
        }
        guard tunnels.sessions[index].isWritable, written(tunnels.sessions[index].tls.flush(), index) != nil else {
            return
        }
        giveOutput(index)
        if tunnels.sessions[index].tls.isWorn { retireTunnel(index) }
        if tunnels.sessions[index].http.isFinished {
            closeTunnel(index)
        } else if tunnels.sessions[index].isRetired, tunnels.sessions[index].streams == 0 {
            endTunnel(index, .noError)
        }
    }

    /// How many bytes were taken. nil: the session is gone, or its socket has no room.
    private mutating func written(_ result: TLSResult, _ index: UInt32) -> Int? {
        switch result {
        case .bytes(let count): return count
        case .wantsRead, .wantsWrite, .closed: tunnels.sessions[index].isWritable = false
        case .failed(let failure): sessionFailed(index, failure)
        }
        return nil
    }

    mutating func giveOutput(_ index: UInt32) {
        var chunk = tunnels.sessions[index].output
        buffers.give(&chunk)
        tunnels.sessions[index].output = chunk
    }

    /// Makes frames of what there is to send, in the session's chunk. False: the session is gone, or there is no memory.
    private mutating func fill(_ index: UInt32) -> Bool {
        if !tunnels.sessions[index].output.hasChunk {
            var chunk = Buffer()
            guard buffers.takeLarge(&chunk) else {
                _ = written(tunnels.sessions[index].tls.flush(), index)
                return false
            }
            tunnels.sessions[index].output = chunk
        }
        tunnels.sessions[index].output.rewind(to: 0)
        var used = 0
        let chunk = unsafe buffers.memory(tunnels.sessions[index].output)
        let result = unsafe tunnels.sessions[index].http.send(into: chunk, used: &used, tick: tick)
        tunnels.sessions[index].output.end = UInt32(used)
        tunnels.sessions[index].output.ready = UInt32(used)
        takeEvents(of: index)
        if case .failed = result {
            closeTunnel(index)
            return false
        }
        if let code = tunnels.sessions[index].http.sentGoAway, code != 0, !tunnels.sessions[index].isEnding {
            // nghttp2 has found it out by itself.
            statistics.count(HTTP2Violation.protocolError)
            tunnels.sessions[index].isEnding = true
            tunnels.sessions[index].isRetired = true
            wheel.set(TimerID.tunnelSession(index), tick + options.tunnelTiming.endTimeout)
        }
        return true
    }

    // MARK: Events

    private mutating func takeEvents(of index: UInt32) {
        for position in 0..<tunnels.port.eventCount { take(tunnels.port.event(position), of: index) }
        passOn(index)
        tunnels.port.removeEvents()
    }

    private mutating func take(_ event: HTTP2Event, of index: UInt32) {
        if event.kind != .data { passOn(index) }
        switch event.kind {
        case .head:
            if tunnels.sessions[index].isServer {
                requestCame(event, of: index)
            } else if event.place != .max {
                responseCame(event)
            }
        case .data: receive(event, stream(event, of: index), of: index)
        case .end:
            let stream = stream(event, of: index)
            if stream != .max { remoteEnded(stream) }
        case .closed, .notSent: streamClosed(event, stream(event, of: index), of: index)
        case .goAway:
            tunnels.sessions[index].isRetired = true
            if tunnels.sessions[index].streams == 0 { endTunnel(index, .noError) }
        case .pong: tunnels.sessions[index].pingSent = 0
        case .sourceRead:
            let output = tunnels.sessions[index].output
            readRequests(
                event.place, buffers.bytes(output, event.offset, event.offset + event.count), isResponse: true)
        case .sourceEnded:
            serverLeft(event.place)
            engineLeft(event.place)
        case .sourceFailed: socketFailed(event.place)
        }
    }

    /// Which stream an event is about; `.max`: none that is there. What came together with the stream's beginning does not
    /// know its place yet.
    private func stream(_ event: HTTP2Event, of session: UInt32) -> UInt32 {
        if event.place != .max { return event.place }
        var stream = tunnels.sessions[session].firstStream
        while stream != .max, tunnels.streams[stream].number != event.stream { stream = tunnels.streams[stream].next }
        return stream
    }

    /// Bytes for the socket of a stream: those that come one after the other go into one call.
    private mutating func receive(_ event: HTTP2Event, _ stream: UInt32, of index: UInt32) {
        guard stream != .max, tunnels.streams[stream].descriptor >= 0 else {
            // Nobody wants them, but the window is all streams'.
            tunnels.sessions[index].http.consume(event.stream, Int(event.count))
            return
        }
        if tunnels.streams[stream].requests != TunnelRequests.none {
            readRequests(stream, tunnels.port.bytes(event), isResponse: false)
        }
        if tunnels.gatheredStream != stream || tunnels.gathered.isFull { passOn(index) }
        guard tunnels.streams[stream].backlog.isEmpty, tunnels.streams[stream].isWritable,
            tunnels.streams[stream].phase == .open
        else {
            keep(tunnels.port.bytes(event), for: stream, of: index)
            return
        }
        tunnels.gatheredStream = stream
        unsafe tunnels.gathered.add(tunnels.port.bytes(event))
    }

    /// Sends what was gathered, and keeps what the socket does not take.
    private mutating func passOn(_ index: UInt32) {
        let stream = tunnels.gatheredStream
        guard stream != .max else { return }
        tunnels.gatheredStream = .max
        defer { tunnels.gathered.removeAll() }
        let total = tunnels.gathered.byteCount
        switch tunnels.gathered.send(tunnels.streams[stream].descriptor) {
        case .bytes(let count):
            passedOn(stream, count)
            guard count < total else {
                if count <= Tunnels.smallMessage { tunnels.expectsAnswer = true }
                return
            }
        case .wouldBlock, .end: break
        case .failed:
            // Their window would be lost to the others.
            tunnels.sessions[index].http.consume(tunnels.streams[stream].number, total)
            socketFailed(stream)
            return
        }
        tunnels.streams[stream].isWritable = false
        while let part = tunnels.gathered.removeFirst() { keep(part, for: stream, of: index) }
    }

    private mutating func passedOn(_ stream: UInt32, _ count: Int) {
        tunnels.streams[stream].delivered &+= UInt64(count)
        let session = tunnels.streams[stream].session
        guard session != .max else { return }
        tunnels.sessions[session].http.consume(tunnels.streams[stream].number, count)
    }

    /// Keeps bytes for a socket that does not take them now: as many as the stream's window is at most.
    private mutating func keep(_ bytes: RawSpan, for stream: UInt32, of session: UInt32) {
        let before = tunnels.streams[stream].backlog.byteCount
        guard tunnels.streams[stream].descriptor >= 0,
            tunnels.chunks.append(bytes, to: &tunnels.streams[stream].backlog, &buffers)
        else {
            // The window is all streams': what nobody will read is given back.
            let kept = tunnels.streams[stream].backlog.byteCount - before
            tunnels.sessions[session].http.consume(tunnels.streams[stream].number, bytes.byteCount - kept)
            guard tunnels.streams[stream].descriptor >= 0 else { return }
            statistics.add(.tunnelStreamsShed)
            breakStream(stream, .connectError)
            return
        }
    }

    /// Sends what was kept for the socket, which may end it.
    mutating func sendBacklog(_ stream: UInt32) {
        var needsFlush = false
        while !tunnels.streams[stream].backlog.isEmpty, tunnels.streams[stream].isWritable {
            let front = tunnels.chunks.front(tunnels.streams[stream].backlog, buffers)
            switch Sockets.send(tunnels.streams[stream].descriptor, front) {
            case .bytes(let count):
                if count < front.byteCount { tunnels.streams[stream].isWritable = false }
                tunnels.chunks.drop(count, of: &tunnels.streams[stream].backlog, &buffers)
                passedOn(stream, count)
                needsFlush = true
            case .wouldBlock, .end: tunnels.streams[stream].isWritable = false
            case .failed:
                socketFailed(stream)
                return
            }
        }
        let session = tunnels.streams[stream].session
        if needsFlush, session != .max { enqueue(tunnelSession: session) }
        if tunnels.streams[stream].backlog.isEmpty { backlogSent(stream) }
    }
}
