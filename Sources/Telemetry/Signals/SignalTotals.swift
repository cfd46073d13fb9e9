import Proxy

/// What happened in a window, of everything that some name stands for.
public struct SignalTotals: Sendable {
    public var succeeded: UInt64 = 0
    public var failed: UInt64 = 0
    /// Requests whose client went away first.
    public var clientEnded: UInt64 = 0
    /// From requests' first bytes to their answers' last.
    var latency = LatencyHistogram()
    /// Of bodies.
    public var requestBytes: UInt64 = 0
    public var responseBytes: UInt64 = 0

    public var opened: UInt64 = 0
    public var connectionsFailed: UInt64 = 0
    public var denied: UInt64 = 0
    public var noBackend: UInt64 = 0
    public var retransmits: UInt64 = 0
    public var rttCount: UInt64 = 0
    /// Milliseconds in which connections waited for their peers' receive windows.
    public var windowLimited: UInt64 = 0
    /// Microseconds.
    public var rttSum: UInt64 = 0
    /// By the client.
    public var sentBytes: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    /// Connections that are open now.
    public var open: Int64 = 0

    public init() {}

    public var requests: UInt64 { succeeded &+ failed &+ clientEnded }

    /// The part of the requests that were answered well, of those that count for or against the service; nil without any.
    public var success: Double? {
        let judged = succeeded &+ failed
        return judged == 0 ? nil : Double(succeeded) / Double(judged)
    }

    /// Milliseconds; nil without a request.
    public func latency(_ fraction: Double) -> Double? { latency.percentile(fraction).map { $0 / 1000 } }

    /// Milliseconds; nil where nothing was measured.
    public var rtt: Double? { rttCount == 0 ? nil : Double(rttSum) / Double(rttCount) / 1000 }

    /// The part of the connections that were made, of those that the mesh let pass; nil without any.
    var connectionSuccess: Double? {
        let tried = opened &+ connectionsFailed &+ noBackend
        return tried == 0 ? nil : Double(opened) / Double(tried)
    }

    /// How it fares: by its requests, or by its connections where no request was read.
    public var health: Health {
        guard let success = success ?? connectionSuccess else {
            return requests > 0 || sentBytes > 0 || receivedBytes > 0 || denied > 0 ? .good : .idle
        }
        return success < 0.95 ? .bad : success < 0.99 ? .warning : .good
    }

    public enum Health: String, Sendable {
        case good, warning, bad, idle
    }

    /// Requests by lane, and connections that were opened; by number of the kernel's enumeration.
    var requestLanes = InlineArray<6, UInt64>(repeating: 0)
    var connectionLanes = InlineArray<6, UInt64>(repeating: 0)
    /// Requests and connections that went through an mTLS tunnel, and that did not.
    var tunnelled: UInt64 = 0
    var plain: UInt64 = 0

    mutating func add(
        _ change: SignalChanges.Requests, _ buckets: ArraySlice<SignalChanges.Bucket>, _ key: SignalKey
    ) {
        add(change, buckets)
        if Int(key.lane) < requestLanes.count { requestLanes[Int(key.lane)] &+= change.count }
        if key.isTunnelled { tunnelled &+= change.count } else { plain &+= change.count }
    }

    mutating func add(_ change: SignalChanges.Connections, _ key: SignalKey) {
        add(change, isMirrored: key.isServersOwn)
        if Int(key.lane) < connectionLanes.count { connectionLanes[Int(key.lane)] &+= UInt64(change.opened) }
        let count = UInt64(change.opened)
        if key.isTunnelled { tunnelled &+= count } else { plain &+= count }
    }

    /// The part that each lane has: of the requests, or of the connections where no request was read.
    public var lanes: [(lane: String, share: Double)] {
        let counts = requests > 0 ? requestLanes : connectionLanes
        var sum: UInt64 = 0
        for lane in counts.indices { sum &+= counts[lane] }
        var shares: [(lane: String, share: Double)] = []
        for lane in counts.indices where counts[lane] > 0 {
            shares.append((Terms.lane(UInt8(lane)), Double(counts[lane]) / Double(sum)))
        }
        return shares
    }

    mutating func add(_ change: SignalChanges.Requests, _ buckets: ArraySlice<SignalChanges.Bucket>) {
        succeeded &+= UInt64(change.succeeded)
        failed &+= UInt64(change.failed)
        clientEnded &+= UInt64(change.clientEnded)
        requestBytes &+= change.requestBytes
        responseBytes &+= change.responseBytes
        for bucket in buckets { latency.buckets[Int(bucket.number)] &+= UInt64(bucket.count) }
    }

    /// - Parameter isMirrored: the server's end has counted: what it has received was sent by the client.
    mutating func add(_ change: SignalChanges.Connections, isMirrored: Bool) {
        opened &+= UInt64(change.opened)
        connectionsFailed &+= UInt64(change.failed)
        denied &+= UInt64(change.denied)
        noBackend &+= UInt64(change.noBackend)
        retransmits &+= UInt64(change.retransmits)
        rttCount &+= UInt64(change.rttCount)
        windowLimited &+= UInt64(change.windowLimited)
        rttSum &+= change.rttSum
        sentBytes &+= isMirrored ? change.receivedBytes : change.sentBytes
        receivedBytes &+= isMirrored ? change.sentBytes : change.receivedBytes
    }

    public mutating func add(_ other: Self) {
        succeeded &+= other.succeeded
        failed &+= other.failed
        clientEnded &+= other.clientEnded
        latency.add(other.latency)
        requestBytes &+= other.requestBytes
        responseBytes &+= other.responseBytes
        opened &+= other.opened
        connectionsFailed &+= other.connectionsFailed
        denied &+= other.denied
        noBackend &+= other.noBackend
        retransmits &+= other.retransmits
        rttCount &+= other.rttCount
        windowLimited &+= other.windowLimited
        rttSum &+= other.rttSum
        sentBytes &+= other.sentBytes
        receivedBytes &+= other.receivedBytes
        open += other.open
        for lane in requestLanes.indices {
            requestLanes[lane] &+= other.requestLanes[lane]
            connectionLanes[lane] &+= other.connectionLanes[lane]
        }
        tunnelled &+= other.tunnelled
        plain &+= other.plain
    }
}
