import BPF
import KernelPlane
import Logging
import Proxy
import Telemetry
import WeftABI

/// Live requests for whoever looks: turns the programs' events on while somebody does, and off when the last one has gone.
///
/// Confined to the reactor's thread.
final class TapService {
    /// Those who look at the same time.
    static let mostViewers = 16
    /// Events are collected this often.
    private static let collectInterval = Duration.milliseconds(50)
    /// The programs stop by themselves when nobody tells them to go on for so long: this agent may be killed.
    private static let validity: UInt64 = 5_000_000_000
    private static let renewal: UInt64 = 1_000_000_000
    /// Events of one CPU in a second when it is not the programs that choose the requests.
    private static let unfilteredRate: UInt32 = 10_000
    private static let batch = 4096

    private unowned let agent: Agent
    private let hub = TapHub()
    private var ring: RingBuffer?
    private var timer: Reactor.TimerID?
    private var renewed: UInt64 = 0
    private var lostBefore: UInt64 = 0
    private var proxied: ProxyTap?
    /// Requests of the proxy's that were passed over, since that was reported.
    private var missed: UInt64 = 0
    private var streams: [TapHub.Viewer: HTTPStream] = [:]

    init(_ agent: Agent) { self.agent = agent }

    /// Answers with the requests that the query asks for, as NDJSON, until the client goes.
    func answer(_ request: HTTPRequest) -> HTTPResponse {
        let filter: TapFilter
        do throws(FlowFilter.Invalid) {
            filter = try TapFilter(query: request.query)
        } catch {
            return AdminAPI.error(400, error.description)
        }
        guard hub.count < Self.mostViewers else {
            return AdminAPI.error(503, "\(Self.mostViewers) clients look at live requests already")
        }
        return .stream(contentType: "application/x-ndjson") { [unowned self] in open(filter, $0) }
    }

    private func open(_ filter: TapFilter, _ stream: HTTPStream) {
        if hub.isEmpty, let problem = start() {
            stream.write(Self.line { $0.add("error", problem) })
            return stream.end()
        }
        let viewer = hub.add(filter, now: Reactor.now()) { event in
            var bytes: [UInt8] = []
            event.writeJSON(to: &bytes)
            bytes.append(UInt8(ascii: "\n"))
            stream.write(bytes)
        }
        streams[viewer] = stream
        stream.onClose = { [weak self] in self?.close(viewer) }
        renew()
    }

    private func close(_ viewer: TapHub.Viewer) {
        hub.remove(viewer)
        streams[viewer] = nil
        if hub.isEmpty { stop() } else { renew() }
    }

    /// Returns why that is not possible.
    private func start() -> String? {
        do throws(BPFError) {
            if ring == nil { ring = try agent.plane.openTaps() }
            // What an earlier viewer has left.
            _ = ring?.consume { _ in }
            lostBefore = try lost()
        } catch {
            return "\(error)"
        }
        let local = ReactorLocal(self, of: agent.reactor)
        let proxied = ProxyTap(agent.reactor.mailbox) { reactor, events, missed in
            let service = local.get(on: reactor)
            service.missed += missed
            service.take(events)
        }
        do throws(SystemError) {
            try agent.requestLog.attach(proxied)
        } catch {
            return "\(error)"
        }
        self.proxied = proxied
        timer = agent.reactor.every(Self.collectInterval) { [unowned self] in turn() }
        return nil
    }

    private func stop() {
        if let timer { agent.reactor.cancel(timer) }
        timer = nil
        if let proxied { agent.requestLog.detach(proxied) }
        proxied = nil
        set(weft_tap())
    }

    private func turn() {
        collect()
        let now = Reactor.now()
        guard now - renewed >= Self.renewal else { return }
        renew()
        reportLosses()
    }

    private func collect() {
        let names = agent.directory
        let clock = WallClock.current()
        var events: [TapEvent] = []
        _ = ring?.consume(limit: Self.batch) { bytes in
            if let event = TapEvent(kernel: bytes, directory: names, clock: clock) { events.append(event) }
        }
        take(events)
    }

    private func take(_ events: [TapEvent]) {
        let now = Reactor.now()
        for event in events { hub.take(event, now: now) }
    }

    /// A line for each viewer that has missed something since the last one.
    private func reportLosses() {
        let lost = (try? lost()) ?? lostBefore
        let missed = self.missed + (lost >= lostBefore ? lost - lostBefore : 0)
        lostBefore = lost
        self.missed = 0
        for (viewer, stream) in streams {
            let dropped = hub.takeDropped(viewer)
            guard dropped + missed > 0 else { continue }
            stream.write(
                Self.line {
                    $0.add("event", "dropped")
                    $0.add("over_rate", number: dropped)
                    $0.add("lost", number: missed)
                })
        }
    }

    /// Events that found no room on their way.
    private func lost() throws(BPFError) -> UInt64 {
        let kernel = try ring?.lost() ?? 0
        return kernel &+ agent.requestLog.lost(.tap)
    }

    private static func line(_ fill: (inout JSONObjectWriter) -> Void) -> [UInt8] {
        var object = JSONObjectWriter()
        fill(&object)
        return object.finished() + [UInt8(ascii: "\n")]
    }

    // MARK: The programs

    private func renew() {
        renewed = Reactor.now()
        var tap = weft_tap()
        tap.until_ns = renewed + Self.validity
        tap.per_second = Self.unfilteredRate
        let filters = hub.filters
        proxied?.set(filters)
        if filters.count == 1, let filter = filters.first { narrow(&tap, to: filter) }
        set(tap)
    }

    /// Lets the programs choose, where what is asked for is one thing that they know.
    private func narrow(_ tap: inout weft_tap, to filter: TapFilter) {
        let names = agent.directory
        func only(_ ids: [UInt64]) -> UInt64 { ids.count == 1 ? ids.first ?? 0 : 0 }
        if let from = filter.from { tap.source = only(names.workloads(named: from)) }
        if let service = filter.service { tap.service = only(names.services(named: service)) }
        if let to = filter.to {
            let (services, workloads) = (names.services(named: to), names.workloads(named: to))
            if workloads.isEmpty, filter.service == nil { tap.service = only(services) }
            if services.isEmpty { tap.destination = only(workloads) }
        }
        var rest = filter
        if tap.source != 0 { rest.from = nil }
        if tap.service != 0 { rest.service = nil }
        if tap.service != 0 || tap.destination != 0 { rest.to = nil }
        var all = TapFilter()
        all.maxPerSecond = filter.maxPerSecond
        // A request has two events; one CPU may get all of them.
        if rest == all { tap.per_second = min(Self.unfilteredRate, 2 * filter.maxPerSecond) }
    }

    private func set(_ tap: weft_tap) {
        do throws(BPFError) {
            try agent.plane.setTap(tap)
        } catch {
            agent.logger.error("live requests cannot be asked for: \(error)")
        }
    }
}
