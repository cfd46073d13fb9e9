import CLinux
import Glibc
public import Mesh
import Synchronization
import WeftABI

/// Names a listener of the engine.
public struct ListenerID: Hashable, Sendable {
    let number: UInt32
}

/// What connections of a listener are for.
public enum ListenerKind: Sendable {
    /// One service's port, by the kernel's identifier.
    case service(UInt64)
    /// What the connect hook has turned to the agent: each connection's origin says which service's port.
    case captured
    /// Other agents' tunnels (HBONE).
    case tunnel
}

/// What the kernel knows of a captured connection.
public struct ConnectionOrigin: BitwiseCopyable, Sendable {
    /// What the application connected to.
    public var destination: ClientAddress
    /// As the kernel's maps name them; 0: unknown.
    public var service: UInt64
    public var source: UInt64
    /// It comes from outside of this node, to one of its workloads.
    public var isInbound = false
    public var lane = Lane.proxy
    /// Of the tunnel's lane: the backend that the kernel has chosen, 0 if the destination is a workload's own address,
    /// and the workload that it leads to.
    public var backend: UInt64 = 0
    public var workload: UInt64 = 0
    /// When its client called connect(): CLOCK_MONOTONIC, nanoseconds; 0: not known.
    public var startedAt: UInt64 = 0
    /// The cookie of its client's socket, if what that sends may go past the agent; 0: it may not.
    public var shortcutClient: UInt64 = 0

    public init(destination: ClientAddress, service: UInt64, source: UInt64) {
        self.destination = destination
        self.service = service
        self.source = source
    }

    /// What the agent does with a connection.
    public enum Lane: UInt8, BitwiseCopyable, Sendable {
        /// Reads its requests.
        case proxy
        /// Carries its bytes to another node's agent.
        case tunnel
    }
}

/// Asks the kernel about an accepted socket; nil if it was not captured.
public typealias OriginLookup = @Sendable (_ socket: CInt) -> ConnectionOrigin?

/// Why the engine could not start.
public struct ProxyError: Error, Sendable, CustomStringConvertible {
    public let operation: String
    public let errno: CInt

    public var description: String { unsafe "cannot \(operation): \(String(cString: strerror(errno)))" }
}

/// The L7 proxy: worker threads with their event loops. Listening sockets come from outside, as does what is known of
/// services; statistics can be read at any time.
public final class ProxyEngine: Sendable {
    public let options: ProxyOptions
    /// One for each worker, and so are the parts of the access log; they outlive the engine.
    public let statistics: [WorkerStatistics]
    public let requestLogs: [RequestLogQueue]
    /// Who the numbers of peers in a worker's statistics are.
    public let peerNames: [PeerNames]
    /// The peers' connections that have ended or were refused.
    public let flows: [FlowQueue]
    private let seats: [WorkerSeat]
    private let threads = Mutex<[UInt]>([])
    private let nextListener = Atomic<UInt32>(1)
    private let configuration = Mutex<ProxyConfiguration?>(nil)
    private let keeper: ClusterKeeper
    private let keyKeeper: KeyKeeper
    private let checkClient: CheckClient
    private let dialer = TunnelDialer()
    private let shortcuts = ShortcutSeat()
    /// An earlier agent's connections, until there is a configuration to serve them by.
    private let inherited = Mutex<[Inheritance]>([])

    /// - Parameter origins: for listeners of captured connections.
    /// - Throws: when the process has no descriptor left.
    public init(
        options: ProxyOptions = ProxyOptions(), origins: @escaping OriginLookup = { _ in nil }
    ) throws(ProxyError) {
        self.options = options
        guard let checkClient = CheckClient(dialer) else {
            throw ProxyError(operation: "create the event of checks", errno: weft_errno())
        }
        self.checkClient = checkClient
        var seats: [WorkerSeat] = []
        for number in 0..<max(options.workers, 1) {
            guard let mailbox = WorkerMailbox() else {
                throw ProxyError(operation: "create a worker's mailbox", errno: weft_errno())
            }
            seats.append(
                WorkerSeat(
                    number: number, mailbox: mailbox, requestLog: RequestLogQueue(worker: number), origins: origins,
                    checkClient: checkClient, shortcuts: shortcuts))
        }
        if let first = seats.first { dialer.use(first.mailbox) }
        guard let keeper = ClusterKeeper(quotaPath: options.quotaPath, dialer) else {
            throw ProxyError(operation: "create the health checks' event", errno: weft_errno())
        }
        guard let keyKeeper = KeyKeeper() else {
            throw ProxyError(operation: "create the keys' event", errno: weft_errno())
        }
        self.keeper = keeper
        self.keyKeeper = keyKeeper
        self.seats = seats
        statistics = seats.map(\.statistics)
        requestLogs = seats.map(\.requestLog)
        peerNames = seats.map(\.peerNames)
        flows = seats.map(\.flows)
    }

