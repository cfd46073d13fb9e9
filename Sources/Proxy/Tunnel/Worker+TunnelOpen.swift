import CLinux
import Glibc

// Outgoing tunnels: from a socket of this node to a workload on another one.
extension Worker {
    enum TunnelOpening {
        case opened(UInt32)
        case failed
        /// This side has no descriptor or place left.
        case shortage
    }

    /// A connection that the kernel has turned to the agent for the tunnel. The client's socket is closed if there is none.
    mutating func openCaptured(_ descriptor: CInt, _ origin: ConnectionOrigin, client: ClientAddress) {
        var target = origin.destination
        var service = origin.service
        if let backend = tunnels.table?.backends[origin.backend] {
            target = backend.address
            service = backend.service
        }
        let opening = openTunnel(
            descriptor, source: origin.source, target: target, service: service, destination: origin.workload,
            client: client, owner: .none)
        guard case .opened = opening else {
            statistics.add(.tunnelStreamsFailed)
            Sockets.reset(descriptor)
            return
        }
    }

    /// Carries the bytes of `descriptor`, which the tunnel then owns, to `target`. Unless a stream was opened, the
    /// descriptor stays the caller's.
    mutating func openTunnel(
        _ descriptor: CInt, source: UInt64, target: ClientAddress, service: UInt64, destination: UInt64,
        client: ClientAddress, owner: TunnelStream.Owner, isProbe: Bool = false
    ) -> TunnelOpening {
        guard let table = tunnels.table, table.isTunnelled(target), !isDraining else { return .failed }
        guard let identity = table.sources[source] else {
            statistics.count(.noOwnCertificate)
            return .failed
        }
        let session: UInt32
        switch clientSession(from: identity, to: target, table.tunnelPort) {
        case .opened(let index): session = index
        case .failed: return .failed
        case .shortage: return .shortage
        }
        var stream = TunnelStream(
            descriptor: descriptor, phase: .requested, isServer: false, session: session, target: target,
            client: table.clientAddress(client, of: source, to: target), started: now)
        stream.owner = owner
        stream.source = source
        stream.service = service
        stream.destination = destination
        stream.isProbe = isProbe
        guard let index = insert(stream) else { return .shortage }
        writeRequest(index, table)
        guard let number = tunnels.sessions[session].http.request(tunnels.fields, source: index) else {
            forget(index)
            return .failed
        }
        tunnels.streams[index].number = number
        link(index)
        wheel.set(TimerID.tunnelStream(index), tick + options.tunnelTiming.openTimeout)
        enqueue(tunnelSession: session)
        return .opened(index)
    }

    /// Asks once more for a stream that the peer has not looked at, because it takes no further ones of that session
    /// (RFC 9113 §6.8, §8.7). False: that cannot be.
    mutating func reopen(_ index: UInt32) -> Bool {
        let stream = tunnels.streams[index]
        guard stream.phase == .requested, !stream.isRepeated, stream.descriptor >= 0, !isDraining,
            let table = tunnels.table, let identity = table.sources[stream.source],
            case .opened(let session) = clientSession(from: identity, to: stream.target, table.tunnelPort)
        else { return false }
        writeRequest(index, table)
        tunnels.port[source: index].isDeferred = false
        guard let number = tunnels.sessions[session].http.request(tunnels.fields, source: index) else { return false }
        tunnels.streams[index].isRepeated = true
        tunnels.streams[index].session = session
        tunnels.streams[index].number = number
        link(index)
        enqueue(tunnelSession: session)
        return true
    }

    /// `:authority` says where to, `forwarded` where from and by what name, `baggage` who (HBONE). `weft-probe` is ours.
    private mutating func writeRequest(_ index: UInt32, _ table: TunnelTable) {
        let stream = tunnels.streams[index]
        tunnels.fields.removeAll()
        tunnels.fields.add(":method", "CONNECT")
        scratch.removeAll()
        scratch.append(authority: stream.target)
        tunnels.fields.add(":authority", scratch.bytes)
        scratch.removeAll()
        scratch.append("for=\"")
        scratch.append(authority: stream.client)
        scratch.append("\"")
        if let host = table.hosts[stream.service] {
            scratch.append(";host=")
            scratch.append(host)
        }
        tunnels.fields.add("forwarded", scratch.bytes, isUnique: true)
        if let baggage = table.baggage[stream.source], !baggage.isEmpty {
            unsafe tunnels.fields.add("baggage", baggage.span.bytes)
        }
        scratch.removeAll()
        scratch.append("00-")
        for _ in 0..<2 { scratch.append(hex: tunnels.random.next(), digits: 16) }
        scratch.append("-")
        scratch.append(hex: tunnels.random.next() | 1, digits: 16)
        scratch.append("-00")
        tunnels.fields.add("traceparent", scratch.bytes, isUnique: true)
        if stream.isProbe { tunnels.fields.add("weft-probe", "connect") }
    }

