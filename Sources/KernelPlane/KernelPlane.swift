public import BPF
import BPFImages
import CLinux
import Glibc
public import Mesh
public import WeftABI

/// The programs and maps of one agent in the kernel: loads or adopts them, keeps them equal to the mesh, and reads what
/// they saw. Belongs to one thread.
public final class KernelPlane {
    public struct Options: Sendable {
        public var pinDirectory: String
        /// The cgroup whose processes the programs see, with everything below it.
        public var cgroup: String
        /// Where the cgroup v2 hierarchy is mounted: workloads' cgroup paths are relative to it.
        public var cgroupMount: String
        /// Sizes of maps other than the defaults of bpf/maps.h.
        public var mapLimits: [String: Int]
        /// What takes the connections of the proxy and tunnel lanes; nil: nothing does, and those lanes are not used.
        public var proxy: Proxy?
        /// Whether HTTP/1 is read on the connections that no proxy reads.
        public var readsHTTP: Bool
        /// Whether the kernel has programs that send a socket's bytes to another (`sk_msg`).
        public var redirects: Bool

        public struct Proxy: Sendable {
            public var addresses: ProxyAddresses
            /// The path of the agent's own cgroup (see `AgentCgroup`).
            public var cgroup: String

            public init(addresses: ProxyAddresses, cgroup: String) {
                self.addresses = addresses
                self.cgroup = cgroup
            }
        }

        public init(
            pinDirectory: String, cgroup: String, cgroupMount: String, mapLimits: [String: Int] = [:],
            proxy: Proxy? = nil, readsHTTP: Bool = true, redirects: Bool = true
        ) {
            self.pinDirectory = pinDirectory
            self.cgroup = cgroup
            self.cgroupMount = cgroupMount
            self.mapLimits = mapLimits
            self.proxy = proxy
            self.readsHTTP = readsHTTP
            self.redirects = redirects
        }
    }

    public let options: Options
    public let pins: PinDirectory
    /// Whether the programs of an earlier agent were found and taken over.
    public let adopted: Bool
    private let lock: FileDescriptor
    private let agedLink: Link
    private let settleLink: Link
    private let enlistLink: Link
    private let acceptQueuesLink: Link
    private let sweepLink: Link
    private let datagramSweepLink: Link
    private let datagramIn: Program
    private let datagramOut: Program
    private let redirect: Loader.Redirect
    private var inboundPolicies: InboundPolicies
    private var agentLinks: Loader.AgentLinks?
    private var agentHold: Link?
    /// The id of the agent's own cgroup; 0 without a proxy.
    private let agentCgroup: UInt64
    private var reconciler: MapReconciler
    private var enrolment = Enrolment()
    /// Whether listening sockets may belong to other workloads than the kernel knows them for.
    private var isEnlistmentDue = true
    private var compiled: CompiledMaps
    private var snapshot = MeshSnapshot()
    private var settings = weft_settings()
    /// What may go from socket to socket.
    public private(set) var acceleration = Acceleration()
    /// Whether a snapshot has been programmed. Before that, what an earlier agent left stays in force as it is.
    public private(set) var isProgrammed = false
    private let ownNamespace = NetworkNamespace.currentCookie
    private var namespaces: [UInt64: UInt64] = [:]
    /// Drains ordered at run time.
    public private(set) var drains: DrainDeadlines = [:]
    /// Names of the rules that have been in the maps since the first agent on these pins: what they counted stays.
    public private(set) var ruleNames: [UInt64: String] = [:]
    /// Cgroups of workloads that do not exist (yet).
    public private(set) var missingCgroups: [String] = []

