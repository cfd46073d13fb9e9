import Proxy
import WeftABI

// Requests that the kernel's programs have read.
extension RequestMetrics {
    /// One entry of the kernel's map.
    struct KernelEntry {
        let key: KernelRequestKey
        var counts = RequestCounts()
        var lastChange: UInt64 = 0
        var update: UInt64 = 0
        /// Of those that could not be followed, in `unparsed`.
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
            let counts = RequestCounts(sum)
            guard counts != kernelEntries[position].counts else { continue }
            // An entry in which something is smaller now was deleted and made again: all of it is new.
            let change = counts.change(since: kernelEntries[position].counts) ?? counts
            kernelEntries[position].counts = counts
            kernelEntries[position].lastChange = now
            count(change, at: position, directory, now)
        }
        dropKernelEntriesThatAreGone()
    }

    private mutating func count(
        _ change: RequestCounts, at position: Int, _ directory: some NameDirectory, _ now: UInt64
    ) {
        let key = kernelEntries[position].key
        if key.isOverflow { return requests.addToOverflow(change) }
        var handles = kernelEntries[position].handles
        defer { kernelEntries[position].handles = handles }
        guard key.isUnparsed else {
            return count(
                change, of: RequestKey(key), isFromSource: key.isFromSource, isFromDestination: key.isFromDestination,
                for: &handles, directory, now)
        }
        if key.isFromSource {
            unparsed.add(Requests(count: change.count), handle: &handles.source, isNew: handles.isNew, now) {
                names.unparsedLabels(key, isFromSource: true, directory)
            }
        }
        if key.isFromDestination {
            unparsed.add(Requests(count: change.count), handle: &handles.destination, isNew: handles.isNew, now) {
                names.unparsedLabels(key, isFromSource: false, directory)
            }
        }
        handles.isNew = false
    }

    mutating func forgetKernelLabels() {
        for position in kernelEntries.indices { releaseKernelEntry(position) }
    }

    private mutating func releaseKernelEntry(_ position: Int) {
        let handles = kernelEntries[position].handles
        kernelEntries[position].handles = Handles()
        guard kernelEntries[position].key.isUnparsed else { return release(handles) }
        if let handle = handles.source { unparsed.release(handle) }
        if let handle = handles.destination { unparsed.release(handle) }
    }

    private mutating func dropKernelEntriesThatAreGone() {
        var position = 0
        while position < kernelEntries.count {
            guard kernelEntries[position].update != updates else {
                position += 1
                continue
            }
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
}
