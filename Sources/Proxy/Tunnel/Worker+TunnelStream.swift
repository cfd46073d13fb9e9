import CLinux
import Glibc

// The sockets of this node whose bytes tunnels carry, and the ends of both.
extension Worker {
    /// Gives a stream its place, and watches its socket if it has one. nil: there is no room, and the socket is the caller's.
    mutating func insert(_ stream: TunnelStream) -> UInt32? {
        guard let index = tunnels.streams.insert(stream) else { return nil }
        var source = HTTP2Source()
        source.descriptor = stream.descriptor
        source.isFollowed = stream.requests != TunnelRequests.none
        tunnels.port[source: index] = source
        let token = EventToken(
            kind: .tunnelStream, index: index, generation: tunnels.streams.generation(index))
        guard poller.addConnection(stream.descriptor, token) else {
            tunnels.streams.remove(index)
            return nil
        }
        statistics.add(.tunnelStreamsActive, 1)
        return index
    }

    /// Takes back an insertion; the socket stays open.
    mutating func forget(_ index: UInt32) {
        poller.remove(tunnels.streams[index].descriptor)
        tunnels.streams.remove(index)
        statistics.add(.tunnelStreamsActive, -1)
    }

    /// Puts a stream into the list of its session.
    mutating func link(_ index: UInt32) {
        let session = tunnels.streams[index].session
        let first = tunnels.sessions[session].firstStream
        tunnels.streams[index].next = first
        if first != .max { tunnels.streams[first].previous = index }
        tunnels.sessions[session].firstStream = index
        tunnels.sessions[session].streams += 1
    }

    /// HTTP/2 is done with the stream.
    mutating func unlink(_ index: UInt32) {
        let (session, next, previous) = (
            tunnels.streams[index].session, tunnels.streams[index].next, tunnels.streams[index].previous
        )
        if previous == .max {
            tunnels.sessions[session].firstStream = next
        } else {
            tunnels.streams[previous].next = next
        }
        if next != .max { tunnels.streams[next].previous = previous }
        tunnels.streams[index].session = .max
        tunnels.streams[index].next = .max
        tunnels.streams[index].previous = .max
        tunnels.port[source: index].isOpen = false
        tunnels.sessions[session].streams -= 1
        guard tunnels.sessions[session].streams == 0 else { return }
        tunnels.sessions[session].idleSince = tick
        if tunnels.sessions[session].isRetired { enqueue(tunnelSession: session) }
    }

    // MARK: The socket

    mutating func tunnelStreamEvent(_ index: UInt32, _ readiness: Readiness) {
        guard tunnels.streams[index].descriptor >= 0 else { return }
        if tunnels.streams[index].phase == .dialling {
            if readiness.contains(.writable) || readiness.isBroken { dialled(index) }
            guard tunnels.streams.isLive(index), tunnels.streams[index].descriptor >= 0 else { return }
        }
        if readiness.contains(.error) {
            socketFailed(index)
            return
        }
        if readiness.contains(.writable) {
            tunnels.streams[index].isWritable = true
            if !tunnels.streams[index].backlog.isEmpty {
                sendBacklog(index)
                guard tunnels.streams.isLive(index), tunnels.streams[index].descriptor >= 0 else { return }
            }
        }
        guard readiness.wakesReader else { return }
        if readiness.contains(.hangup), tunnels.streams[index].phase == .requested {
            // The engine has given up before there was an answer.
            breakStream(index, .cancel)
            return
        }
        tunnels.port[source: index].isReadable = true
        if readiness.hasEnding { tunnels.port[source: index].hasEnding = true }
        resumeSource(index)
        if readiness.contains(.hangup), tunnels.streams[index].isOfEngine {
            tunnels.streams[index].hasEngineLeft = true
            engineLeft(index)
        }
    }

    /// Ends a stream whose engine has closed its end, once all that it had to say is on its way: nobody reads what the
    /// peer may still send. (A hang-up of another socket says only that both directions have ended.)
    mutating func engineLeft(_ index: UInt32) {
        guard tunnels.streams[index].hasEngineLeft, tunnels.port[source: index].hasEnded,
            !tunnels.streams[index].hasRemoteEnded, tunnels.streams[index].descriptor >= 0
        else { return }
        breakStream(index, .cancel)
    }

    /// Lets nghttp2 ask for the source's bytes again.
    private mutating func resumeSource(_ index: UInt32) {
        let session = tunnels.streams[index].session
        guard session != .max, tunnels.port[source: index].isDeferred, tunnels.port[source: index].isOpen,
            tunnels.port[source: index].isReadable
        else { return }
        tunnels.port[source: index].isDeferred = false
        tunnels.sessions[session].http.resume(tunnels.streams[index].number)
        enqueue(tunnelSession: session)
    }

    /// The socket is connected to whom it is for, and the peer has been told or has told us.
    mutating func opened(_ index: UInt32) {
        tunnels.streams[index].phase = .open
        tunnels.streams[index].isWritable = true
        tunnels.port[source: index].isOpen = true
        wheel.clear(TimerID.tunnelStream(index))
        statistics.add(.tunnelStreamsOpened)
        recordOpened(index)
        resumeSource(index)
    }

    /// What came through the tunnel has been passed on up to here.
    mutating func backlogSent(_ index: UInt32) {
        if tunnels.streams[index].hasRemoteEnded, !tunnels.streams[index].isShutDown {
            tunnels.streams[index].isShutDown = true
            Sockets.shutdownWriting(tunnels.streams[index].descriptor)
            Sockets.keepAlive(tunnels.streams[index].descriptor)
        }
        if tunnels.streams[index].phase == .draining { closeSocket(index, isReset: false) }
    }