    /// Loads the programs and attaches them, or takes over what is pinned. When it throws, nothing new is left behind.
    public init(_ options: Options) throws(BPFError) {
        self.options = options
        pins = PinDirectory(path: options.pinDirectory)
        let cgroup = FileSystem.openDirectory(options.cgroup)
        guard cgroup.rawValue >= 0, CgroupRoot.isCgroup(options.cgroup) else {
            throw BPFError(
                operation: "attach to the cgroup", subject: options.cgroup,
                errno: cgroup.rawValue < 0 ? weft_errno() : EINVAL,
                detail:
                    "it has to be a directory of the cgroup v2 hierarchy, which is mounted at \(options.cgroupMount)")
        }
        // Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; the others do not ask, so a refusal here is none.
        try? BPFSystem.raiseLockedMemoryLimit()
        try pins.prepare()
        lock = try pins.lock()
        adopted = FileSystem.exists(pins.link(Loader.connectionPrograms[0].program))

        let loaded: Loader.Loaded
        do throws(BPFError) {
            loaded = try Loader.load(pins: pins, options: options, cgroup: cgroup)
        } catch {
            // What was pinned before stays; what this attempt has made goes.
            if !adopted { _ = try? pins.uninstall() }
            throw error
        }
        agentCgroup = options.proxy.map { FileSystem.cgroupID($0.cgroup) } ?? 0
        let parts = loaded.take()
        agedLink = parts.aged
        settleLink = parts.settle
        enlistLink = parts.enlist
        acceptQueuesLink = parts.acceptQueues
        sweepLink = parts.sweep
        datagramSweepLink = parts.datagramSweep
        datagramIn = parts.datagramIn
        datagramOut = parts.datagramOut
        redirect = parts.redirect
        inboundPolicies = InboundPolicies(pins: pins, options: options)
        reconciler = try MapReconciler(PinnedMaps(pins))
        compiled = CompiledMaps.empty

        let now = Self.monotonicNow
        for (id, backend) in try reconciler.maps.backends.entries()
        where UInt32(backend.state) == WEFT_BACKEND_DRAINING.rawValue && backend.drain_deadline_ns > 0 {
            drains[id] = backend.drain_deadline_ns
        }
        if adopted {
            for (id, name) in try reconciler.maps.names.entries() where UInt32(name.kind) == WEFT_NAME_RULE.rawValue {
                ruleNames[id] = name.string
            }
        }
        settings = try reconciler.maps.settings.get(0) ?? weft_settings()
        settings.agent_started_ns = now
        settings.attached_cgroup = FileSystem.cgroupID(options.cgroup)
        settings.agent_pid = UInt32(getpid())
        settings.flow_wakeup_bytes = 256 * 1024
        settings.reads_http = options.readsHTTP ? 1 : 0
        try reconciler.maps.settings.set(0, settings)
        try makeOverflowSeries()
        try prepareProxy()
    }

    /// From here on the agent's sockets are left alone, and only captured connections reach its listeners. Services are
    /// in the proxy lane only after `apply`.
    private func prepareProxy() throws(BPFError) {
        guard let proxy = options.proxy else {
            try reconciler.maps.proxy.set(0, weft_proxy())
            return
        }
        guard agentCgroup != 0 else {
            throw BPFError(operation: "find the agent's cgroup", subject: proxy.cgroup, errno: weft_errno())
        }
        agentLinks = try Loader.attachAgentPrograms(pins: pins, options: options, cgroup: proxy.cgroup)
        try reconciler.maps.cgroups.set(agentCgroup, WEFT_WORKLOAD_AGENT)
        settings.identity_generation &+= 1
        try reconciler.maps.settings.set(0, settings)
        try reconciler.maps.names.set(
            WEFT_WORKLOAD_AGENT, CompiledName(WEFT_WORKLOAD_AGENT, WEFT_NAME_WORKLOAD, "weftd").abi)
        try setProxyNamespaces([])
        try reconciler.maps.proxy.set(0, proxy.addresses.abi)
    }

    /// Says in which other network namespaces the agent listens (see `ProxyListeners`): nobody may connect to it there.
    public func setProxyNamespaces(_ cookies: some Collection<UInt64>) throws(BPFError) {
        guard let proxy = options.proxy else { return }
        try reconciler.setOwnListeners(proxy.addresses.endpoints(own: ownNamespace, namespaces: cookies))
    }

    /// Where the agent answers names: what enrolled processes ask of port 53 outside of the mesh is asked there, over UDP and
    /// TCP, as long as somebody listens there in their network namespace. nil: nothing is turned to the agent.
    ///
    /// A resolver that is itself a service or a workload of the mesh is asked as it is.
    public func setResolver(_ place: ProxyAddresses.Place?) throws(BPFError) {
        // The agent's own questions have to reach its upstream: without a cgroup of its own nobody could tell them.
        guard let proxy = options.proxy else { return }
        var entry = proxy.addresses.abi
        if let place {
            let (loopback4, loopback6) = (IPAddress(v4: 0x7f00_0001), IPAddress(high: 0, low: 1 << 56))
            let isSpecific = !place.address.isUnspecified
            entry.dns4 = (isSpecific && place.address.isIPv4 ? place.address : loopback4).abi
            entry.dns6 = (isSpecific && !place.address.isIPv4 ? place.address : loopback6).abi
            entry.dns_port = place.port.bigEndian
        }
        try reconciler.maps.proxy.set(0, entry)
    }

