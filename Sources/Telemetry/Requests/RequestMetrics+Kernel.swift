import Proxy
public import WeftABI

// Requests that the kernel's programs have read.
extension RequestMetrics {
    /// One entry of the kernel's map.
    struct KernelEntry {
        let key: KernelRequestKey
        /// As it was read last.
        var reading = weft_requests()
        var lastChange: UInt64 = 0
        var update: UInt64 = 0
        var handles = Handles()
    }

    mutating func updateKernel(
        _ readings: [(key: weft_requests_key, sum: weft_requests)], _ directory: some NameDirectory, _ now: UInt64
    ) {
        for (rawKey, sum) in readings {
            let key = KernelRequestKey(rawKey)
            let position = kernelIndex[key] ?? kernelEntries.count
            if position == kernelEntries.count {
                kernelEntries.append(KernelEntry(key: key))
                kernelIndex[key] = position
            }
            kernelEntries[position].update = updates
            take(sum, at: position, directory, now)
        }
        dropKernelEntriesThatAreGone()
    }

    private mutating func take(
        _ reading: weft_requests, at position: Int, _ directory: some NameDirectory, _ now: UInt64
    ) {
        guard !isEqual(reading, kernelEntries[position].reading) else { return }
        // An entry in which something is smaller now was deleted and made again: all of it is new.
        let change = RequestCounts(
            Telemetry.change(of: reading, since: kernelEntries[position].reading) ?? reading)
        kernelEntries[position].reading = reading
        kernelEntries[position].lastChange = now
        count(change, at: position, directory, now)
    }

    private mutating func count(
        _ change: RequestCounts, at position: Int, _ directory: some NameDirectory, _ now: UInt64
    ) {
        let key = kernelEntries[position].key
        if key.isOverflow { return addToOverflow(change) }
        var handles = kernelEntries[position].handles
        defer { kernelEntries[position].handles = handles }
        guard key.isUnparsed else {
            return count(
                change, of: RequestKey(key), isFromSource: key.isFromSource, isFromDestination: key.isFromDestination,
                for: &handles, directory, now)
        }
        countUnparsed(
            change, of: RequestKey(key), isFromSource: key.isFromSource, isFromDestination: key.isFromDestination,
            for: &handles, directory, now)
    }

    mutating func forgetKernelLabels() {
        for position in kernelEntries.indices { releaseKernelEntry(position) }
    }

    private mutating func releaseKernelEntry(_ position: Int) {
        let handles = kernelEntries[position].handles
        kernelEntries[position].handles = Handles()
        release(handles)
    }

    private mutating func dropKernelEntriesThatAreGone() {
        var position = 0
        while position < kernelEntries.count {
            if kernelEntries[position].update == updates { position += 1 } else { dropKernelEntry(position) }
        }
    }

    /// Another entry takes its place.
    private mutating func dropKernelEntry(_ position: Int) {
        releaseKernelEntry(position)
        kernelIndex[kernelEntries[position].key] = nil
        let last = kernelEntries.count - 1
        if position != last {
            kernelEntries[position] = kernelEntries[last]
            kernelIndex[kernelEntries[position].key] = position
        }
        kernelEntries.removeLast()
    }
}

// Entries that may be deleted, so that the map does not fill up for ever.
extension RequestMetrics {
    /// Entries that have not counted for so long that no series would be shown for them alone. What they have counted is
    /// in the series, or in the overflow.
    ///
    /// - Parameter limit: at most so many.
    public func retirable(now: UInt64, limit: Int = 1024) -> [weft_requests_key] {
        var keys: [weft_requests_key] = []
        for entry in kernelEntries where keys.count < limit {
            guard !entry.key.isOverflow, now >= entry.lastChange, now - entry.lastChange >= requests.expiry
            else { continue }
            keys.append(entry.key.raw)
        }
        return keys
    }

    /// An entry was deleted.
    ///
    /// - Parameter last: what it had counted in the end.
    public mutating func retired(
        _ key: weft_requests_key, last: weft_requests, directory: some NameDirectory, now: UInt64
    ) {
        guard let position = kernelIndex[KernelRequestKey(key)] else { return }
        take(last, at: position, directory, now)
        dropKernelEntry(position)
    }
}

extension KernelRequestKey {
    fileprivate var raw: weft_requests_key {
        var key = weft_requests_key()
        key.source = source
        key.service = service
        key.destination = destination
        key.status = status
        key.lane = lane
        key.reporter = reporter
        key.outcome = outcome
        key.route = route
        return key
    }
}
