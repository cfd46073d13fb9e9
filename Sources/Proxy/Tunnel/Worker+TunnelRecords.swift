import Glibc

// What is counted and recorded of peers' streams: their server's end is here. What the kernel knows of the sockets at
// the client's end it counts itself.
extension Worker {
    /// The connection to the application stands.
    mutating func recordOpened(_ index: UInt32) {
        let stream = tunnels.streams[index]
        guard stream.isServer, stream.session != .max else { return }
        tunnels.streams[index].event = .closed
        tunnels.streams[index].counters = statistics.connectionOpened(
            WorkerStatistics.ConnectionKey(
                source: stream.source, service: stream.service, destination: stream.destination, peer: stream.peer))
    }

    /// Counts what has gone through a stream since the last time.
    mutating func recordBytes(_ index: UInt32) {
        let stream = tunnels.streams[index]
        guard stream.counters >= 0 else { return }
        let sent = tunnels.port[source: index].byteCount
        statistics.connectionMoved(
            stream.counters, sent: sent &- stream.countedSent, received: stream.delivered &- stream.countedDelivered)
        tunnels.streams[index].countedSent = sent
        tunnels.streams[index].countedDelivered = stream.delivered
    }

    /// Counts what has gone through all streams of a session: those that stay open are counted while they are.
    mutating func recordBytes(ofSession session: UInt32) {
        var stream = tunnels.sessions[session].firstStream
        while stream != .max {
            recordBytes(stream)
            stream = tunnels.streams[stream].next
        }
    }

    /// The socket of a stream is closed.
    mutating func recordEnded(_ index: UInt32) {
        guard tunnels.streams[index].isServer else { return }
        recordBytes(index)
        endRequests(index)
        let stream = tunnels.streams[index]
        if stream.counters >= 0 { statistics.connectionClosed(stream.counters) }
        tunnels.streams[index].counters = -1
        var flow = TunnelFlow(client: stream.client, target: stream.target, started: stream.started, ended: now)
        flow.event = stream.event
        flow.source = stream.source
        flow.destination = stream.destination
        flow.sent = tunnels.port[source: index].byteCount
        flow.received = stream.delivered
        flow.requests = stream.summary
        if stream.event == .failed { flow.error = stream.error == 0 ? ECANCELED : stream.error }
        record(flow, peer: stream.peer, rule: stream.rule)
    }

    /// A stream ends because its peer may not connect any more.
    mutating func recordRevoked(_ index: UInt32, _ rule: Int32) {
        tunnels.streams[index].event = .denied
        tunnels.streams[index].rule = rule
    }

    /// A peer's stream never came to be.
    ///
    /// - Parameter error: errno; 0: a policy has refused it.
    func recordRefused(_ stream: TunnelStream, error: CInt) {
        var flow = TunnelFlow(client: stream.client, target: stream.target, started: stream.started, ended: now)
        flow.event = error == 0 ? .denied : .failed
        flow.error = error
        flow.source = stream.source
        flow.destination = stream.destination
        record(flow, peer: stream.peer, rule: stream.rule)
    }

    private func record(_ flow: TunnelFlow, peer: UInt32, rule: Int32) {
        // AuthorizationPolicies name a rule whenever they deny.
        if flow.event == .denied, rule < 0, let title = tunnels.table?.ingress.titles[flow.destination] {
            flows.push(flow, peer: peers.principal(peer), rule: unsafe title.span.bytes)
            return
        }
        guard generations.current >= 0 else {
            flows.push(flow, peer: peers.principal(peer), rule: RawSpan())
            return
        }
        flows.push(
            flow, peer: peers.principal(peer), rule: generations[generations.current].authorization.title(rule))
    }
}
