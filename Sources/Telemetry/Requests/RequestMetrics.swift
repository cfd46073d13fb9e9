public import Proxy
public import WeftABI

/// The metrics of requests, whichever lane has carried them: from what the kernel's programs and the proxy's workers
/// count by identifier to series by name.
///
/// The difference between two readings of an entry is added to the series that its names give, as with connections
/// (`TrafficMetrics`); entries with the same names are one series. A request between two workloads of this node is
/// reported as both ends would report it, as connections are.
public struct RequestMetrics {
    /// Requests only.
    struct Requests: SeriesValue {
        var count: UInt64 = 0
        mutating func add(_ other: Self) { count &+= other.count }
    }

    /// Requests and how long they took.
    struct Timed: SeriesValue {
        var count: UInt64 = 0
        var duration = LatencyHistogram()

        mutating func add(_ other: Self) {
            count &+= other.count
            duration.add(other.duration)
        }
    }

    /// The series that an entry counts for.
    struct Handles {
        var source: Int?
        var destination: Int?
        var route: Int?
        /// By route template.
        var templateSource: Int?
        var templateDestination: Int?
        /// Of what could not be followed.
        var unparsedSource: Int?
        var unparsedDestination: Int?
        /// Linkerd's, by direction.
        var outbound = LinkerdRequests.Handles()
        var inbound = LinkerdRequests.Handles()
        /// Nothing has been counted under these names.
        var isNew = true
    }

    private struct WorkerEntry {
        var generation: UInt64
        var counts = RequestCounts()
        var lastChange: UInt64 = 0
        var handles = Handles()
        var isRetired = false
    }

    var requests: SeriesTable<RequestCounts>
    private(set) var routes: SeriesTable<Requests>
    private(set) var templates: SeriesTable<Timed>
    var unparsed: SeriesTable<Requests>
    /// nil if nobody wants them.
    var linkerd: LinkerdRequests?
    let cluster: String
    /// By worker, then by place.
    private var workerEntries: [[Int: WorkerEntry]] = []
    var kernelEntries: [KernelEntry] = []
    var kernelIndex: [KernelRequestKey: Int] = [:]
    var names = KnownNames()
    var updates: UInt64 = 0
    var pendingExemplars = PendingExemplars()
    /// Of series that are shown, by their handles.
    var exemplars: [Int: Exemplars] = [:]

    /// - Parameters:
    ///   - limit: sets of labels; each is 67 lines of the exposition. What does not fit counts in an overflow series.
    ///   - expiry: how long a series is shown without a change.
    ///   - cluster: the value of Istio's cluster labels.
    ///   - compatibility: other meshes' names to show besides.
    public init(
        limit: Int = 2000, expiry: Duration = .seconds(600), cluster: String = "Kubernetes",
        compatibility: Set<MetricsCompatibility> = []
    ) {
        let nanoseconds = UInt64(max(expiry.components.seconds, 0)) * 1_000_000_000
        requests = SeriesTable(limit: limit, expiry: nanoseconds)
        routes = SeriesTable(limit: limit, expiry: nanoseconds)
        templates = SeriesTable(limit: limit, expiry: nanoseconds)
        unparsed = SeriesTable(limit: limit, expiry: nanoseconds)
        self.cluster = cluster
        if compatibility.contains(.linkerd) { linkerd = LinkerdRequests(limit: limit, expiry: nanoseconds) }
    }

    /// Takes a reading of the whole `requests` map, summed over the CPUs, and of the workers, always the same ones in
    /// the same order.
    ///
    /// - Parameters:
    ///   - peers: the workers', in the same order.
    ///   - now: CLOCK_MONOTONIC in nanoseconds.
    public mutating func update(
        _ readings: [(key: weft_requests_key, sum: weft_requests)] = [], workers: [WorkerStatistics] = [],
        peers: [PeerNames] = [], directory: some NameDirectory, now: UInt64
    ) {
        updates += 1
        if names.refresh(directory) { forgetLabels() }
        updateKernel(readings, directory, now)
        while workerEntries.count < workers.count { workerEntries.append([:]) }
        for (number, worker) in workers.enumerated() {
            let peers = peers.indices.contains(number) ? peers[number] : nil
            for position in 0..<worker.entryCount {
                guard let reading = worker.reading(at: position) else {
                    if let gone = workerEntries[number].removeValue(forKey: position) { release(gone.handles) }
                    continue
                }
                take(reading, peers, at: position, of: number, directory, now)
            }
        }
        requests.expire(now: now)
        routes.expire(now: now)
        templates.expire(now: now)
        unparsed.expire(now: now)
        linkerd?.expire(now: now)
        placeExemplars(peers, directory)
        retire(workers, now)
    }