    /// Hands over what the agent listens with (see `ProxyListeners`) for connections that come from outside of the node;
    /// the kernel forgets sockets that are closed.
    public func setListener(_ listening: ProxyListeners.Listening) throws(BPFError) {
        let kind: weft_inbound_kind
        switch (listening.purpose, listening.place.address.isIPv4) {
        case (.captured, _): return
        case (.inbound, true): kind = WEFT_INBOUND_IPV4
        case (.inbound, false): kind = WEFT_INBOUND_IPV6
        case (.tunnel, true): kind = WEFT_INBOUND_TUNNEL_IPV4
        case (.tunnel, false): kind = WEFT_INBOUND_TUNNEL_IPV6
        }
        // Of several sockets that share a place (SO_REUSEPORT) one suffices.
        guard let descriptor = listening.descriptors.first else { return }
        let key = weft_inbound_socket_key(netns_cookie: listening.netnsCookie, kind: kind.rawValue, reserved: 0)
        try reconciler.maps.inboundSockets.set(key, UInt64(descriptor))
    }

    /// The cgroups of the local workloads: their processes may be in network namespaces that need a listener.
    public func cgroups(ofWorkloadsIn snapshot: MeshSnapshot) -> [String] {
        snapshot.workloads.values.compactMap { $0.isLocal ? $0.cgroup.map { options.cgroupMount + $0 } : nil }
    }

    /// The maps, for reading.
    public func withMaps<Result, Failure: Error>(
        _ body: (borrowing PinnedMaps) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(reconciler.maps)
    }

    /// The ring of flow records; one reader at a time.
    public func openFlows() throws(BPFError) -> RingBuffer {
        try RingBuffer.openPinned(
            pins.map("flows"), name: "flows",
            losses: PerCPUMap.openPinned(pins.map("node_counters"), name: "node_counters"),
            lossIndex: WEFT_COUNT_FLOWS_LOST.rawValue)
    }

    /// The ring of live requests; one reader at a time.
    public func openTaps() throws(BPFError) -> RingBuffer {
        try RingBuffer.openPinned(
            pins.map("taps"), name: "taps",
            losses: PerCPUMap.openPinned(pins.map("node_counters"), name: "node_counters"),
            lossIndex: WEFT_COUNT_TAPS_LOST.rawValue)
    }

    /// Says which live requests the programs tell of.
    public func setTap(_ tap: weft_tap) throws(BPFError) { try reconciler.maps.tap.set(0, tap) }

    private func makeOverflowSeries() throws(BPFError) {
        func make<Key: BitwiseCopyable, Value: BitwiseCopyable>(
            in map: borrowing PerCPUMap<Key, Value>, _ key: Key, _ empty: Value
        ) throws(BPFError) {
            var key = key
            unsafe withUnsafeMutableBytes(of: &key) { bytes in
                for index in bytes.indices { unsafe bytes[index] = 0xff }
            }
            guard try map.get(key) == nil else { return }
            try map.set(key, [Value](repeating: empty, count: BPFSystem.possibleCPUs), mode: .any)
        }
        try make(in: reconciler.maps.traffic, weft_traffic_key(), weft_traffic())
        try make(in: reconciler.maps.requests, weft_requests_key(), weft_requests())
    }

    // MARK: The mesh

