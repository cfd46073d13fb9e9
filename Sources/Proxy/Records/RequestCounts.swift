extension WorkerStatistics {
    /// What requests are told apart by.
    public struct Key: Hashable, Sendable {
        public var source: UInt64
        public var service: UInt64
        public var destination: UInt64
        /// Status, flags, direction, which ends are tunnels, how it was read and its template, in one word.
        var outcome: UInt64
        /// `HTTPRule.identifier`; 0: none.
        public var rule: UInt64
        /// The client's identity: a number in the worker's `PeerNames`; 0: none was proved.
        public var peer: UInt32

        init(_ words: CounterKey) {
            source = words[0]
            service = words[1]
            destination = words[2]
            outcome = words[3]
            rule = words[4]
            peer = UInt32(truncatingIfNeeded: words[5])
        }

        /// Of a request that has ended.
        public init(_ record: RequestRecord) {
            source = record.source
            service = record.service
            destination = record.destination
            outcome =
                UInt64(record.flags.rawValue) | UInt64(record.status) << 32 | (record.isInbound ? 1 << 48 : 0)
                | (record.isFromTunnel ? 1 << 49 : 0) | (record.isToTunnel ? 1 << 50 : 0)
                | (record.isPassedOn ? 1 << 51 : 0) | UInt64(record.template) << 56
            rule = record.rule
            peer = record.peer
        }

        /// Of what found no room.
        public static let overflow = Key(CounterKey(repeating: .max))

        public var status: UInt16 { UInt16(truncatingIfNeeded: outcome >> 32) }
        public var flags: ResponseFlags { ResponseFlags(rawValue: UInt32(truncatingIfNeeded: outcome)) }
        public var isInbound: Bool { outcome >> 48 & 1 == 1 }
        public var isFromTunnel: Bool { outcome >> 49 & 1 == 1 }
        public var isToTunnel: Bool { outcome >> 50 & 1 == 1 }
        public var isPassedOn: Bool { outcome >> 51 & 1 == 1 }
        /// The route template of the service, from 1 on; 0: none.
        public var template: UInt8 { UInt8(truncatingIfNeeded: outcome >> 56) }
        /// They could not be followed: nothing but their number is known.
        public var isUnparsed: Bool { outcome >> 52 & 1 == 1 }

        /// The same of requests that could not be followed.
        var unparsed: Key {
            var key = self
            key.outcome |= 1 << 52
            return key
        }

        var words: CounterKey { [source, service, destination, outcome, rule, UInt64(peer)] }
    }

    /// One entry as it was read.
    public struct Reading: Sendable {
        public var key: Key
        /// Another one in the same place: the entry stands for something else now, and counts from 0.
        public var generation: UInt64
        public var requests: RequestCounts
    }
}

/// What is counted of requests.
public struct RequestCounts: Sendable, Equatable {
    public var count: UInt64 = 0
    /// From the request's first byte to the answer's last.
    public var duration = LatencyHistogram()
    /// From the request's last byte, or the proxy's sight of its head, to the answer's first; not of requests without an
    /// answer.
    public var firstByte = LatencyHistogram()
    /// Of bodies.
    public var requestBytes = SizeHistogram()
    public var responseBytes = SizeHistogram()

    public init() {}

    public mutating func add(_ other: Self) {
        count &+= other.count
        duration.add(other.duration)
        firstByte.add(other.firstByte)
        requestBytes.add(other.requestBytes)
        responseBytes.add(other.responseBytes)
    }

    /// What was counted since `earlier`, which is an earlier reading of the same counters.
    public func since(_ earlier: Self) -> Self {
        var change = Self()
        change.count = count &- earlier.count
        change.duration = duration.since(earlier.duration)
        change.firstByte = firstByte.since(earlier.firstByte)
        change.requestBytes = requestBytes.since(earlier.requestBytes)
        change.responseBytes = responseBytes.since(earlier.responseBytes)
        return change
    }
}
