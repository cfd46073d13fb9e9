public import WeftABI

// Entries of the kernel's map that may be deleted, so that it does not fill up for ever.
extension TrafficMetrics {
    /// Entries that have not counted for so long that no series would be shown for them alone, and of which no
    /// connection is open. What they have counted is in the series, or in the overflow; should one come back, it goes on
    /// with the series that its names give.
    ///
    /// - Parameter limit: at most so many.
    public func retirable(now: UInt64, limit: Int = 1024) -> [weft_traffic_key] {
        var keys: [weft_traffic_key] = []
        for entry in entries where keys.count < limit {
            guard !entry.key.isOverflow, entry.reading.opened == entry.reading.closed, now >= entry.lastChange,
                now - entry.lastChange >= istio.expiry
            else { continue }
            keys.append(entry.key.raw)
        }
        return keys
    }

    /// An entry was deleted.
    ///
    /// - Parameter last: what it had counted in the end.
    public mutating func retired(
        _ key: weft_traffic_key, last: weft_traffic, directory: some NameDirectory, now: UInt64
    ) {
        guard let position = index[TrafficKey(key)] else { return }
        take(last, at: position, directory, now)
        drop(position)
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
