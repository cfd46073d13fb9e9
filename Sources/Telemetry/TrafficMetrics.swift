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
    struct Entry {
        let key: TrafficKey
        var reading = weft_traffic()
        var update: UInt64 = 0
        var lastChange: UInt64 = 0
        var handles = Handles()
    }

    /// The series that an entry counts for.
    struct Handles {
        /// Istio's, of the client's end and of the server's.
        var source: Int?
        var destination: Int?
        var mesh: Int?
        var passthrough: Int?
        /// Linkerd's, by direction.
        var outbound: Int?
        var inbound: Int?
        /// Nothing has been counted under these names.
        var isNew = true
    }

    var istio: SeriesTable<Connections>
    var mesh: SeriesTable<Traffic>
    var passthrough: SeriesTable<Traffic>
    /// Under Linkerd's names; nil if nobody wants them.
    var linkerd: SeriesTable<LinkerdConnections>?
    let cluster: String
    var entries: [Entry] = []
    var index: [TrafficKey: Int] = [:]
    var names = KnownNames()
    /// Entries of connections through tunnels, by worker and place.
    var tunnels: [[Int: TunnelEntry]] = []
    private var updates: UInt64 = 0

    /// - Parameters:
    ///   - limit: series in each group of families; what does not fit counts in an overflow series.
    ///   - expiry: how long a series is shown without a change.
    ///   - cluster: the value of Istio's cluster labels; the default is Istio's.
    ///   - compatibility: other meshes' names to show besides.
    public init(
        limit: Int = 5000, expiry: Duration = .seconds(600), cluster: String = "Kubernetes",
        compatibility: Set<MetricsCompatibility> = []
    ) {
        let nanoseconds = UInt64(max(expiry.components.seconds, 0)) * 1_000_000_000
        istio = SeriesTable(limit: limit, expiry: nanoseconds)
        mesh = SeriesTable(limit: limit, expiry: nanoseconds)
        passthrough = SeriesTable(limit: limit, expiry: nanoseconds)
        self.cluster = cluster
        if compatibility.contains(.linkerd) { linkerd = SeriesTable(limit: limit, expiry: nanoseconds) }
    }

    /// Takes a reading of the whole map, summed over the CPUs (an entry of a connection within the node stands for both of
    /// its ends, as the client's has counted it), and what the proxy's workers have counted of connections
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
            let position = index[key] ?? entries.count
            if position == entries.count {
                entries.append(Entry(key: key))
                index[key] = position
            }
            entries[position].update = updates
            take(reading, at: position, directory, now)
        }
        dropEntriesThatAreGone()
        updateTunnels(workers, peers, directory, now)
        istio.expire(now: now)
        mesh.expire(now: now)
        passthrough.expire(now: now)
        linkerd?.expire(now: now)
        retireTunnels(workers)
    }

    mutating func take(
        _ reading: weft_traffic, at position: Int, _ directory: some NameDirectory, _ now: UInt64
    ) {
        guard !isEqual(reading, entries[position].reading) else { return }
        let change = Traffic(reading).since(Traffic(entries[position].reading))
        entries[position].reading = reading
        entries[position].lastChange = now
        count(change, for: position, directory, now)
    }

    private mutating func count(
        _ change: Traffic, for position: Int, _ directory: some NameDirectory, _ now: UInt64
    ) {
        let key = entries[position].key
        if key.isOverflow {
            istio.addToOverflow(Connections(change, isFromSource: true))
            mesh.addToOverflow(change)
            linkerd?.addToOverflow(
                LinkerdConnections(Connections(change, isFromSource: true), isInbound: false))
            return
        }
        var handles = entries[position].handles
        defer { entries[position].handles = handles }
        let isNew = handles.isNew
        handles.isNew = false
        if key.isPassthrough {
            passthrough.add(change, handle: &handles.passthrough, isNew: isNew, now) {
                names.passthroughLabels(key, directory)
            }
            return
        }
        // Of a connection within the node both ends count the same.
        let connections = Connections(change, isFromSource: key.isFromSource)
        // Refusals are no part of Istio's TCP metrics; they must not take the room of a series.
        if !connections.isZero, key.isFromSource {
            istio.add(connections, handle: &handles.source, isNew: isNew, now) {
                names.istioLabels(key, isFromSource: true, directory, cluster: cluster)
            }
            linkerd?.add(
                LinkerdConnections(connections, isInbound: false), handle: &handles.outbound, isNew: isNew, now
            ) { names.linkerdLabels(key, isInbound: false, directory) }
        }
        if !connections.isZero, key.isFromDestination {
            istio.add(connections, handle: &handles.destination, isNew: isNew, now) {
                names.istioLabels(key, isFromSource: false, directory, cluster: cluster)
            }
            linkerd?.add(
                LinkerdConnections(connections, isInbound: true), handle: &handles.inbound, isNew: isNew, now
            ) { names.linkerdLabels(key, isInbound: true, directory) }
        }
        if key.isFromSource {
            mesh.add(change, handle: &handles.mesh, isNew: isNew, now) { names.meshLabels(key, directory) }
        }
    }

    /// Names have changed: every entry finds its series anew when it counts next.
    private mutating func forgetLabels() {
        for position in entries.indices { release(position) }
        forgetTunnelLabels()
    }

    private mutating func release(_ position: Int) {
        let handles = entries[position].handles
        entries[position].handles = Handles()
        if let handle = handles.source { istio.release(handle) }
        if let handle = handles.destination { istio.release(handle) }
        if let handle = handles.mesh { mesh.release(handle) }
        if let handle = handles.passthrough { passthrough.release(handle) }
        if let handle = handles.outbound { linkerd?.release(handle) }
        if let handle = handles.inbound { linkerd?.release(handle) }
    }

    private mutating func dropEntriesThatAreGone() {
        var position = 0
        while position < entries.count {
            if entries[position].update == updates { position += 1 } else { drop(position) }
        }
    }

    /// Another entry takes its place.
    mutating func drop(_ position: Int) {
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