    /// What is known of the requests on a captured connection; nil: nothing.
    ///
    /// - Parameter started: when its client called connect(), CLOCK_MONOTONIC nanoseconds.
    public func requests(ofConnectionStarted started: UInt64) -> ConnectionRequests.Summary? {
        for seat in seats {
            if let found = seat.connectionRequests.find(started: started) { return found }
        }
        return nil
    }

    /// Puts a configuration in force: for requests that begin from now on. What is learnt about endpoints is carried over.
    ///
    /// - Returns: the clusters that are in force with it.
    @discardableResult
    public func publish(_ table: RouteTable, _ authorization: AuthorizationTable) -> ClusterSet {
        configuration.withLock { configuration in
            let clusters = ClusterSet(
                from: table.clusters, previous: configuration?.clusters, now: MonotonicClock.now())
            let limiters = RateLimiterSet(
                table.limitConfigs.map { RateLimitConfig($0) }, previous: configuration?.limiters,
                quotas: keeper.quotas)
            let issuers = TokenIssuers(table.authentication.ruleConfigs, previous: configuration?.issuers)
            keyKeeper.update(issuers.sources)
            let next = ProxyConfiguration(
                table: table, clusters: clusters, limiters: limiters, authorization: authorization,
                policyCounts: PolicyCounts(authorization, previous: configuration?.policyCounts), issuers: issuers,
                providers: ExternalProviders(authorization.providers, table, previous: configuration?.providers),
                serial: (configuration?.serial ?? 0) &+ 1)
            configuration = next
            // In this order: nobody offers by older rules what the programs would still take.
            shortcuts.serial.store(next.serial, ordering: .sequentiallyConsistent)
            ShortcutRecall.all()
            for seat in seats { seat.mailbox.post(.adopt(next)) }
            keeper.update(next)
            return clusters
        }
    }

    /// Puts in force where tunnels lead, and who may come in through them. Streams that are open are judged anew.
    public func publish(_ table: TunnelTable) {
        dialer.adopt(table)
        for seat in seats { seat.mailbox.post(.adoptTunnels(table)) }
    }

    /// Puts certificates and trust bundles in force. Connections that were made with others go on for the streams that
    /// they carry, unless the peer's certificate would not be accepted any more.
    public func publish(_ trust: TrustSnapshot) {
        let material = TrustMaterial(trust)
        for seat in seats { seat.mailbox.post(.adoptTrust(material)) }
    }

    /// The clusters in force; nil before the first configuration.
    public var clusters: ClusterSet? { configuration.withLock { $0?.clusters } }
    /// The rate limits in force; nil before the first configuration.
    public var limiters: RateLimiterSet? { configuration.withLock { $0?.limiters } }
    /// What policies have decided about requests; nil before the first configuration.
    public var policyCounts: PolicyCounts? {
        shortcuts.tables?.collect()
        return configuration.withLock { $0?.policyCounts }
    }
    /// Why the quotas' state could not be read or was not written the last time; nil: it could.
    public var quotaProblem: QuotaFile.Failure? { keeper.quotaProblem }

    /// How often authorizers were asked, for each that policies name.
    public var authorizers: [AuthorizerReading] {
        configuration.withLock { $0?.providers.providers.map(\.reading) ?? [] }
    }
    /// How the keys are that tokens are verified with, for each rule in force.
    public var tokenIssuers: [TokenIssuerStatus] { configuration.withLock { $0?.issuers.statuses ?? [] } }

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - shortcuts: the memory in which the kernel's programs are told what they may decide; nil: nothing.
    ///   - line: to the process that holds an earlier agent's connections; nil: there is none. They are served from the first
    ///     configuration on.
    /// - Returns: how many connections of clients those are.
    @discardableResult
    public func start(shortcuts memory: ShortcutMemory? = nil, inheriting line: StandbyLine? = nil) throws(ProxyError)
        -> Int
    {
        var inherited: [Inheritance] = []
        if let memory {
            if let line { inherited = takeOver(line, memory) }
            memory.keep(clients: Set(inherited.map(\.client.cookie)))
            shortcuts.use(memory, inherits: !inherited.isEmpty)
        }
        let count = inherited.count
        self.inherited.withLock { $0 = inherited }
        // Each connection of a client may need one to a backend.
        weft_raise_descriptor_limit()
        try keeper.start()
        for seat in seats {
            guard let start = WorkerStart(seat: seat, options: options) else {
                throw ProxyError(operation: "watch a worker's mailbox", errno: weft_errno())
            }
            var thread = pthread_t()
            let argument = unsafe Unmanaged.passRetained(start)
            let error = unsafe pthread_create(
                &thread, nil,
                { argument in
                    guard let argument = unsafe argument else { return nil }
                    unsafe Unmanaged<WorkerStart>.fromOpaque(argument).takeRetainedValue().run()
                    return nil
                }, argument.toOpaque())
            guard error == 0 else {
                unsafe argument.release()
                throw ProxyError(operation: "start a worker's thread", errno: error)
            }
            threads.withLock { $0.append(UInt(thread)) }
        }
        return count
    }

