import CLinux
import Glibc

/// One thread's part of the proxy: an event loop with its connections, buffers, timers, pools and counters. Nothing of
/// it is shared with other threads; what they want of it they put into its mailbox.
struct Worker: ~Copyable {
    let options: ProxyOptions
    let mailbox: WorkerMailbox
    let statistics: WorkerStatistics
    var poller: Poller
    var buffers: BufferPool
    var downstreams: Slab<Downstream>
    var upstreams: Slab<Upstream>
    var exchanges: Slab<Exchange>
    var pools: [UpstreamPool] = []
    var listeners: [WorkerListener] = []
    var wheel: TimerWheel
    var scratch = Scratch()
    var fields = FieldTable()
    /// CLOCK_MONOTONIC at the beginning of the turn, nanoseconds and milliseconds.
    var now: UInt64
    var tick: UInt64
    /// Connections with work left that no event will announce.
    var queue: [EventToken] = []
    var spareQueue: [EventToken] = []
    var isStopping = false
    /// No new connections, and none kept after its request.
    var isDraining = false

    init(options: ProxyOptions, mailbox: WorkerMailbox, statistics: WorkerStatistics, poller: consuming Poller) {
        self.poller = poller
        self.options = options
        self.mailbox = mailbox
        self.statistics = statistics
        buffers = BufferPool(smallCount: options.smallBuffersPerWorker, largeCount: options.largeBuffersPerWorker)
        let connections = options.connectionsPerWorker
        downstreams = Slab(capacity: connections)
        exchanges = Slab(capacity: connections)
        upstreams = Slab(capacity: connections)
        wheel = TimerWheel(capacity: TimerID.capacity(connections: connections))
        now = MonotonicClock.now()
        tick = now / 1_000_000
        queue.reserveCapacity(1024)
        spareQueue.reserveCapacity(1024)
    }

    /// Works on the calling thread until the mailbox says stop.
    static func run(options: ProxyOptions, mailbox: WorkerMailbox, statistics: WorkerStatistics) {
        let poller = Poller()
        guard poller.addSource(mailbox.descriptor, EventToken(kind: .mailbox, index: 0, generation: 0)) else { return }
        var worker = Worker(options: options, mailbox: mailbox, statistics: statistics, poller: poller)
        worker.run()
    }

    private mutating func run() {
        while !isStopping { turn() }
        closeEverything()
    }

    mutating func turn() {
        let count = poller.wait(timeout: timeout())
        now = MonotonicClock.now()
        tick = now / 1_000_000
        for index in 0..<count {
            let (token, readiness) = poller.event(index)
            dispatch(token, readiness)
        }
        if !queue.isEmpty { runQueue() }
        expireTimers()
    }

    private mutating func dispatch(_ token: EventToken, _ readiness: Readiness) {
        switch token.kind {
        case .upstream:
            guard isCurrent(token, in: upstreams) else { return }
            upstreamEvent(token.index, readiness)
        case .downstream:
            guard isCurrent(token, in: downstreams) else { return }
            downstreamEvent(token.index, readiness)
        case .listener: acceptConnections(token.index)
        case .mailbox: collectMail()
        }
    }

    /// Whether what the event is about still is there.
    private func isCurrent<Element>(_ token: EventToken, in slab: borrowing Slab<Element>) -> Bool {
        slab.isLive(token.index) && slab.generation(token.index) & 0x3fff_ffff == token.generation
    }

    private func timeout() -> CInt {
        guard queue.isEmpty else { return 0 }
        guard let next = wheel.next else { return -1 }
        return next > tick ? CInt(min(next - tick, 3_600_000)) : 0
    }

    // MARK: The queue

    mutating func enqueue(downstream index: UInt32) {
        guard !downstreams[index].isQueued else { return }
        downstreams[index].isQueued = true
        queue.append(EventToken(kind: .downstream, index: index, generation: downstreams.generation(index)))
    }

    mutating func enqueue(upstream index: UInt32) {
        guard !upstreams[index].isQueued else { return }
        upstreams[index].isQueued = true
        queue.append(EventToken(kind: .upstream, index: index, generation: upstreams.generation(index)))
    }

    private mutating func runQueue() {
        swap(&queue, &spareQueue)
        for position in spareQueue.indices {
            let token = spareQueue[position]
            if token.kind == .downstream, isCurrent(token, in: downstreams) {
                downstreams[token.index].isQueued = false
            } else if token.kind == .upstream, isCurrent(token, in: upstreams) {
                upstreams[token.index].isQueued = false
            }
            dispatch(token, [])
        }
        spareQueue.removeAll(keepingCapacity: true)
    }
}

/// A listening socket of one worker.
struct WorkerListener {
    var descriptor: CInt
    var id: ListenerID
    var kind: ListenerKind
    /// Of `relay`.
    var pool: UInt32
    var isOpen = true
}
