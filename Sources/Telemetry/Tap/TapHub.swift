/// Everybody who looks at live requests, and what they get of what the lanes tell.
///
/// Confined to one thread, the reactor's.
public final class TapHub {
    public typealias Viewer = UInt64

    /// Requests whose end is awaited; the oldest are forgotten first.
    static let mostPending = 8192

    private struct Seat {
        var id: Viewer
        var filter: TapFilter
        var bucket: RateBucket
        var dropped: UInt64 = 0
        var body: (TapEvent) -> Void
    }

    private struct Pending {
        var request: TapEvent
        /// Who has seen it begin.
        var viewers: [Viewer]
        var order: UInt64
    }

    private var seats: [Seat] = []
    private var last: Viewer = 0
    private var pending: [TapEvent.ID: Pending] = [:]
    /// Requests in the order in which they began; some have ended.
    private var begun: [(id: TapEvent.ID, order: UInt64)] = []
    private var nextOrder: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { seats.isEmpty }
    public var count: Int { seats.count }
    public var filters: [TapFilter] { seats.map(\.filter) }

    /// - Parameters:
    ///   - now: CLOCK_MONOTONIC, nanoseconds.
    ///   - body: gets the requests that the filter admits, at most so many in a second as it says.
    public func add(_ filter: TapFilter, now: UInt64, _ body: @escaping (TapEvent) -> Void) -> Viewer {
        last += 1
        seats.append(Seat(id: last, filter: filter, bucket: RateBucket(filter.maxPerSecond, now: now), body: body))
        return last
    }

    public func remove(_ viewer: Viewer) {
        seats.removeAll { $0.id == viewer }
        if seats.isEmpty {
            pending = [:]
            begun = []
        }
    }

    /// Requests that a viewer would have seen but for its rate, since the last time that this was asked.
    public func takeDropped(_ viewer: Viewer) -> UInt64 {
        guard let index = seats.firstIndex(where: { $0.id == viewer }) else { return 0 }
        defer { seats[index].dropped = 0 }
        return seats[index].dropped
    }

    /// Takes an event of a lane. The end of a request whose beginning was not told is passed over.
    public func take(_ event: TapEvent, now: UInt64) {
        switch event.kind {
        case .request: begins(event, now)
        case .response: ends(event, now)
        }
    }

    private func begins(_ event: TapEvent, _ now: UInt64) {
        var viewers: [Viewer] = []
        var isAwaited = false
        for index in seats.indices where seats[index].filter.admits(event) {
            // Its status decides: it is shown when that is known.
            guard seats[index].filter.status == nil else {
                isAwaited = true
                continue
            }
            guard admit(index, now) else { continue }
            viewers.append(seats[index].id)
        }
        guard isAwaited || !viewers.isEmpty else { return }
        nextOrder += 1
        pending[event.id] = Pending(request: event, viewers: viewers, order: nextOrder)
        begun.append((event.id, nextOrder))
        forget()
        for viewer in viewers { show(event, to: viewer) }
    }

    private func ends(_ event: TapEvent, _ now: UInt64) {
        guard let known = pending.removeValue(forKey: event.id) else { return }
        let response = event.completed(by: known.request)
        for viewer in known.viewers { show(response, to: viewer) }
        for seat in seats {
            guard let status = seat.filter.status, status.admits(response.status), seat.filter.admits(known.request),
                let index = seats.firstIndex(where: { $0.id == seat.id }), admit(index, now)
            else { continue }
            seat.body(known.request)
            show(response, to: seat.id)
        }
    }

    private func admit(_ index: Int, _ now: UInt64) -> Bool {
        if seats[index].bucket.take(now) { return true }
        seats[index].dropped += 1
        return false
    }

    /// A viewer may leave while it, or another one, is told.
    private func show(_ event: TapEvent, to viewer: Viewer) { seats.first { $0.id == viewer }?.body(event) }

    private func forget() {
        guard begun.count > 2 * Self.mostPending || pending.count > Self.mostPending else { return }
        let excess = max(0, pending.count - Self.mostPending / 2)
        var removed = 0
        for (id, order) in begun where removed < excess && pending[id]?.order == order {
            pending[id] = nil
            removed += 1
        }
        begun.removeAll { pending[$0.id]?.order != $0.order }
    }
}

/// So many in a second, and not more than a second's worth at once.
struct RateBucket {
    private let perSecond: UInt64
    /// Nanoseconds' worth of what is left.
    private var credit: UInt64
    private var filled: UInt64

    init(_ perSecond: UInt32, now: UInt64) {
        self.perSecond = UInt64(max(perSecond, 1))
        credit = 1_000_000_000
        filled = now
    }

    mutating func take(_ now: UInt64) -> Bool {
        if now > filled {
            credit = min(1_000_000_000, credit + min(now - filled, 1_000_000_000))
            filled = now
        }
        let price = 1_000_000_000 / perSecond
        guard credit >= price else { return false }
        credit -= price
        return true
    }
}

extension TapEvent {
    /// With what its beginning has told.
    fileprivate func completed(by request: TapEvent) -> TapEvent {
        var event = self
        event.method = method ?? request.method
        event.authority = authority ?? request.authority
        event.path = path ?? request.path
        return event
    }
}
