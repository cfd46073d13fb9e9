import CLinux
import Glibc

// Connections to other agents: their beginning and their end.
extension Worker {
    /// Takes a connection of another agent.
    mutating func acceptTunnel(_ descriptor: CInt, _ listener: UInt32, _ peer: ClientAddress) {
        let local = Sockets.localAddress(descriptor)
        guard tunnels.sessions.hasRoom, let identity = tunnels.table?.server(at: local) else {
            statistics.count(.noOwnCertificate)
            Sockets.reset(descriptor)
            return
        }
        guard let tls = connection(identity, .server, descriptor) else {
            Sockets.reset(descriptor)
            return
        }
        var session = TunnelSession(
            descriptor: descriptor, isServer: true, tls: tls, http: HTTP2Session(isServer: true, tunnels.port),
            identity: identity, peer: peer, local: local, tick: tick)
        session.listener = listener
        _ = insert(session)
    }

    /// Watches a new session. nil: the kernel has no memory, and the socket is closed.
    mutating func insert(_ session: consuming TunnelSession) -> UInt32? {
        let descriptor = session.descriptor
        let index = tunnels.sessions.insert(session)
        let generation = tunnels.sessions.generation(index)
        guard poller.addConnection(descriptor, EventToken(kind: .tunnelSession, index: index, generation: generation))
        else {
            tunnels.sessions.remove(index)
            close(descriptor)
            return nil
        }
        statistics.add(.tunnelSessionsActive, 1)
        wheel.set(TimerID.tunnelSession(index), tick + options.tunnelTiming.openTimeout)
        return index
    }

    mutating func enqueue(tunnelSession index: UInt32) {
        guard !tunnels.sessions[index].isQueued else { return }
        tunnels.sessions[index].isQueued = true
        let generation = tunnels.sessions.generation(index)
        queue.append(EventToken(kind: .tunnelSession, index: index, generation: generation))
    }

    /// An event, or none and the session's turn in the queue: frames of all streams that have had something to say in this
    /// turn go out together.
    mutating func tunnelSessionEvent(_ index: UInt32, _ readiness: Readiness) {
        if readiness.contains(.writable) { tunnels.sessions[index].isWritable = true }
        if readiness.hasEnding { tunnels.sessions[index].tls.hasEnding = true }
        switch tunnels.sessions[index].phase {
        case .connecting:
            guard readiness.contains(.writable) || readiness.isBroken else { return }
            guard Sockets.pendingError(tunnels.sessions[index].descriptor) == 0 else {
                sessionFailed(index, .io)
                return
            }
            tunnels.sessions[index].local = Sockets.localAddress(tunnels.sessions[index].descriptor)
            tunnels.sessions[index].phase = .securing
            wheel.set(TimerID.tunnelSession(index), tick + options.tunnelTiming.openTimeout)
            secure(index)
        case .securing: secure(index)
        case .open:
            if readiness.wakesReader || tunnels.sessions[index].isReadable {
                receiveTunnel(index)
            } else {
                flushTunnel(index)
            }
        }
    }

    private mutating func secure(_ index: UInt32) {
        switch tunnels.sessions[index].tls.handshake() {
        case .wantsRead, .wantsWrite: return
        case .failed(let failure): sessionFailed(index, failure)
        case .complete:
            guard let peer = tunnels.sessions[index].tls.peer, let principal = peers.number(of: peer.spiffeID) else {
                sessionFailed(index, .noCertificate)
                return
            }
            tunnels.sessions[index].peerIdentity = peer.spiffeID
            tunnels.sessions[index].principal = principal
            guard isExpectedPeer(of: index) else {
                sessionFailed(index, .unexpectedIdentity)
                return
            }
            tunnels.sessions[index].phase = .open
            tunnels.sessions[index].isWritable = true
            tunnels.sessions[index].lastReceived = tick
            tunnels.sessions[index].idleSince = tick
            statistics.add(.tunnelHandshakes)
            _ = weft_settle_path(tunnels.sessions[index].descriptor)
            let pool = tunnels.sessions[index].pool
            if pool != .max {
                tunnels.pools[Int(pool)].failures = 0
                tunnels.pools[Int(pool)].retryAt = 0
            }
            wheel.set(TimerID.tunnelSession(index), tick + options.tunnelTiming.pingInterval)
            // What came with the last flight of the handshake has no event of its own.
            tunnels.sessions[index].isReadable = true
            enqueue(tunnelSession: index)
        }
    }