    private mutating func take(
        _ reading: WorkerStatistics.Reading, _ peers: PeerNames?, at position: Int, of number: Int,
        _ directory: some NameDirectory, _ now: UInt64
    ) {
        var entry =
            workerEntries[number].removeValue(forKey: position) ?? WorkerEntry(generation: reading.generation)
        defer { workerEntries[number][position] = entry }
        if entry.generation != reading.generation {
            release(entry.handles)
            entry = WorkerEntry(generation: reading.generation)
        }
        guard reading.requests != entry.counts else { return }
        let change = reading.requests.since(entry.counts)
        entry.counts = reading.requests
        entry.lastChange = now
        entry.isRetired = false
        guard reading.key != .overflow else {
            addToOverflow(change)
            routes.addToOverflow(Requests(count: change.count))
            return
        }
        let key = RequestKey(reading.key, peers: peers)
        guard !reading.key.isUnparsed else {
            return countUnparsed(
                change, of: key, isFromSource: false, isFromDestination: true, for: &entry.handles, directory, now)
        }
        // No rule decides about what is only read.
        if !reading.key.isPassedOn {
            routes.add(
                Requests(count: change.count), handle: &entry.handles.route, isNew: entry.handles.isNew, now
            ) { names.routeLabels(reading.key, directory) }
        }
        count(
            change, of: key, isFromSource: !reading.key.isInbound,
            isFromDestination: reading.key.isInbound || names.isLocal(key.destination, directory),
            for: &entry.handles, directory, now)
    }

    /// Counts for the client's end, for the server's, or for both.
    mutating func count(
        _ change: RequestCounts, of key: RequestKey, isFromSource: Bool, isFromDestination: Bool,
        for handles: inout Handles, _ directory: some NameDirectory, _ now: UInt64
    ) {
        if isFromSource {
            requests.add(change, handle: &handles.source, isNew: handles.isNew, now) {
                names.requestLabels(key, isFromSource: true, directory, cluster: cluster)
            }
            linkerd?.count(change, of: key, for: &handles.outbound, isNew: handles.isNew, now) {
                names.linkerdLabels(key, isInbound: false, directory)
            }
        }
        if isFromDestination {
            requests.add(change, handle: &handles.destination, isNew: handles.isNew, now) {
                names.requestLabels(key, isFromSource: false, directory, cluster: cluster)
            }
            linkerd?.count(change, of: key, for: &handles.inbound, isNew: handles.isNew, now) {
                names.linkerdLabels(key, isInbound: true, directory)
            }
        }
        if key.template != 0 {
            let timed = Timed(count: change.count, duration: change.duration)
            if isFromSource {
                templates.add(timed, handle: &handles.templateSource, isNew: handles.isNew, now) {
                    names.templateLabels(key, isFromSource: true, directory)
                }
            }
            if isFromDestination {
                templates.add(timed, handle: &handles.templateDestination, isNew: handles.isNew, now) {
                    names.templateLabels(key, isFromSource: false, directory)
                }
            }
        }
        handles.isNew = false
    }

    /// Counts what could not be followed.
    mutating func countUnparsed(
        _ change: RequestCounts, of key: RequestKey, isFromSource: Bool, isFromDestination: Bool,
        for handles: inout Handles, _ directory: some NameDirectory, _ now: UInt64
    ) {
        if isFromSource {
            unparsed.add(Requests(count: change.count), handle: &handles.unparsedSource, isNew: handles.isNew, now) {
                names.unparsedLabels(key, isFromSource: true, directory)
            }
        }
        if isFromDestination {
            unparsed.add(Requests(count: change.count), handle: &handles.unparsedDestination, isNew: handles.isNew, now)
            {
                names.unparsedLabels(key, isFromSource: false, directory)
            }
        }
        handles.isNew = false
    }

    mutating func addToOverflow(_ change: RequestCounts) {
        requests.addToOverflow(change)
        linkerd?.addToOverflow(change)
    }

    mutating func release(_ handles: Handles) {
        linkerd?.release(handles.outbound)
        linkerd?.release(handles.inbound)
        if let handle = handles.source { requests.release(handle) }
        if let handle = handles.destination { requests.release(handle) }
        if let handle = handles.route { routes.release(handle) }
        if let handle = handles.templateSource { templates.release(handle) }
        if let handle = handles.templateDestination { templates.release(handle) }
        if let handle = handles.unparsedSource { unparsed.release(handle) }
        if let handle = handles.unparsedDestination { unparsed.release(handle) }
    }

    /// Names have changed: every entry finds its series anew when it counts next.
    private mutating func forgetLabels() {
        forgetKernelLabels()
        for number in workerEntries.indices {
            for (position, entry) in workerEntries[number] {
                release(entry.handles)
                workerEntries[number][position]?.handles = Handles()
            }
        }
    }

    /// Gives the workers back the room of entries that have not counted for so long that no series would be shown for
    /// them alone. What they have counted is in the series, or in the overflow.
    private mutating func retire(_ workers: [WorkerStatistics], _ now: UInt64) {
        for (number, worker) in workers.enumerated() {
            for (position, entry) in workerEntries[number] where position > 0 && !entry.isRetired {
                guard now >= entry.lastChange, now - entry.lastChange >= requests.expiry,
                    let reading = worker.reading(at: position), reading.generation == entry.generation,
                    reading.requests == entry.counts
                else { continue }
                worker.retire(reading, at: position)
                workerEntries[number][position]?.isRetired = true
            }
        }
    }
}