    /// The socket has failed, which its stream tells the other side (RFC 9113 §8.5).
    mutating func socketFailed(_ index: UInt32) {
        serverLeft(index)
        breakStream(index, tunnels.streams[index].phase == .requested ? .cancel : .connectError)
    }

    /// Ends both sides without their consent.
    mutating func breakStream(_ index: UInt32, _ code: HTTP2ErrorCode) {
        let session = tunnels.streams[index].session
        if session != .max {
            tunnels.sessions[session].http.reset(tunnels.streams[index].number, code)
            enqueue(tunnelSession: session)
        }
        if tunnels.streams[index].phase == .requested { failOpening(index) }
        if tunnels.streams.isLive(index), tunnels.streams[index].descriptor >= 0 {
            closeSocket(index, isReset: true)
        }
    }

    /// Closes the socket. The place is free once HTTP/2 is done with the stream as well: until then its source may be
    /// asked for.
    mutating func closeSocket(_ index: UInt32, isReset: Bool) {
        wheel.clear(TimerID.tunnelStream(index))
        let session = tunnels.streams[index].session
        let kept = tunnels.streams[index].backlog.byteCount
        if kept > 0 {
            if session != .max { tunnels.sessions[session].http.consume(tunnels.streams[index].number, kept) }
            tunnels.chunks.removeAll(of: &tunnels.streams[index].backlog, &buffers)
        }
        if isReset {
            tellOwner(index)
            Sockets.reset(tunnels.streams[index].descriptor)
        } else {
            close(tunnels.streams[index].descriptor)
        }
        statistics.add(.tunnelStreamsActive, -1)
        recordEnded(index)
        statistics.add(.tunnelBytesSent, Int64(tunnels.port[source: index].byteCount))
        statistics.add(.tunnelBytesReceived, Int64(tunnels.streams[index].delivered))
        tunnels.streams[index].descriptor = -1
        tunnels.port[source: index].descriptor = -1
        tunnels.port[source: index].isOpen = false
        if session == .max { tunnels.streams.remove(index) }
    }

    // MARK: The stream

    /// END_STREAM has come.
    mutating func remoteEnded(_ index: UInt32) {
        guard !tunnels.streams[index].hasRemoteEnded else { return }
        tunnels.streams[index].hasRemoteEnded = true
        guard tunnels.streams[index].descriptor >= 0, tunnels.streams[index].phase == .open,
            tunnels.streams[index].backlog.isEmpty
        else { return }
        backlogSent(index)
    }

    /// - Parameter index: `.max`: the stream was refused.
    mutating func streamClosed(_ event: HTTP2Event, _ index: UInt32, of session: UInt32) {
        if tunnels.sessions[session].isServer, event.code != 0, isWasted(index),
            let violation = tunnels.sessions[session].http.countWasted(tick: tick)
        {
            refusePeer(session, violation)
        }
        guard index != .max, tunnels.streams[index].session == session, tunnels.streams[index].number == event.stream
        else { return }
        // What is kept for the socket still goes there, and is nobody's window any more.
        let kept = tunnels.streams[index].backlog.byteCount
        if kept > 0 { tunnels.sessions[session].http.consume(tunnels.streams[index].number, kept) }
        unlink(index)
        let code = HTTP2ErrorCode(rawValue: event.code)
        if event.kind == .notSent || code == .refusedStream, reopen(index) { return }
        let isComplete = tunnels.streams[index].hasRemoteEnded && (code == .noError || code == .cancel)
        streamEnded(index, isComplete: isComplete && event.kind == .closed)
    }

    /// A peer has taken a stream back before it was of use to anybody (CVE-2023-44487).
    private func isWasted(_ index: UInt32) -> Bool {
        guard index != .max else { return true }
        return tunnels.streams[index].delivered == 0 && tunnels.port[source: index].byteCount == 0
            && now &- tunnels.streams[index].started < 1_000_000_000
    }

    /// There is no stream any more; the socket may still be there.
    ///
    /// - Parameter isComplete: nothing is missing of what the peer had to send.
    mutating func streamEnded(_ index: UInt32, isComplete: Bool) {
        guard tunnels.streams[index].descriptor >= 0 else {
            tunnels.streams.remove(index)
            return
        }
        switch tunnels.streams[index].phase {
        case .requested:
            failOpening(index)
            if tunnels.streams.isLive(index) { closeSocket(index, isReset: true) }
        case .dialling: closeSocket(index, isReset: true)
        case .open, .draining:
            guard isComplete else {
                closeSocket(index, isReset: true)
                return
            }
            tunnels.streams[index].phase = .draining
            if tunnels.streams[index].backlog.isEmpty { backlogSent(index) }
        }
    }

    /// The answer to a request of ours.
    mutating func responseCame(_ event: HTTP2Event) {
        let index = event.place
        let head = tunnels.port.head(event)
        guard tunnels.streams[index].phase == .requested, tunnels.streams[index].descriptor >= 0 else {
            if head.endsStream { remoteEnded(index) }
            return
        }
        // Informational ones may come first.
        guard head.status >= 200 else { return }
        guard head.status == 200 else {
            breakStream(index, .cancel)
            return
        }
        opened(index)
        tellCaller(index)
        if case .upstream(let upstream, let generation) = tunnels.streams[index].owner {
            tunnelEstablished(upstream, generation)
        }
        if head.endsStream { remoteEnded(index) }
    }

    /// A request of ours has no positive answer, and will not have one.
    private mutating func failOpening(_ index: UInt32) {
        statistics.add(.tunnelStreamsFailed)
        if case .upstream(let upstream, let generation) = tunnels.streams[index].owner {
            tunnels.streams[index].owner = .none
            tunnelFailed(upstream, generation)
        }
    }
}