    /// What the standby process holds, by clients' connections.
    private func takeOver(_ line: StandbyLine, _ memory: ShortcutMemory) -> [Inheritance] {
        guard let held = line.takeOver(layout: UInt64(WEFT_LAYOUT)) else { return [] }
        shortcuts.use(line)
        var clients: [UInt64: Inheritance] = [:]
        for socket in held where socket.isClient {
            clients[socket.cookie] = Inheritance(client: socket, legs: [])
        }
        for socket in held where !socket.isClient {
            let client = memory.client(ofLeg: socket.cookie)
            if clients[client]?.legs.append(socket) == nil { close(socket.descriptor) }
        }
        return Array(clients.values)
    }

    // MARK: The standby process

    /// Whether one is wanted that holds connections beyond this process's end, and there is none.
    public var needsStandby: Bool { shortcuts.needsStandby.load(ordering: .relaxed) }

    /// Uses a standby process that has just been started.
    public func use(_ line: StandbyLine) -> Bool {
        guard let held = line.takeOver(layout: UInt64(WEFT_LAYOUT)) else { return false }
        // It holds nothing yet.
        for socket in held { close(socket.descriptor) }
        shortcuts.use(line)
        return true
    }

    /// Gives the connections of an earlier agent to the workers. After the first configuration is in force.
    public func adoptInherited() {
        let connections = inherited.withLock { inherited in
            let all = inherited
            inherited = []
            return all
        }
        for (place, connection) in connections.enumerated() {
            seats[place % seats.count].mailbox.post(.inherit(connection))
        }
    }

    /// Serves connections of listening sockets, one for each worker (SO_REUSEPORT), which the engine closes in the end.
    public func addListener(_ descriptors: [CInt], _ kind: ListenerKind) -> ListenerID {
        precondition(descriptors.count == seats.count, "one listening socket for each worker")
        let id = ListenerID(number: nextListener.add(1, ordering: .relaxed).oldValue)
        for (seat, descriptor) in zip(seats, descriptors) {
            seat.mailbox.post(.open(id, descriptor: descriptor, kind))
        }
        return id
    }

    /// Takes no further connections of a listener; those that are open stay.
    public func removeListener(_ id: ListenerID) {
        for seat in seats { seat.mailbox.post(.close(id)) }
    }

    /// Takes no further connections, and ends those that are open after their present request.
    ///
    /// - Parameter leavesShortcuts: those that the kernel's programs decide about, and a standby process holds, go on.
    public func drain(leavesShortcuts: Bool = false) {
        if !leavesShortcuts { ShortcutRecall.all() }
        for seat in seats { seat.mailbox.post(.drain(leavesShortcuts: leavesShortcuts)) }
    }

    /// Ends all connections and waits for the threads.
    public func stop() {
        for seat in seats { seat.mailbox.post(.stop) }
        let running = threads.withLock { threads in
            let all = threads
            threads.removeAll()
            return all
        }
        for thread in running { _ = pthread_join(pthread_t(thread), nil) }
        // Last, so that the quotas have all that the workers counted.
        keeper.stop()
        keyKeeper.stop()
        checkClient.stop()
    }
}

/// What is in force together.
struct ProxyConfiguration: Sendable {
    let table: RouteTable
    let clusters: ClusterSet
    let limiters: RateLimiterSet
    let authorization: AuthorizationTable
    let policyCounts: PolicyCounts
    let issuers: TokenIssuers
    let providers: ExternalProviders
    /// Of the configurations in their order.
    var serial: UInt64 = 0
}

/// What a worker and the engine both have.
struct WorkerSeat: Sendable {
    let number: Int
    let mailbox: WorkerMailbox
    let statistics = WorkerStatistics()
    let requestLog: RequestLogQueue
    let peerNames = PeerNames()
    let flows = FlowQueue()
    let connectionRequests = ConnectionRequests()
    let origins: OriginLookup
    let checkClient: CheckClient
    let shortcuts: ShortcutSeat
}

/// What a worker's thread begins with.
private final class WorkerStart: Sendable {
    let seat: WorkerSeat
    let options: ProxyOptions
    private let poller: Mutex<Poller?>

    /// nil (errno): there is no descriptor or memory left in the kernel.
    init?(seat: WorkerSeat, options: ProxyOptions) {
        guard let descriptor = Poller.makeDescriptor() else { return nil }
        let poller = Poller(descriptor)
        guard poller.addSource(seat.mailbox.descriptor, EventToken(kind: .mailbox, index: 0, generation: 0)) else {
            return nil
        }
        self.seat = seat
        self.options = options
        self.poller = Mutex(poller)
    }

    func run() {
        unsafe weft_name_thread("\(options.threadName)-\(seat.number)")
        guard let poller = poller.withLock({ $0.take() }) else { return }
        Worker.run(seat, options: options, poller: poller)
    }
}