    /// A session with room for another stream, a new one if there is none.
    private mutating func clientSession(
        from identity: String, to target: ClientAddress, _ port: UInt16
    ) -> TunnelOpening {
        var endpoint = target
        endpoint.port = port
        let pool = pool(identity, endpoint)
        var index = tunnels.pools[Int(pool)].firstSession
        while index != .max {
            if tunnels.sessions[index].takesStreams { return .opened(index) }
            index = tunnels.sessions[index].nextOfPool
        }
        guard tick >= tunnels.pools[Int(pool)].retryAt else { return .failed }
        return connect(pool)
    }

    private mutating func pool(_ identity: String, _ endpoint: ClientAddress) -> UInt32 {
        let key = TunnelPoolKey(
            identity: identity, high: endpoint.high, low: endpoint.low, port: endpoint.port)
        if let place = tunnels.poolPlaces[key] { return place }
        let place: UInt32
        if let free = tunnels.freePools.popLast() {
            place = free
            tunnels.pools[Int(place)] = TunnelPool(identity: identity, endpoint: endpoint)
        } else {
            place = UInt32(tunnels.pools.count)
            tunnels.pools.append(TunnelPool(identity: identity, endpoint: endpoint))
        }
        tunnels.poolPlaces[key] = place
        return place
    }

    private mutating func connect(_ pool: UInt32) -> TunnelOpening {
        guard tunnels.sessions.hasRoom else { return .shortage }
        let endpoint = tunnels.pools[Int(pool)].endpoint
        let identity = tunnels.pools[Int(pool)].identity
        var inProgress = false
        let descriptor = Sockets.connect(to: weft_endpoint(endpoint), WEFT_PATH_NEAR, inProgress: &inProgress)
        guard descriptor >= 0 else {
            if Sockets.isShortage(descriptor) { return .shortage }
            backOff(pool)
            return .failed
        }
        guard let tls = connection(identity, .client, descriptor) else {
            close(descriptor)
            return .failed
        }
        var session = TunnelSession(
            descriptor: descriptor, isServer: false, tls: tls, http: HTTP2Session(isServer: false, tunnels.port),
            identity: identity, peer: endpoint, local: endpoint, tick: tick)
        session.pool = pool
        session.nextOfPool = tunnels.pools[Int(pool)].firstSession
        guard let index = insert(session) else { return .shortage }
        tunnels.pools[Int(pool)].firstSession = index
        return .opened(index)
    }

    /// A TLS connection that shows the identity's certificate; nil, and counted, if there is none.
    mutating func connection(_ identity: String, _ role: TLSRole, _ descriptor: CInt) -> TLSConnection? {
        do throws(TLSFailure) {
            return try tunnels.contexts?.connection(identity: identity, role: role, descriptor: descriptor)
        } catch {
            statistics.count(error)
            return nil
        }
    }

    /// Lets the endpoint of a pool rest after a failure.
    mutating func backOff(_ pool: UInt32) {
        let failures = min(tunnels.pools[Int(pool)].failures, 16)
        let delay = min(options.tunnelTiming.shortestBackoff << UInt64(failures), options.tunnelTiming.longestBackoff)
        tunnels.pools[Int(pool)].failures = failures + 1
        tunnels.pools[Int(pool)].retryAt = tick + delay
    }
}

extension TunnelSession {
    /// Of a client's: there is room for another stream.
    var takesStreams: Bool {
        !isRetired && !isEnding && (phase != .open || http.takesRequests) && streams < http.streamLimit
    }
}

extension weft_endpoint {
    init(_ address: ClientAddress) {
        self.init(high: address.high.bigEndian, low: address.low.bigEndian, port: address.port)
    }
}
