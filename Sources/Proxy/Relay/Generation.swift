import Mesh

/// One generation of the configuration as one worker uses it: the rules, the clusters with what this worker has learnt
/// about their endpoints, and where its pools of connections are.
struct Generation: ~Copyable {
    private let pinned = Pinned()
    let table: RouteTable
    var clusters: WorkerClusters
    let limiters: WorkerLimiters
    let authorization: AuthorizationTable
    let policyCounts: PolicyCounts
    /// Of the endpoints: the policies of their workloads that are decided here.
    private let groups: FixedArray<Int32>
    /// Of the endpoints of all clusters, one after the other.
    private let pools: FixedArray<UInt32>
    private let destinations: FixedArray<UInt64>
    private let tunnelled: FixedArray<Bool>
    /// Where a cluster's endpoints begin.
    private let starts: FixedArray<Int>
    let retryRules: FixedArray<RetryRule?>
    let ruleIdentifiers: FixedArray<UInt64>
    let clusterFacts: FixedArray<ClusterFacts>
    let tokenIssuers: TokenIssuers
    let providers: ExternalProviders
    /// `ProxyConfiguration.serial`.
    let serial: UInt64
    /// Requests that began with it and have not ended.
    var users = 0

    /// What is looked up per request.
    struct ClusterFacts: BitwiseCopyable {
        var service: UInt64
        /// -1: none.
        var fallback: Int32
        /// Milliseconds.
        var connectTimeout: UInt64
        var idleTimeout: UInt64
        var requestsPerConnection: UInt32
    }

    /// - Parameter pools: of the endpoints of all clusters, one after the other.
    init(_ configuration: ProxyConfiguration, _ clusters: consuming WorkerClusters, pools: [UInt32]) {
        let table = configuration.table
        self.table = table
        limiters = WorkerLimiters(configuration.limiters)
        let authorization = configuration.authorization
        self.authorization = authorization
        policyCounts = configuration.policyCounts
        let set = clusters.set
        self.clusters = clusters
        var starts: [Int] = []
        var destinations: [UInt64] = []
        var groups: [Int32] = []
        var tunnelled: [Bool] = []
        for (index, cluster) in set.clusters.enumerated() {
            starts.append(destinations.count)
            let workloads = table.clusterIdentities[index].workloads
            let areTunnelled = table.clusterIdentities[index].tunnelled
            for position in cluster.endpoints.indices {
                let workload = position < workloads.count ? workloads[position] : 0
                destinations.append(workload)
                groups.append(
                    authorization.group(ofEndpoint: cluster.endpoints[position].config, workload: workload))
                tunnelled.append(position < areTunnelled.count && areTunnelled[position])
            }
        }
        self.starts = FixedArray(count: starts.count) { starts[$0] }
        self.pools = FixedArray(count: pools.count) { pools[$0] }
        self.destinations = FixedArray(count: destinations.count) { destinations[$0] }
        self.groups = FixedArray(count: groups.count) { groups[$0] }
        self.tunnelled = FixedArray(count: tunnelled.count) { tunnelled[$0] }
        tokenIssuers = configuration.issuers
        serial = configuration.serial
        providers = configuration.providers
        let rules = table.ruleConfigs
        retryRules = FixedArray(count: rules.count) { rules[$0].retry.map(RetryRule.init) }
        ruleIdentifiers = FixedArray(count: rules.count) { rules[$0].identifier }
        let identities = table.clusterIdentities
        clusterFacts = FixedArray(count: identities.count) { index in
            let limits = set.clusters[index].config.traffic.limits
            return ClusterFacts(
                service: identities[index].service, fallback: Int32(identities[index].fallback ?? -1),
                connectTimeout: UInt64(limits.connectTimeout), idleTimeout: UInt64(limits.idleTimeout),
                requestsPerConnection: limits.maxRequestsPerConnection ?? .max)
        }
    }

    /// Marks the pools that its requests may use.
    func markPools(_ isUsed: inout [Bool]) {
        for position in pools.indices { isUsed[Int(pools[position])] = true }
    }

    func pool(_ cluster: Int, _ endpoint: EndpointIndex) -> UInt32 { pools[starts[cluster] + endpoint.index] }

    /// The policies that are decided here about what is sent to an endpoint; -1: none.
    func group(_ cluster: Int, _ endpoint: EndpointIndex) -> Int32 { groups[starts[cluster] + endpoint.index] }

    /// The policies that are decided here about what is sent to any of a cluster's endpoints; -1: none.
    func groups(ofCluster cluster: Int) -> Set<Int32> {
        Set((0..<clusters.set.clusters[cluster].endpoints.count).map { groups[starts[cluster] + $0] })
    }

    /// Whether connections to an endpoint are tunnelled to its node, which decides what it receives.
    func isTunnelled(_ cluster: Int, _ endpoint: EndpointIndex) -> Bool {
        tunnelled[starts[cluster] + endpoint.index]
    }

    /// The workload that listens at an endpoint; 0: unknown.
    func destination(_ cluster: Int, _ endpoint: EndpointIndex) -> UInt64 {
        destinations[starts[cluster] + endpoint.index]
    }
}

/// The generations that a worker's requests are in: the current one and those that older requests began with.
@safe struct Generations: ~Copyable {
    static let capacity = 64

    private let memory: UnsafeMutablePointer<Generation>
    private var used: UInt64 = 0
    /// In which order they came.
    private var serials = InlineArray<64, UInt64>(repeating: 0)
    private var lastSerial: UInt64 = 0
    /// -1: there is none yet.
    private(set) var current = -1

    init() { unsafe memory = .allocate(capacity: Self.capacity) }

    deinit {
        for index in 0..<Self.capacity where used & 1 << UInt64(index) != 0 {
            unsafe (memory + index).deinitialize(count: 1)
        }
        unsafe memory.deallocate()
    }

    /// Whether another one can be taken in without requests of an old one having to end.
    var hasRoom: Bool { used != .max }

    mutating func adopt(_ generation: consuming Generation) {
        let index = (~used).trailingZeroBitCount
        precondition(index < Self.capacity)
        unsafe (memory + index).initialize(to: generation)
        used |= 1 << UInt64(index)
        lastSerial += 1
        serials[index] = lastSerial
        let old = current
        current = index
        if old >= 0 { collect(old) }
    }

    /// How many there are.
    var count: Int { used.nonzeroBitCount }

    func isLive(_ index: Int) -> Bool { used & 1 << UInt64(index) != 0 }

    /// The oldest that is not the current one.
    var oldest: Int? {
        var oldest: Int?
        for index in 0..<Self.capacity where isLive(index) && index != current {
            if let found = oldest, serials[found] < serials[index] { continue }
            oldest = index
        }
        return oldest
    }

    /// One request less.
    mutating func release(_ index: Int) {
        self[index].users -= 1
        collect(index)
    }

    private mutating func collect(_ index: Int) {
        guard index != current, self[index].users == 0 else { return }
        used &= ~(1 << UInt64(index))
        unsafe (memory + index).deinitialize(count: 1)
    }

    subscript(index: Int) -> Generation {
        @inline(__always) unsafeAddress {
            precondition(index >= 0 && index < Self.capacity && used & 1 << UInt64(index) != 0)
            return unsafe UnsafePointer(memory + index)
        }
        // Not a change of which generations there are.
        @inline(__always) nonmutating unsafeMutableAddress {
            precondition(index >= 0 && index < Self.capacity && used & 1 << UInt64(index) != 0)
            return unsafe memory + index
        }
    }
}
