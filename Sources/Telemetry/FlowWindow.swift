public import Proxy
public import WeftABI

/// A flow record as it came, without names: what costs little to keep, and to hand to another thread.
public struct RawFlow: Sendable {
    public var flow: weft_flow
    public var texts: FlowTexts?

    public init(_ flow: weft_flow) { self.flow = flow }

    /// A connection that came through a tunnel.
    public init(_ entry: borrowing TunnelFlowEntry) {
        flow = weft_flow(entry.flow)
        texts = FlowTexts(entry)
    }
}

/// The last flow records of the node, and those who follow them. Records are kept as the kernel wrote them (184 bytes
/// each) and get their names when they are read.
///
/// Confined to one thread, the reactor's.
public final class FlowWindow {
    public typealias Subscription = UInt64

    /// The most records that are kept.
    public let capacity: Int
    private let directory: () -> any NameDirectory
    private var ring: [RawFlow] = []
    /// Where the oldest record is once the ring is full.
    private var oldest = 0
    private var subscribers: [(id: Subscription, filter: FlowFilter, body: (FlowRecord) -> Void)] = []
    private var lastSubscription: Subscription = 0
    /// Records ever seen.
    public private(set) var total: UInt64 = 0

    /// - Parameter directory: gives the names that are valid when it is called.
    public init(capacity: Int = 10_000, directory: @escaping () -> any NameDirectory) {
        self.capacity = max(capacity, 1)
        self.directory = directory
    }

    /// Records in the window.
    public var count: Int { ring.count }

    /// Adds a record in place of the oldest, and tells the subscribers.
    public func append(_ raw: RawFlow) {
        total += 1
        if ring.count < capacity {
            ring.append(raw)
        } else {
            ring[oldest] = raw
            oldest = (oldest + 1) % capacity
        }
        guard subscribers.contains(where: { $0.filter.admits(raw.flow) }) else { return }
        let record = FlowRecord(raw.flow, raw.texts, directory: directory(), clock: .current())
        // A subscriber may leave while it is told.
        for subscriber in subscribers where subscriber.filter.admits(raw.flow) && subscriber.filter.admits(record) {
            subscriber.body(record)
        }
    }

    /// The last `limit` records that the filter admits, the oldest first.
    public func records(matching filter: FlowFilter = FlowFilter(), limit: Int = .max) -> [FlowRecord] {
        let names = directory()
        let clock = WallClock.current()
        var found: [FlowRecord] = []
        for index in ring.indices.reversed() {
            guard found.count < limit else { break }
            let kept = ring[(oldest + index) % ring.count]
            guard filter.admits(kept.flow) else { continue }
            let record = FlowRecord(kept.flow, kept.texts, directory: names, clock: clock)
            if filter.admits(record) { found.append(record) }
        }
        return found.reversed()
    }

    /// Calls `body` with every record from now on that the filter admits.
    public func subscribe(_ filter: FlowFilter = FlowFilter(), _ body: @escaping (FlowRecord) -> Void) -> Subscription {
        lastSubscription += 1
        subscribers.append((lastSubscription, filter, body))
        return lastSubscription
    }

    public func unsubscribe(_ subscription: Subscription) { subscribers.removeAll { $0.id == subscription } }
}
