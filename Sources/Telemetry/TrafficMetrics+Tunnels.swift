import Proxy

// Connections that came to this node through tunnels: their server's end is the agent, which the kernel does not count.
extension TrafficMetrics {
    /// One entry of a worker.
    struct TunnelEntry {
        var generation: UInt64
        var counts = ConnectionCounts()
        var series: Int?
        /// Under Linkerd's names.
        var inbound: Int?
        var isNew = true
        var isRetired = false
    }

    mutating func updateTunnels(
        _ workers: [WorkerStatistics], _ peers: [PeerNames], _ directory: some NameDirectory, _ now: UInt64
    ) {
        while tunnels.count < workers.count { tunnels.append([:]) }
        for (number, worker) in workers.enumerated() {
            for position in 0..<worker.connectionEntryCount {
                guard let reading = worker.connections(at: position) else {
                    if let gone = tunnels[number].removeValue(forKey: position) { release(gone) }
                    continue
                }
                take(reading, at: position, of: number, peers, directory, now)
            }
        }
    }

    private mutating func take(
        _ reading: WorkerStatistics.ConnectionReading, at position: Int, of number: Int, _ peers: [PeerNames],
        _ directory: some NameDirectory, _ now: UInt64
    ) {
        var entry = tunnels[number].removeValue(forKey: position) ?? TunnelEntry(generation: reading.generation)
        defer { tunnels[number][position] = entry }
        if entry.generation != reading.generation {
            release(entry)
            entry = TunnelEntry(generation: reading.generation)
        }
        guard reading.counts != entry.counts else { return }
        let change = Connections(reading.counts.since(entry.counts))
        entry.counts = reading.counts
        entry.isRetired = false
        let linkerds = LinkerdConnections(change, isInbound: true)
        guard let key = reading.key else {
            linkerd?.addToOverflow(linkerds)
            return istio.addToOverflow(change)
        }
        let principal = peers.indices.contains(number) ? peers[number].name(key.peer) : nil
        istio.add(change, handle: &entry.series, isNew: entry.isNew, now) {
            names.tunnelLabels(key, principal: principal, directory, cluster: cluster)
        }
        linkerd?.add(linkerds, handle: &entry.inbound, isNew: entry.isNew, now) {
            names.linkerdLabels(
                source: key.source, destination: key.destination, service: key.service, isInbound: true, isTLS: true,
                principal: principal, directory
            ).rendered(peer: true)
        }
        entry.isNew = false
    }

    private mutating func release(_ entry: TunnelEntry) {
        if let series = entry.series { istio.release(series) }
        if let series = entry.inbound { linkerd?.release(series) }
    }

    /// Names have changed: every entry finds its series anew when it counts next.
    mutating func forgetTunnelLabels() {
        for number in tunnels.indices {
            for (position, entry) in tunnels[number] {
                release(entry)
                tunnels[number][position]?.series = nil
                tunnels[number][position]?.inbound = nil
                tunnels[number][position]?.isNew = true
            }
        }
    }

    /// Gives the workers back the room of entries that no series shows any more.
    mutating func retireTunnels(_ workers: [WorkerStatistics]) {
        for (number, worker) in workers.enumerated() {
            for (position, entry) in tunnels[number] where !entry.isRetired {
                // An entry without a series counts in the overflow and may be in use.
                guard let series = entry.series, !istio.isShown(series), entry.counts.opened == entry.counts.closed,
                    let reading = worker.connections(at: position), reading.generation == entry.generation,
                    reading.counts == entry.counts
                else { continue }
                worker.retire(reading, at: position)
                tunnels[number][position]?.isRetired = true
            }
        }
    }
}

extension TrafficMetrics.Connections {
    fileprivate init(_ counts: ConnectionCounts) {
        self.init()
        requestBytes = counts.received
        responseBytes = counts.sent
        opened = counts.opened
        closed = counts.closed
    }
}