    /// Whether a peer is one of those that a client's session may meet at the address; a server takes every client whose
    /// certificate holds.
    func isExpectedPeer(of index: UInt32) -> Bool {
        guard !tunnels.sessions[index].isServer else { return true }
        let expected = tunnels.table?.expected(at: tunnels.sessions[index].peer)
        return expected?.contains(tunnels.sessions[index].peerIdentity) ?? false
    }

    /// The connection is of no use any more: what its streams carried is lost.
    mutating func sessionFailed(_ index: UInt32, _ failure: TLSFailure) {
        let isOpen = tunnels.sessions[index].phase == .open
        if !isOpen {
            statistics.count(failure)
            if tunnels.sessions[index].pool != .max { backOff(tunnels.sessions[index].pool) }
        } else if failure == .certificateRefused || failure == .alert {
            // A client learns only after its own handshake that the server did not accept it (RFC 8446 §4.4.4).
            statistics.count(failure)
            if tunnels.sessions[index].pool != .max { backOff(tunnels.sessions[index].pool) }
        }
        closeTunnel(index)
    }

    /// A peer that breaks the rules of HTTP/2, or floods: it is told, and its connection ends.
    mutating func refusePeer(_ index: UInt32, _ violation: HTTP2Violation) {
        guard !tunnels.sessions[index].isEnding else { return }
        statistics.count(violation)
        endTunnel(index, violation == .protocolError ? .protocolError : .enhanceYourCalm)
    }

    /// Ends a session as soon as its GOAWAY is out.
    mutating func endTunnel(_ index: UInt32, _ code: HTTP2ErrorCode) {
        guard !tunnels.sessions[index].isEnding else { return }
        tunnels.sessions[index].isEnding = true
        tunnels.sessions[index].isRetired = true
        tunnels.sessions[index].http.terminate(code)
        wheel.set(TimerID.tunnelSession(index), tick + options.tunnelTiming.endTimeout)
        enqueue(tunnelSession: index)
    }

    /// Gives the session no further streams; it ends with its last.
    mutating func retireTunnel(_ index: UInt32) {
        guard !tunnels.sessions[index].isRetired else { return }
        tunnels.sessions[index].isRetired = true
        if tunnels.sessions[index].streams == 0 {
            if tunnels.sessions[index].phase == .open { endTunnel(index, .noError) } else { closeTunnel(index) }
        } else if tunnels.sessions[index].isServer {
            tunnels.sessions[index].http.refuseFurther()
            enqueue(tunnelSession: index)
        }
    }

    /// Closes the connection and tells its streams.
    mutating func closeTunnel(_ index: UInt32) {
        while tunnels.sessions[index].firstStream != .max {
            let stream = tunnels.sessions[index].firstStream
            unlink(stream)
            streamEnded(stream, isComplete: false)
        }
        wheel.clear(TimerID.tunnelSession(index))
        leavePool(index)
        giveOutput(index)
        tunnels.sessions[index].tls.shutdown()
        close(tunnels.sessions[index].descriptor)
        tunnels.sessions.remove(index)
        statistics.add(.tunnelSessionsActive, -1)
    }

    private mutating func leavePool(_ index: UInt32) {
        let pool = tunnels.sessions[index].pool
        guard pool != .max else { return }
        let next = tunnels.sessions[index].nextOfPool
        if tunnels.pools[Int(pool)].firstSession == index {
            tunnels.pools[Int(pool)].firstSession = next
            return
        }
        var other = tunnels.pools[Int(pool)].firstSession
        while other != .max {
            if tunnels.sessions[other].nextOfPool == index {
                tunnels.sessions[other].nextOfPool = next
                return
            }
            other = tunnels.sessions[other].nextOfPool
        }
    }

    mutating func closeTunnels() {
        for index in 0..<tunnels.sessions.limit where tunnels.sessions.isLive(index) { closeTunnel(index) }
        for index in 0..<tunnels.streams.limit where tunnels.streams.isLive(index) { closeSocket(index, isReset: true) }
    }

    mutating func drainTunnels() {
        for index in 0..<tunnels.sessions.limit where tunnels.sessions.isLive(index) { retireTunnel(index) }
    }
}
