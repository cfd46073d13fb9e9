/// What quotas have counted, as it outlives the agent.
///
/// A text of lines: a heading with the format and the seed of the keys, then for each key of each limit in hexadecimal the
/// limit's identity, the period's number, the key and the count.
public struct QuotaRecords: Sendable, Equatable {
    public struct Record: Sendable, Equatable {
        public var limiter: UInt64
        public var period: UInt32
        public var key: UInt64
        public var count: UInt32
    }

    public struct Malformed: Error, Equatable, CustomStringConvertible {
        /// From 1.
        public var line: Int
        public var description: String { "line \(line) of the quotas' state is not understood" }
    }

    private static let heading = "weft-quotas 1 "

    public var seed: UInt64
    public var records: [Record]

    /// Nothing counted, with a seed of its own.
    public init() {
        seed = .random(in: .min ... .max)
        records = []
    }

    /// Of all quotas in a set.
    public init(_ set: RateLimiterSet) {
        seed = set.seed
        records = set.limiters.filter(\.isQuota).flatMap { limiter in
            limiter.table.reference.value.records().map {
                Record(limiter: limiter.identity, period: $0.period, key: $0.key, count: $0.count)
            }
        }
    }

    public init(text: String) throws(Malformed) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let first = lines.first, first.hasPrefix(Self.heading),
            let seed = UInt64(first.dropFirst(Self.heading.count), radix: 16)
        else { throw Malformed(line: 1) }
        self.seed = seed
        records = []
        for (index, line) in lines.enumerated().dropFirst() where !line.isEmpty {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard fields.count == 4, let limiter = UInt64(fields[0], radix: 16),
                let period = UInt32(fields[1], radix: 16), let key = UInt64(fields[2], radix: 16),
                let count = UInt32(fields[3], radix: 16)
            else { throw Malformed(line: index + 1) }
            records.append(Record(limiter: limiter, period: period, key: key, count: count))
        }
    }

    public var text: String {
        var text = Self.heading + String(seed, radix: 16) + "\n"
        for record in records {
            text += String(record.limiter, radix: 16) + " " + String(record.period, radix: 16) + " "
            text += String(record.key, radix: 16) + " " + String(record.count, radix: 16) + "\n"
        }
        return text
    }
}
