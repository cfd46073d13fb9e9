import CLinux
import Glibc
import Mesh

// Incoming tunnels: from a peer's agent to a workload of this node.
extension Worker {
    /// A peer asks for a stream.
    mutating func requestCame(_ event: HTTP2Event, of session: UInt32) {
        let head = tunnels.port.head(event)
        // Trailers of a stream that was refused.
        guard tunnels.sessions[session].isServer, !head.isLater else { return }
        guard !isDraining, !tunnels.sessions[session].isRetired else {
            tunnels.sessions[session].http.reset(event.stream, .refusedStream)
            enqueue(tunnelSession: session)
            return
        }
        let target = TunnelAddress.parse(head.authority)
        let client = client(head, session)
        guard let target, let inbound = inbound(head, target, session) else {
            refuse(event.stream, of: session, head.isTooLarge ? 431 : 400)
            return
        }
        var stream = TunnelStream(
            descriptor: -1, phase: .dialling, isServer: true, session: session, target: target, client: client,
            started: now)
        stream.number = event.stream
        stream.peer = tunnels.sessions[session].principal
        stream.source = tunnels.table?.client(tunnels.sessions[session].peerIdentity, at: client) ?? 0
        stream.destination = inbound.workload
        stream.service = inbound.service
        stream.hasRemoteEnded = head.endsStream
        let decision = authorize(TunnelPeer(principal: stream.peer, address: client), inbound, target)
        count(decision, inbound)
        stream.rule = decision.rule
        guard decision.verdict == .allowed else {
            recordRefused(stream, error: 0)
            refuse(event.stream, of: session, 401)
            return
        }
        stream.isProbe = head.isProbe && isAgent(tunnels.sessions[session].peerIdentity)
        guard inbound.service == 0 || stream.isProbe else { return handOver(stream, inbound) }
        stream.service = tunnels.table?.service(head.forwarded, at: target) ?? 0
        dial(stream)
    }

    /// Others might connect to workloads past the rules about requests, though without a word.
    private func isAgent(_ peer: String) -> Bool {
        guard let id = SPIFFEID(peer), let identity = PeerIdentity(id) else { return false }
        return identity.namespace == AgentIdentity.namespace && identity.serviceAccount == AgentIdentity.serviceAccount
    }

    /// The address of the application that connects. Its agent may say so only of the peer's own: rules about addresses
    /// have to mean something.
    private func client(_ head: HTTP2Head, _ session: UInt32) -> ClientAddress {
        let connected = tunnels.sessions[session].peer
        guard let told = TunnelAddress.client(head.forwarded), told.port != 0, let table = tunnels.table else {
            return connected
        }
        if told.high == connected.high, told.low == connected.low { return told }
        let principal = peers.principal(tunnels.sessions[session].principal)
        return table.ingress.isWorkload(principal: principal, at: told) ? told : connected
    }

    /// The checks of HBONE. nil: it leads nowhere.
    private func inbound(_ head: HTTP2Head, _ target: ClientAddress, _ session: UInt32) -> TunnelTable.Inbound? {
        guard !head.isTooLarge, head.isConnect, let table = tunnels.table, !table.ownPorts.contains(target.port),
            let inbound = table.inbound(at: target)
        else { return nil }
        let local = tunnels.sessions[session].local
        if local.high != target.high || local.low != target.low {
            // Another address is right only if it is the same workload's.
            var there = target
            (there.high, there.low) = (local.high, local.low)
            guard inbound.workload != 0, table.inbound(at: there)?.workload == inbound.workload else { return nil }
        }
        return inbound
    }

    /// The application, or the engine, does not take the stream.
    private mutating func unavailable(_ stream: TunnelStream, _ error: CInt) {
        recordRefused(stream, error: error)
        refuse(stream.number, of: stream.session, 503)
    }

