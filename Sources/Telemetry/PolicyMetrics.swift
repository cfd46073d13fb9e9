public import Proxy
public import WeftABI

/// `weft_policy_decisions_total`: the kernel's counters of decisions about connections and the proxy's about requests, by
/// the name of the rule.
public struct PolicyMetrics {
    struct Decisions: SeriesValue {
        var count: UInt64 = 0

        mutating func add(_ other: Decisions) { count &+= other.count }
    }

    private struct Key: Hashable {
        var rule: UInt64
        var verdict: UInt8
        var mode: UInt8
    }

    private struct Entry {
        var reading: UInt64 = 0
        var update: UInt64 = 0
        var series: Int?
    }

    private var table: SeriesTable<Decisions>
    private var entries: [Key: Entry] = [:]
    private var requests: [PolicyCounts.Key: Entry] = [:]
    private var updates: UInt64 = 0

    /// See `TrafficMetrics.init`. Rules are few and their counters wanted: they do not expire.
    public init(limit: Int = 5000) { table = SeriesTable(limit: limit, expiry: .max) }

    /// Takes a reading of the whole map, summed over the CPUs.
    public mutating func update(_ readings: [(weft_rule_key, UInt64)], directory: some NameDirectory, now: UInt64) {
        updates += 1
        for (rawKey, reading) in readings {
            let key = Key(rule: rawKey.rule, verdict: rawKey.verdict, mode: rawKey.mode)
            var entry = entries[key] ?? Entry()
            entry.update = updates
            defer { entries[key] = entry }
            let change = reading >= entry.reading ? reading - entry.reading : reading
            guard change > 0 else { continue }
            entry.reading = reading
            if entry.series == nil { entry.series = handle(key, directory) }
            if let series = entry.series {
                table.add(Decisions(count: change), to: series, now: now)
            } else {
                table.addToOverflow(Decisions(count: change))
            }
        }
        for (key, entry) in entries where entry.update != updates {
            if let series = entry.series { table.release(series) }
            entries[key] = nil
        }
    }

    /// Takes what the proxy has counted of requests.
    public mutating func update(_ readings: [(key: PolicyCounts.Key, count: UInt64)], now: UInt64) {
        for (key, reading) in readings {
            var entry = requests[key] ?? Entry()
            defer { requests[key] = entry }
            let change = reading >= entry.reading ? reading - entry.reading : reading
            guard change > 0 else { continue }
            entry.reading = reading
            if entry.series == nil {
                let labels = MetricLabels([
                    ("policy", key.rule), ("verdict", key.verdict.rawValue), ("mode", key.mode.rawValue),
                ])
                if table.hasRoom || table.shows(labels) { entry.series = table.retain(labels) }
            }
            if let series = entry.series {
                table.add(Decisions(count: change), to: series, now: now)
            } else {
                table.addToOverflow(Decisions(count: change))
            }
        }
    }

    private mutating func handle(_ key: Key, _ directory: some NameDirectory) -> Int? {
        guard key.rule != .max else { return nil }
        let name = directory.rule(key.rule) ?? Terms.unknown
        let labels = MetricLabels([
            ("policy", name), ("verdict", Terms.verdict(key.verdict)), ("mode", Terms.mode(key.mode)),
        ])
        guard table.hasRoom || table.shows(labels) else { return nil }
        return table.retain(labels)
    }

    public func write(to writer: inout MetricWriter) {
        writer.family(
            "weft_policy_decisions_total", .counter,
            help: "Decisions by rule: what it said (verdict) and whether it was enforced (mode).")
        for series in table.shown { writer.sample(table.labels[series], table.values[series].count) }
        if let rest = table.overflow {
            let labels = MetricLabels([("policy", "overflow"), ("verdict", "overflow"), ("mode", "overflow")])
            writer.sample(labels, rest.count)
        }
    }
}
