extension WorkerStatistics {
    /// What requests are told apart by.
    public struct Key: Hashable, Sendable {
        public var source: UInt64
        public var service: UInt64
        public var destination: UInt64
        /// Status, flags and direction in one word.
        var outcome: UInt64
        /// `HTTPRule.identifier`; 0: none.
        public var rule: UInt64

        init(source: UInt64, service: UInt64, destination: UInt64, outcome: UInt64, rule: UInt64) {
            self.source = source
            self.service = service
            self.destination = destination
            self.outcome = outcome
            self.rule = rule
        }

        init(_ record: RequestRecord) {
            source = record.source
            service = record.service
            destination = record.destination
            outcome =
                UInt64(record.flags.rawValue) | UInt64(record.status) << 32 | (record.isInbound ? 1 << 48 : 0)
            rule = record.rule
        }

        /// Of what found no room.
        public static let overflow = Key(source: .max, service: .max, destination: .max, outcome: .max, rule: .max)

        public var status: UInt16 { UInt16(truncatingIfNeeded: outcome >> 32) }
        public var flags: ResponseFlags { ResponseFlags(rawValue: UInt32(truncatingIfNeeded: outcome)) }
        public var isInbound: Bool { outcome >> 48 & 1 == 1 }

        /// Identifiers are hashes already; what is left is to keep their sums apart.
        var hash: UInt64 {
            var hash = source ^ service &* 0x9e37_79b9_7f4a_7c15
            hash = (hash ^ hash >> 32 ^ destination) &* 0xd6e8_feb8_6659_fd93
            hash = (hash ^ hash >> 32 ^ outcome) &* 0xd6e8_feb8_6659_fd93
            hash = (hash ^ hash >> 32 ^ rule) &* 0xd6e8_feb8_6659_fd93
            return hash ^ hash >> 32
        }
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
    /// Microseconds.
    public var duration = RequestHistogram()
    /// Of bodies.
    public var requestBytes = RequestHistogram()
    public var responseBytes = RequestHistogram()

    public init() {}

    public mutating func add(_ other: Self) {
        count &+= other.count
        duration.add(other.duration)
        requestBytes.add(other.requestBytes)
        responseBytes.add(other.responseBytes)
    }
}