    private mutating func refuse(_ number: Int32, of session: UInt32, _ status: UInt16) {
        switch status {
        case 401: statistics.add(.tunnelStreamsUnauthorized)
        case 503: statistics.add(.tunnelStreamsUnavailable)
        default: statistics.add(.tunnelStreamsMalformed)
        }
        tunnels.fields.removeAll()
        scratch.removeAll()
        scratch.append(decimal: UInt64(status))
        tunnels.fields.add(":status", scratch.bytes)
        _ = tunnels.sessions[session].http.respond(number, tunnels.fields, source: nil)
        enqueue(tunnelSession: session)
    }

    /// Connects to the application.
    private mutating func dial(_ stream: TunnelStream) {
        var stream = stream
        var inProgress = false
        let descriptor = Sockets.connect(to: weft_endpoint(stream.target), WEFT_PATH_LOCAL, inProgress: &inProgress)
        guard descriptor >= 0 else {
            unavailable(stream, -descriptor)
            return
        }
        stream.descriptor = descriptor
        if options.readsTunnels { stream.requests = TunnelRequests.undecided }
        guard let index = insert(stream) else {
            close(descriptor)
            unavailable(stream, ENOBUFS)
            return
        }
        tunnels.sessions[stream.session].http.setPlace(stream.number, index)
        link(index)
        wheel.set(TimerID.tunnelStream(index), tick + options.tunnelTiming.openTimeout)
        if !inProgress { accept(index) }
    }

    /// The application's connection stands, or has failed.
    mutating func dialled(_ index: UInt32) {
        let error = Sockets.pendingError(tunnels.streams[index].descriptor)
        if error == 0 { accept(index) } else { dialFailed(index, error) }
    }

    mutating func dialFailed(_ index: UInt32, _ error: CInt) {
        tunnels.streams[index].error = error
        refuse(tunnels.streams[index].number, of: tunnels.streams[index].session, 503)
        closeSocket(index, isReset: false)
    }

    private mutating func accept(_ index: UInt32) {
        let session = tunnels.streams[index].session
        tunnels.fields.removeAll()
        tunnels.fields.add(":status", "200")
        if tunnels.streams[index].isProbe {
            _ = tunnels.sessions[session].http.respond(tunnels.streams[index].number, tunnels.fields, source: nil)
            enqueue(tunnelSession: session)
            recordOpened(index)
            closeSocket(index, isReset: false)
            return
        }
        _ = tunnels.sessions[session].http.respond(tunnels.streams[index].number, tunnels.fields, source: index)
        enqueue(tunnelSession: session)
        opened(index)
        if !tunnels.streams[index].backlog.isEmpty {
            sendBacklog(index)
        } else if tunnels.streams[index].hasRemoteEnded {
            backlogSent(index)
        }
    }

    /// Gives the engine a stream whose requests are read: as a client's connection, from the other end of a socket pair.
    private mutating func handOver(_ stream: TunnelStream, _ inbound: TunnelTable.Inbound) {
        var stream = stream
        guard let pair = Sockets.pair() else {
            unavailable(stream, ENFILE)
            return
        }
        let session = stream.session
        let listener = tunnels.sessions[session].listener
        var downstream = Downstream(
            descriptor: pair.0, listener: listener, peer: stream.client, local: stream.target)
        downstream.service = inbound.service
        downstream.principal = stream.peer
        downstream.isInbound = true
        downstream.client = stream.source
        guard let place = admit(downstream) else {
            close(pair.0)
            close(pair.1)
            unavailable(stream, ENOBUFS)
            return
        }
        stream.descriptor = pair.1
        stream.owner = .downstream(place, generation: downstreams.generation(place))
        guard let index = insert(stream) else {
            close(pair.1)
            closeDownstream(place)
            unavailable(stream, ENOBUFS)
            return
        }
        downstreams[place].tunnel = TunnelReference(index: index, generation: tunnels.streams.generation(index))
        tunnels.sessions[session].http.setPlace(stream.number, index)
        link(index)
        accept(index)
    }
}
