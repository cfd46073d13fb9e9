import Proxy
import Synchronization
import Telemetry

/// The live requests of the proxy lane: takes them from the request log's thread to the reactor's, those that somebody
/// wants to see and not more of them than can be looked at.
final class ProxyTap: RequestLogConsumer {
    /// Requests of one turn of the request log's thread that are looked at.
    private static let mostPerTurn = 2000

    private struct State {
        var filters: [TapFilter] = []
        var events: [TapEvent] = []
        var looked = 0
        var missed: UInt64 = 0
        var number: UInt64 = 0
    }

    private let state = Mutex(State())
    private let mailbox: ReactorMailbox
    private let deliver: @Sendable (Reactor, [TapEvent], UInt64) -> Void

    /// - Parameter deliver: gets events, and how many requests were passed over, on the reactor's thread.
    init(_ mailbox: ReactorMailbox, _ deliver: @escaping @Sendable (Reactor, [TapEvent], UInt64) -> Void) {
        self.mailbox = mailbox
        self.deliver = deliver
    }

    var interest: RequestConsumers { .tap }

    /// Somebody wants what any of these admits.
    func set(_ filters: [TapFilter]) { state.withLock { $0.filters = filters } }

    func take(_ entry: borrowing RequestLogEntry, _ names: MeshDirectory, _ clock: WallClock) {
        state.withLock { state in
            guard state.looked < Self.mostPerTurn else {
                state.missed += 1
                return
            }
            state.looked += 1
            state.number += 1
            let pair = TapEvent.pair(entry, number: state.number, directory: names, clock: clock)
            guard state.filters.contains(where: { $0.admits(pair.request) }) else { return }
            state.events.append(pair.request)
            state.events.append(pair.response)
        }
    }

    func flush() {
        let (events, missed) = state.withLock { state in
            defer { (state.events, state.looked, state.missed) = ([], 0, 0) }
            return (state.events, state.missed)
        }
        guard !events.isEmpty || missed > 0 else { return }
        mailbox.post { [deliver] reactor in deliver(reactor, events, missed) }
    }
}