    /// Programs a snapshot.
    ///
    /// - Parameter acceleration: see `setAcceleration`; nil: as before.
    /// - Returns: the objects that could not be programmed; everything else is.
    public func apply(
        _ snapshot: MeshSnapshot, acceleration next: Acceleration? = nil
    ) throws(BPFError) -> [ProgrammingFailure] {
        self.snapshot = snapshot
        if let next { try take(possible(next)) }
        let next = CompiledMaps(
            snapshot, drains: drains, isCapturing: options.proxy != nil, accelerated: acceleration.workloads,
            previous: compiled)
        namespaces = findNamespaces(of: next)
        compiled = next
        let failures = program()
        isProgrammed = true
        for name in next.policies.values.flatMap(\.names) + next.ruleNames
        where UInt32(name.kind) == WEFT_NAME_RULE.rawValue {
            ruleNames[name.id] = name.text
        }
        settings.generation = snapshot.generation
        acceleration.write(to: &settings)
        try reconciler.maps.settings.set(0, settings)
        try attachDatagramPrograms(compiled.hasDatagrams)
        try attachInboundPolicies()
        return failures
    }

    /// Takes away what agents of earlier layouts have left beside this one's pins, if a snapshot is in force here.
    public func removeOlderLayouts() -> [OlderLayouts.Removal] {
        isProgrammed ? OlderLayouts.remove(beside: pins, cgroup: settings.attached_cgroup) : []
    }

    /// Brings the maps to what is compiled.
    private func program() -> [ProgrammingFailure] {
        reconciler.apply(compiled.scoped(to: namespaces, own: ownNamespace)) { maps in
            do throws(BPFError) {
                try enrol(maps)
                return []
            } catch {
                let names = snapshot.workloads.values.filter { $0.cgroup != nil }.map(\.name)
                return names.map { ProgrammingFailure(kind: "Workload", name: $0, message: error.description) }
            }
        }
    }

    /// Looks up the workloads' cgroups and network namespaces again: a restarted service has new ones.
    public func refreshEnrolment() throws(BPFError) {
        guard isProgrammed else { return }
        let found = findNamespaces(of: compiled)
        if found != namespaces {
            namespaces = found
            _ = program()
        } else {
            try enrol(reconciler.maps)
            guard isEnlistmentDue else { return }
        }
        try attachInboundPolicies()
    }

    private func enrol(_ maps: borrowing PinnedMaps) throws(BPFError) {
        let local = compiled.workloads.values.compactMap { workload in
            workload.cgroup.map { (cgroup: $0, id: workload.id) }
        }
        let result = try enrolment.refresh(local, agent: agentCgroup, mount: options.cgroupMount, maps: maps)
        missingCgroups = result.missing.sorted()
        guard result.changed else { return }
        settings.identity_generation &+= 1
        try maps.settings.set(0, settings)
        isEnlistmentDue = true
    }

    /// The network namespaces, other than the agent's, of local workloads for which they matter: loopback addresses mean
    /// something in one only, and what comes in is met where it arrives.
    private func findNamespaces(of compiled: borrowing CompiledMaps) -> [UInt64: UInt64] {
        var found: [UInt64: UInt64] = [:]
        for workload in compiled.workloads.values where workload.hasLoopbackAddress || workload.hasInboundRules {
            guard let cgroup = workload.cgroup,
                let cookie = NetworkNamespace.cookie(ofCgroup: options.cgroupMount + cgroup), cookie != ownNamespace
            else { continue }
            found[workload.id] = cookie
        }
        return found
    }

    /// What meets connections at their destination costs every new one a lookup, so it is there only where a workload has
    /// rules for them.
    private func attachInboundPolicies() throws(BPFError) {
        var wanted: [UInt64: String] = [:]
        for workload in compiled.workloads.values where workload.hasInboundRules {
            wanted[namespaces[workload.id] ?? ownNamespace] = workload.cgroup.map { options.cgroupMount + $0 } ?? ""
        }
        if isEnlistmentDue || !wanted.keys.allSatisfy({ inboundPolicies.isAttached(in: $0) }) {
            try enlist(in: Set(wanted.keys).union(isEnlistmentDue ? homes : []))
            isEnlistmentDue = false
        }
        try inboundPolicies.attach(in: wanted, own: ownNamespace)
    }

    /// The network namespaces of local workloads.
    private var homes: Set<UInt64> {
        Set(
            compiled.workloads.values.compactMap { workload in
                workload.cgroup.flatMap { NetworkNamespace.cookie(ofCgroup: options.cgroupMount + $0) }
            })
    }

