import CLinux
import Glibc

/// One thread's part of the proxy: an event loop with its connections, buffers, timers, pools and counters. Nothing of
/// it is shared with other threads; what they want of it they put into its mailbox.
struct Worker: ~Copyable {
    private let pinned = Pinned()
    let options: ProxyOptions
    let mailbox: WorkerMailbox
    let statistics: WorkerStatistics
    let requestLog: RequestLogQueue
    let origins: OriginLookup
    let checkClient: CheckClient
    /// What the kernel's programs decide by; nil: they decide nothing.
    let shortcuts: ShortcutTables?
    let shortcutSeat: ShortcutSeat
    var poller: Poller
    var buffers: BufferPool
    var downstreams: Slab<Downstream>
    var upstreams: Slab<Upstream>
    var exchanges: Slab<Exchange>
    var tunnels: Tunnels
    var generations = Generations()
    /// A configuration that is taken in at the end of the turn.
    var pendingConfiguration: ProxyConfiguration?
    var pendingTunnels: TunnelTable?
    var pendingTrust: TrustMaterial?
    var pools: [UpstreamPool] = []
    /// By `Cluster.Endpoint.identity`.
    var poolPlaces: [UInt64: UInt32] = [:]
    var freePlaces: [UInt32] = []
    var listeners: [WorkerListener] = []
    var wheel: TimerWheel
    var scratch = Scratch()
    /// Whole lines that a head gets besides its own.
    var extras = Scratch()
    var reader = RequestReader()
    /// For requests as they are sent on.
    var forwardedReader = RequestReader()
    var peers: PeerPrincipals
    let flows: FlowQueue
    let connectionRequests: ConnectionRequests
    var tokens: TokenAuthenticator
    var checks = CheckRoom()
    var random: RandomBits
    var tracing: Tracing
    /// CLOCK_MONOTONIC at the beginning of the turn, nanoseconds and milliseconds.
    var now: UInt64
    var tick: UInt64
    private var nextTrim: UInt64 = 0
    var waiting = WaitingList()
    private var answerWait = AnswerWait()
    /// Connections with work left that no event will announce.
    var queue: [EventToken] = []
    var spareQueue: [EventToken] = []
    var isStopping = false
    /// When listeners that rest are watched again; 0: none rests.
    var listenersWake: UInt64 = 0
    /// No new connections, and none kept after its request.
    var isDraining = false

    init(_ seat: WorkerSeat, options: ProxyOptions, poller: consuming Poller) {
        self.poller = poller
        self.options = options
        mailbox = seat.mailbox
        statistics = seat.statistics
        requestLog = seat.requestLog
        flows = seat.flows
        connectionRequests = seat.connectionRequests
        peers = PeerPrincipals(seat.peerNames)
        origins = seat.origins
        checkClient = seat.checkClient
        shortcuts = seat.shortcuts.tables
        shortcutSeat = seat.shortcuts
        buffers = BufferPool(smallCount: options.smallBuffersPerWorker, largeCount: options.largeBuffersPerWorker)
        let connections = options.connectionsPerWorker
        tokens = TokenAuthenticator(users: connections)
        downstreams = Slab(capacity: connections)
        exchanges = Slab(capacity: connections)
        upstreams = Slab(capacity: connections)
        tunnels = Tunnels(options)
        wheel = TimerWheel(capacity: TimerID.capacity(connections: connections, tunnels: options.tunnelsPerWorker))
        now = MonotonicClock.now()
        tick = now / 1_000_000
        tracing = Tracing(options)
        random = RandomBits(seed: UInt64.random(in: .min ... .max))
        queue.reserveCapacity(1024)
        spareQueue.reserveCapacity(1024)
    }

    /// As much as one connection may move before the others have their turn, in bytes.
    static let turnBudget = 1 << 20
    /// How often memory that a burst needed is given back, milliseconds.
    static let trimInterval: UInt64 = 10_000
    /// How long a listener rests when no descriptor is left, milliseconds.
    static let listenerRest: UInt64 = 50

    /// Works on the calling thread until the mailbox says stop.
    static func run(_ seat: WorkerSeat, options: ProxyOptions, poller: consuming Poller) {
        var worker = Worker(seat, options: options, poller: poller)
        worker.run()
    }

    private mutating func run() {
        while !isStopping { turn() }
        closeEverything()
    }

    mutating func turn() {
        let count = poll()
        now = MonotonicClock.now()
        tick = now / 1_000_000
        for index in 0..<count {
            let (token, readiness) = poller.event(index)
            dispatch(token, readiness)
        }
        if !queue.isEmpty { runQueue() }
        expireTimers()
        if listenersWake != 0, tick >= listenersWake { wakeListeners() }
        adoptPending()
        if tick >= nextTrim {
            nextTrim = tick + Self.trimInterval
            buffers.trim()
        }
        statistics.set(.bufferedBytes, UInt64(buffers.bytesInUse))
    }

    /// Waits for events. Whoever has just got a small message through a tunnel is likely to answer.
    private mutating func poll() -> Int {
        let timeout = timeout()
        guard tunnels.expectsAnswer else { return poller.wait(timeout: timeout) }
        tunnels.expectsAnswer = false
        guard timeout != 0 else { return poller.wait(timeout: 0) }
        return answerWait.wait(poller, from: MonotonicClock.now(), timeout: timeout)
    }

    private mutating func dispatch(_ token: EventToken, _ readiness: Readiness) {
        switch token.kind {
        case .upstream:
            guard isCurrent(token, in: upstreams) else { return }
            upstreamEvent(token.index, readiness)
        case .downstream:
            guard isCurrent(token, in: downstreams) else { return }
            downstreamEvent(token.index, readiness)
        case .tunnelStream:
            guard isCurrent(token, in: tunnels.streams) else { return }
            tunnelStreamEvent(token.index, readiness)
        case .tunnelSession:
            guard tunnels.sessions.isLive(token.index),
                tunnels.sessions.generation(token.index) & EventToken.generationMask == token.generation
            else { return }
            tunnelSessionEvent(token.index, readiness)
        case .listener: acceptConnections(token.index)
        case .mailbox: collectMail()
        }
    }

    /// Whether what the event is about still is there.
    private func isCurrent<Element>(_ token: EventToken, in slab: borrowing Slab<Element>) -> Bool {
        slab.isLive(token.index) && slab.generation(token.index) & EventToken.generationMask == token.generation
    }

    private func timeout() -> CInt {
        guard queue.isEmpty else { return 0 }
        var next = wheel.next ?? .max
        if listenersWake != 0 { next = min(next, listenersWake) }
        guard next != .max else { return -1 }
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
            } else if token.kind == .tunnelSession, tunnels.sessions.isLive(token.index),
                tunnels.sessions.generation(token.index) & EventToken.generationMask == token.generation
            {
                tunnels.sessions[token.index].isQueued = false
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
    var isOpen = true
    /// Not watched for a while.
    var rests = false
    /// Taken from it and still open.
    var connections = 0
}
