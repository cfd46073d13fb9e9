import WeftABI

/// The counters of one entry of the kernel's `traffic` map.
struct Traffic: SeriesValue {
    var opened: UInt64 = 0
    var closed: UInt64 = 0
    var failed: UInt64 = 0
    var denied: UInt64 = 0
    var noBackend: UInt64 = 0
    var sentBytes: UInt64 = 0
    var receivedBytes: UInt64 = 0
    var sentSegments: UInt64 = 0
    var receivedSegments: UInt64 = 0
    var retransmits: UInt64 = 0
    /// Microseconds.
    var windowLimited: UInt64 = 0
    var rtt = Histogram()
    var connect = Histogram()

    init() {}

    init(_ traffic: weft_traffic) {
        opened = traffic.opened
        closed = traffic.closed
        failed = traffic.failed
        denied = traffic.denied
        noBackend = traffic.no_backend
        sentBytes = traffic.sent_bytes
        receivedBytes = traffic.received_bytes
        sentSegments = traffic.sent_segments
        receivedSegments = traffic.received_segments
        retransmits = traffic.retransmits
        windowLimited = traffic.window_limited_us
        rtt = Histogram(traffic.rtt_us)
        connect = Histogram(traffic.connect_us)
    }

    mutating func add(_ other: Traffic) {
        opened &+= other.opened
        closed &+= other.closed
        failed &+= other.failed
        denied &+= other.denied
        noBackend &+= other.noBackend
        sentBytes &+= other.sentBytes
        receivedBytes &+= other.receivedBytes
        sentSegments &+= other.sentSegments
        receivedSegments &+= other.receivedSegments
        retransmits &+= other.retransmits
        windowLimited &+= other.windowLimited
        rtt.add(other.rtt)
        connect.add(other.connect)
    }

    /// What was counted since `earlier`. An entry in which something is smaller now was deleted and made again: all of
    /// it is new.
    func since(_ earlier: Traffic) -> Traffic {
        guard
            opened >= earlier.opened,
            closed >= earlier.closed,
            failed >= earlier.failed,
            denied >= earlier.denied,
            noBackend >= earlier.noBackend,
            sentBytes >= earlier.sentBytes,
            receivedBytes >= earlier.receivedBytes,
            sentSegments >= earlier.sentSegments,
            receivedSegments >= earlier.receivedSegments,
            retransmits >= earlier.retransmits,
            windowLimited >= earlier.windowLimited,
            let rtt = rtt.since(earlier.rtt), let connect = connect.since(earlier.connect)
        else { return self }
        var difference = Traffic()
        difference.opened = opened - earlier.opened
        difference.closed = closed - earlier.closed
        difference.failed = failed - earlier.failed
        difference.denied = denied - earlier.denied
        difference.noBackend = noBackend - earlier.noBackend
        difference.sentBytes = sentBytes - earlier.sentBytes
        difference.receivedBytes = receivedBytes - earlier.receivedBytes
        difference.sentSegments = sentSegments - earlier.sentSegments
        difference.receivedSegments = receivedSegments - earlier.receivedSegments
        difference.retransmits = retransmits - earlier.retransmits
        difference.windowLimited = windowLimited - earlier.windowLimited
        difference.rtt = rtt
        difference.connect = connect
        return difference
    }
}

/// Whether two readings of an entry are the same: all of it are counters of 64 bits.
func isEqual<Counters: BitwiseCopyable>(_ a: Counters, _ b: Counters) -> Bool {
    unsafe withUnsafeBytes(of: a) { a in
        unsafe withUnsafeBytes(of: b) { b in
            var difference: UInt64 = 0
            for offset in stride(from: 0, to: a.count - 7, by: 8) {
                let left = unsafe a.load(fromByteOffset: offset, as: UInt64.self)
                difference |= unsafe left ^ b.load(fromByteOffset: offset, as: UInt64.self)
            }
            return difference == 0
        }
    }
}

/// What was added to counters of 64 bits; nil if one of them is smaller now.
func change<Counters: BitwiseCopyable>(of counters: Counters, since earlier: Counters) -> Counters? {
    var change = counters
    var smaller: UInt64 = 0
    unsafe withUnsafeMutableBytes(of: &change) { change in
        unsafe withUnsafeBytes(of: earlier) { earlier in
            for offset in stride(from: 0, to: change.count - 7, by: 8) {
                let now = unsafe change.load(fromByteOffset: offset, as: UInt64.self)
                let before = unsafe earlier.load(fromByteOffset: offset, as: UInt64.self)
                smaller |= now < before ? 1 : 0
                unsafe change.storeBytes(of: now &- before, toByteOffset: offset, as: UInt64.self)
            }
        }
    }
    return smaller == 0 ? change : nil
}

/// A key of the kernel's `traffic` map as a dictionary key.
struct TrafficKey: Hashable {
    var source: UInt64
    var service: UInt64
    var destination: UInt64
    var lane: UInt8
    var reporter: UInt8
    var transport: UInt8
    var addressClass: UInt8

    init(_ key: weft_traffic_key) {
        source = key.source
        service = key.service
        destination = key.destination
        lane = key.lane
        reporter = key.reporter
        transport = key.protocol
        addressClass = key.address_class
    }

    /// All ones: what the kernel counts when its map is full.
    var isOverflow: Bool { source == .max && service == .max && destination == .max && lane == .max }

    var isPassthrough: Bool { UInt32(lane) == WEFT_LANE_PASSTHROUGH.rawValue }

    var isTunnel: Bool { UInt32(lane) == WEFT_LANE_TUNNEL.rawValue }

    /// Whether the client's end, and whether the server's, is this node's to report.
    var isFromSource: Bool { UInt32(reporter) != WEFT_REPORTER_DESTINATION.rawValue }
    var isFromDestination: Bool { UInt32(reporter) != WEFT_REPORTER_SOURCE.rawValue }
}