    /// Tells the kernel whose the sockets are that listen in these namespaces already: it enters new ones by itself.
    private func enlist(in namespaces: Set<UInt64>) throws(BPFError) {
        var failure: BPFError?
        _ = NetworkNamespace.visit(namespaces) {
            do throws(BPFError) {
                try enlistLink.readIterator { _ in }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private func attachDatagramPrograms(_ wanted: Bool) throws(BPFError) {
        for (name, isIn) in [("datagram_in", true), ("datagram_out", false)] {
            let path = pins.link(name)
            let isAttached = FileSystem.exists(path)
            if wanted && !isAttached {
                let cgroup = FileSystem.openDirectory(options.cgroup)
                let link =
                    isIn
                    ? try datagramIn.attach(toCgroup: cgroup)
                    : try datagramOut.attach(toCgroup: cgroup)
                try link.pin(at: path)
            } else if !wanted && isAttached {
                try Link.unpin(path)
            }
        }
    }

    // MARK: Acceleration

    /// Says whose connections within the node may go from socket to socket. Open ones stay as they are when a workload leaves;
    /// when nothing may any more, nothing more is redirected on them.
    ///
    /// - Returns: the objects that could not be programmed.
    public func setAcceleration(_ wanted: Acceleration) throws(BPFError) -> [ProgrammingFailure] {
        let next = possible(wanted)
        guard next != acceleration else { return [] }
        let isSameWorkloads = next.workloads == acceleration.workloads
        try take(next)
        guard isProgrammed else { return [] }
        if !isSameWorkloads { return try apply(snapshot) }
        acceleration.write(to: &settings)
        try reconciler.maps.settings.set(0, settings)
        return []
    }

    /// Keeps a service's new connections with TCP, which serves them as well; until the maps are removed.
    public func stopAccelerating(service: UInt64) throws(BPFError) {
        var entry = try reconciler.maps.conduct.get(service) ?? weft_conduct()
        entry.evidence |= WEFT_EVIDENCE_NO_GAIN.rawValue
        entry.since_ns = Self.monotonicNow
        try reconciler.maps.conduct.set(service, entry)
    }

    /// What sockets of these workloads were seen to do that accelerated ones must not (bits of `weft_evidence`), since it
    /// was asked last.
    public func takeConduct(of workloads: some Sequence<ObjectName>) throws(BPFError) -> [ObjectName: UInt32] {
        var found: [ObjectName: UInt32] = [:]
        for name in workloads {
            let id = Identifier.workload(name)
            guard var conduct = try reconciler.maps.conduct.get(id), conduct.evidence != 0 else { continue }
            found[name] = conduct.evidence
            // Another program of the workload may do better.
            conduct.evidence = 0
            conduct.since_ns = Self.monotonicNow
            try reconciler.maps.conduct.set(id, conduct)
        }
        return found
    }

    /// Why nothing can go from socket to socket on this kernel, in a sentence; nil: it can.
    public var redirectProblem: String? {
        switch redirect {
        case .loaded: nil
        case .unavailable(let reason): reason
        }
    }

    /// What can be had of it here.
    private func possible(_ wanted: Acceleration) -> Acceleration {
        var possible = wanted
        if redirectProblem != nil { possible.workloads = [] }
        return possible
    }

    private func take(_ next: Acceleration) throws(BPFError) {
        for name in next.workloads.subtracting(acceleration.workloads) {
            let id = Identifier.workload(name)
            guard try reconciler.maps.conduct.get(id) == nil else { continue }
            var conduct = weft_conduct()
            conduct.since_ns = Self.monotonicNow
            try reconciler.maps.conduct.set(id, conduct)
        }
        if !next.workloads.isEmpty, case .loaded(let hold) = redirect {
            let pin = pins.link(hold.program.name)
            if !FileSystem.exists(pin) {
                let cgroup = FileSystem.openDirectory(options.cgroup)
                try hold.program.attach(toCgroup: cgroup).pin(at: pin)
            }
            // The agent reads as applications do, and may be elsewhere.
            if agentHold == nil, let path = options.proxy?.cgroup, !"\(path)/".hasPrefix("\(options.cgroup)/") {
                let cgroup = FileSystem.openDirectory(path)
                agentHold = try hold.program.attach(toCgroup: cgroup)
            }
        }
        acceleration = next
    }

    // MARK: Draining

    /// Stops giving new connections to the endpoints with these identifiers; the open ones end at the deadline.
    ///
    /// - Parameter deadlineNanoseconds: on CLOCK_MONOTONIC; nil takes the drain back.
    /// - Throws: `BPFError` with EAGAIN before the first snapshot.
    public func drain(_ backends: [UInt64], deadlineNanoseconds: UInt64?) throws(BPFError) -> [ProgrammingFailure] {
        guard isProgrammed else {
            throw BPFError(
                operation: "drain endpoints of", subject: "the mesh", errno: EAGAIN,
                detail: "no configuration has been accepted yet: repair it first (see `weft status`)")
        }
        for backend in backends { drains[backend] = deadlineNanoseconds }
        return try apply(snapshot)
    }

    // MARK: The sweep

    /// What one sweep did.
    public struct SweepResult: Sendable {
        public var doomed: [weft_doomed] = []
        public var ended = 0
        public var failed = 0
        public var reason = ""
        /// Network namespaces whose connections could not be looked at, because no process is in them any more.
        public var unreached = 0
    }

    /// Moves what open connections have carried into the counters, and ends those that may no longer be.
    ///
    /// - Parameter youngMilliseconds: connections that are younger are left alone, unless they have lasted before: most
    ///   will have ended by the next sweep, and are counted when they do.
    public func sweep(sparing youngMilliseconds: UInt32 = 0) throws(BPFError) -> SweepResult {
        let unreached = try settle(youngMilliseconds)
        let doomed = try sweepLink.readIterator(of: weft_doomed.self)
        if compiled.hasDatagrams { _ = try datagramSweepLink.readIterator(of: weft_doomed.self) }
        let outcome = SocketDestroyer.destroy(doomed)
        return SweepResult(
            doomed: doomed, ended: outcome.ended, failed: outcome.failed, reason: outcome.reason, unreached: unreached)
    }

    /// Moves the state of connections that are not young any more to where the sweep finds it.
    ///
    /// - Returns: how many namespaces of such connections could not be entered.
    private func settle(_ youngMilliseconds: UInt32) throws(BPFError) -> Int {
        if settings.young_ms != youngMilliseconds {
            settings.young_ms = youngMilliseconds
            try reconciler.maps.settings.set(0, settings)
        }
        let namespaces = Set(try agedLink.readIterator(of: UInt64.self))
        guard !namespaces.isEmpty else { return 0 }
        var failure: BPFError?
        let unreached = NetworkNamespace.visit(namespaces) {
            do throws(BPFError) {
                try settleLink.readIterator { _ in }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return unreached
    }

    /// How many connections wait for accept() at each listening socket of a local workload, now.
    public func acceptQueues() throws(BPFError) -> [weft_accept_queue] {
        try acceptQueuesLink.readIterator(of: weft_accept_queue.self)
    }

    /// Removes what is left of backends that are gone, and forgets drains of endpoints that are.
    public func tidy() {
        guard isProgrammed else { return }
        reconciler.tidy()
        let known = Set(compiled.services.values.flatMap { $0.frontends.flatMap { $0.backends.map(\.id) } })
        // A drained endpoint that has left the configuration is remembered until its last connection has ended.
        drains = drains.filter { known.contains($0.key) || ((try? reconciler.maps.backends.get($0.key)) ?? nil) != nil }
    }

    // MARK: The hook

    /// Whether the connect hook is called for processes of the attached cgroup: a child process in a cgroup of its own
    /// below it tries.
    public func verifyHook() -> HookCheck { HookCheck.run(cgroup: options.cgroup) }

    /// Detaches the programs and removes all pins.
    public func detach() throws(BPFError) { try pins.uninstall() }

    /// Says in the maps that no agent runs; the programs go on.
    public func leave() {
        agentLinks = nil
        agentHold = nil
        settings.agent_pid = 0
        try? reconciler.maps.settings.set(0, settings)
    }

    /// The kernel's unit of many times: the resolution of its coarse clocks.
    static var jiffyNanoseconds: UInt64 {
        var resolution = timespec()
        unsafe clock_getres(CLOCK_MONOTONIC_COARSE, &resolution)
        return UInt64(resolution.tv_sec) * 1_000_000_000 + UInt64(resolution.tv_nsec)
    }

    /// CLOCK_MONOTONIC, the programs' clock, in nanoseconds.
    public static var monotonicNow: UInt64 {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
