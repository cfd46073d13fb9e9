public import Proxy
public import WeftABI

/// The metrics of connections: from the kernel's counters by identifier to series by name.
///
/// The kernel counts for as long as its maps are pinned, across agents. Here the difference between two readings is
/// added to the series that the entry's names give. Several entries may give the same series (their names are equal, or
/// unknown); they are summed. After a start, an entry's first reading counts as a whole, so counters go on where the
/// agent before left them.
///
/// Connections are counted in `weft_*` families by the client's end only, so that each counts once in a mesh.
public struct TrafficMetrics {
    /// The parts of Istio's TCP metrics.
    struct Connections: SeriesValue {
        var requestBytes: UInt64 = 0
        var responseBytes: UInt64 = 0
        var opened: UInt64 = 0
        var closed: UInt64 = 0

        init() {}

        /// Istio counts by direction, not by end: `received` is what the client sent (the request), `sent` what the
        /// server sent (the response), whichever end reports.
        init(_ traffic: Traffic, isFromSource: Bool) {
            requestBytes = isFromSource ? traffic.sentBytes : traffic.receivedBytes
            responseBytes = isFromSource ? traffic.receivedBytes : traffic.sentBytes
            opened = traffic.opened
            closed = traffic.closed
        }

        var isZero: Bool { requestBytes | responseBytes | opened | closed == 0 }

        mutating func add(_ other: Connections) {
            requestBytes &+= other.requestBytes
            responseBytes &+= other.responseBytes
            opened &+= other.opened
            closed &+= other.closed
        }
    }

    /// One entry of the kernel's map.
    private struct Entry {
        let key: TrafficKey
        var reading = weft_traffic()
        var update: UInt64 = 0
        var istio: Int?
        var mesh: Int?
        var passthrough: Int?
    }

    var istio: SeriesTable<Connections>
    var mesh: SeriesTable<Traffic>
    var passthrough: SeriesTable<Traffic>
    let cluster: String
    private var entries: [Entry] = []
    private var index: [TrafficKey: Int] = [:]
    var names = KnownNames()
    /// Entries of connections through tunnels, by worker and place.
    var tunnels: [[Int: TunnelEntry]] = []
    private var updates: UInt64 = 0

    /// - Parameters:
    ///   - limit: series in each group of families; what does not fit counts in an overflow series.
    ///   - expiry: how long a series is shown without a change.
    ///   - cluster: the value of Istio's cluster labels; the default is Istio's.
    public init(limit: Int = 5000, expiry: Duration = .seconds(600), cluster: String = "Kubernetes") {
        let nanoseconds = UInt64(max(expiry.components.seconds, 0)) * 1_000_000_000
        istio = SeriesTable(limit: limit, expiry: nanoseconds)
        mesh = SeriesTable(limit: limit, expiry: nanoseconds)
        passthrough = SeriesTable(limit: limit, expiry: nanoseconds)
        self.cluster = cluster
    }

    /// Takes a reading of the whole map, summed over the CPUs, and what the proxy's workers have counted of connections
    /// that came through tunnels.
    ///
    /// - Parameters:
    ///   - workers: always the same ones in the same order.
    ///   - peers: theirs, in the same order.
    ///   - now: CLOCK_MONOTONIC in nanoseconds.
    public mutating func update(
        _ readings: [(weft_traffic_key, weft_traffic)], workers: [WorkerStatistics] = [], peers: [PeerNames] = [],
        directory: some NameDirectory, now: UInt64
    ) {
        updates += 1
        if names.refresh(directory) { forgetLabels() }
        for (rawKey, reading) in readings {
            let key = TrafficKey(rawKey)
            let position: Int
            let isNew: Bool
            if let known = index[key] {
                position = known
                isNew = false
            } else {
                position = entries.count
                entries.append(Entry(key: key))
                index[key] = position
                isNew = true
            }
            entries[position].update = updates
            guard !isEqual(reading, entries[position].reading) else { continue }
            let change = Traffic(reading).since(Traffic(entries[position].reading))
            entries[position].reading = reading
            count(change, for: position, isNew: isNew, directory, now)
        }
        dropEntriesThatAreGone()
        updateTunnels(workers, peers, directory, now)
        istio.expire(now: now)
        mesh.expire(now: now)
        passthrough.expire(now: now)
        retireTunnels(workers)
    }

    /// Entries of the kernel's map that no series shows any more. Deleting them keeps the map small: should one come back,
    /// its series begins again at 0. Only what is counted between the last reading and the deletion is lost.
    public func retirable() -> [weft_traffic_key] {
        entries.compactMap { entry in
            guard !entry.key.isOverflow else { return nil }
            let isShown =
                entry.istio.map(istio.isShown) == true || entry.mesh.map(mesh.isShown) == true
                || entry.passthrough.map(passthrough.isShown) == true
            // An entry without a series counts in the overflow and may be in use.
            guard !isShown, entry.istio != nil || entry.mesh != nil || entry.passthrough != nil else { return nil }
            return entry.key.raw
        }
    }

    private mutating func count(
        _ change: Traffic, for position: Int, isNew: Bool, _ directory: some NameDirectory, _ now: UInt64
    ) {
        let key = entries[position].key
        if key.isOverflow {
            istio.addToOverflow(Connections(change, isFromSource: true))
            mesh.addToOverflow(change)
            return
        }
        if key.isPassthrough {
            passthrough.add(change, handle: &entries[position].passthrough, isNew: isNew, now) {
                names.passthroughLabels(key, directory)
            }
            return
        }
        let connections = Connections(change, isFromSource: key.isFromSource)
        // Refusals are no part of Istio's TCP metrics; they must not take the room of a series.
        if !connections.isZero {
            istio.add(connections, handle: &entries[position].istio, isNew: isNew, now) {
                names.istioLabels(key, directory, cluster: cluster)
            }
        }
        if key.isFromSource {
            mesh.add(change, handle: &entries[position].mesh, isNew: isNew, now) {
                names.meshLabels(key, directory)
            }
        }
    }

    /// Names have changed: every entry finds its series anew when it counts next.
    private mutating func forgetLabels() {
        for position in entries.indices { release(position) }
        forgetTunnelLabels()
    }

    private mutating func release(_ position: Int) {
        if let handle = entries[position].istio { istio.release(handle) }
        if let handle = entries[position].mesh { mesh.release(handle) }
        if let handle = entries[position].passthrough { passthrough.release(handle) }
        entries[position].istio = nil
        entries[position].mesh = nil
        entries[position].passthrough = nil
    }

    private mutating func dropEntriesThatAreGone() {
        var position = 0
        while position < entries.count {
            guard entries[position].update != updates else {
                position += 1
                continue
            }
            release(position)
            index[entries[position].key] = nil
            let last = entries.count - 1
            if position != last {
                entries[position] = entries[last]
                index[entries[position].key] = position
            }
            entries.removeLast()
        }
    }
}

extension TrafficKey {
    fileprivate var raw: weft_traffic_key {
        var key = weft_traffic_key()
        key.source = source
        key.service = service
        key.destination = destination
        key.lane = lane
        key.reporter = reporter
        key.protocol = transport
        key.address_class = addressClass
        return key
    }
}
