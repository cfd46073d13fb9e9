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
    var rtt = Histogram()
    var connect = Histogram()

    private static var counters: [WritableKeyPath<Traffic, UInt64>] {
        [
            \.opened, \.closed, \.failed, \.denied, \.noBackend, \.sentBytes, \.receivedBytes, \.sentSegments,
            \.receivedSegments, \.retransmits,
        ]
    }

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
        rtt = Histogram(traffic.rtt_us)
        connect = Histogram(traffic.connect_us)
    }

    mutating func add(_ other: Traffic) {
        for counter in Self.counters { self[keyPath: counter] &+= other[keyPath: counter] }
        rtt.add(other.rtt)
        connect.add(other.connect)
    }

    /// What was counted since `earlier`. An entry in which something is smaller now was deleted and made again: all of
    /// it is new.
    func since(_ earlier: Traffic) -> Traffic {
        var difference = Traffic()
        for counter in Self.counters {
            guard self[keyPath: counter] >= earlier[keyPath: counter] else { return self }
            difference[keyPath: counter] = self[keyPath: counter] - earlier[keyPath: counter]
        }
        guard let rtt = rtt.since(earlier.rtt), let connect = connect.since(earlier.connect) else { return self }
        difference.rtt = rtt
        difference.connect = connect
        return difference
    }
}

/// Whether two readings of an entry are the same.
func isEqual(_ a: weft_traffic, _ b: weft_traffic) -> Bool {
    unsafe withUnsafeBytes(of: a) { a in
        unsafe withUnsafeBytes(of: b) { b in
            for offset in stride(from: 0, to: a.count, by: 8) {
                let left = unsafe a.load(fromByteOffset: offset, as: UInt64.self)
                guard unsafe left == b.load(fromByteOffset: offset, as: UInt64.self) else { return false }
            }
            return true
        }
    }
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

    var isFromSource: Bool { UInt32(reporter) == WEFT_REPORTER_SOURCE.rawValue }
}
