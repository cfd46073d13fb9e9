public import Mesh
internal import Synchronization

/// A cluster in one generation of the configuration: the settings, and who owns the memory that workers share.
public final class Cluster: Sendable {
    public let config: ClusterConfig
    /// In the order of `config.endpoints`, which is the order of `EndpointIndex`.
    public let endpoints: [Endpoint]
    public let shared: SharedCell<ClusterShared>
    let table: HashTable?
    let hashNames: HashSourceNames
    /// `sessionID`s in order, to find the endpoint of a session.
    let sessions: SharedTable<SessionPlace>

    public struct Endpoint: Sendable {
        public let config: MeshEndpoint
        public let shared: SharedCell<EndpointShared>
        /// Never used for another endpoint as long as the agent runs: what pools of connections can be kept by.
        public let identity: UInt64
        /// What cookies and headers name it by: the same on every node and after a restart.
        public let sessionID: UInt64
    }

    struct SessionPlace: BitwiseCopyable, Sendable {
        var id: UInt64
        var index: EndpointIndex
    }

    private struct Place: Hashable {
        var address: IPAddress
        var port: UInt16
    }

    private static let lastIdentity = Atomic<UInt64>(0)

    /// - Parameter previous: the cluster of this key in the generation before.
    init(_ config: ClusterConfig, previous: Cluster?, now: UInt64) {
        var config = config
        if config.endpoints.count > Int(UInt16.max) { config.endpoints.removeSubrange(Int(UInt16.max)...) }
        self.config = config
        shared = previous?.shared ?? SharedCell(ClusterShared(now: now))

        var known: [Place: Endpoint] = [:]
        for endpoint in previous?.endpoints ?? [] {
            known[Place(address: endpoint.config.address, port: endpoint.config.port)] = endpoint
        }
        let isChecked = config.traffic.healthCheck != nil
        endpoints = config.endpoints.map { endpoint in
            if let old = known.removeValue(forKey: Place(address: endpoint.address, port: endpoint.port)) {
                return Endpoint(
                    config: endpoint, shared: old.shared, identity: old.identity, sessionID: old.sessionID)
            }
            // As in Envoy a new endpoint takes nothing before its first check.
            let flags: EndpointShared.Flags = isChecked ? [.failedCheck, .awaitsCheck] : []
            return Endpoint(
                config: endpoint, shared: SharedCell(EndpointShared(flags: flags, now: now)),
                identity: Self.lastIdentity.wrappingAdd(1, ordering: .relaxed).newValue,
                sessionID: Self.sessionID(config.key, endpoint))
        }
        for gone in known.values { gone.shared.reference.value.set(.removed) }
        if let previous, previous.config.endpoints == config.endpoints,
            previous.config.traffic.balancer.algorithm == config.traffic.balancer.algorithm
        {
            table = previous.table
        } else {
            table = HashTable(config.traffic.balancer.algorithm, endpoints: config.endpoints)
        }
        hashNames = HashSourceNames(config.traffic.balancer.hashKey)
        sessions = SharedTable(
            endpoints.enumerated()
                .map { SessionPlace(id: $1.sessionID, index: EndpointIndex($0)) }
                .sorted { $0.id < $1.id })
        settle()
    }

    /// Brings the state that is carried over in line with the new settings.
    private func settle() {
        var ejected: UInt32 = 0
        for index in endpoints.indices {
            if config.traffic.healthCheck == nil {
                endpoints[index].shared.reference.value.clear([.failedCheck, .awaitsCheck])
            }
            if config.traffic.outlier == nil { endpoints[index].shared.reference.value.clear(.ejected) }
            if endpoints[index].shared.reference.value.flags.contains(.ejected) { ejected += 1 }
        }
        shared.reference.value.ejected.store(ejected, ordering: .relaxed)
        shared.reference.value.changed()
    }

    private static func sessionID(_ key: ClusterKey, _ endpoint: MeshEndpoint) -> UInt64 {
        var hash = mix64(endpoint.address.high ^ 0x9e37_79b9_7f4a_7c15)
        hash = mix64(hash ^ endpoint.address.low)
        hash = mix64(hash ^ UInt64(endpoint.port))
        // Not the subset: a session outlives a change of the split.
        for byte in "\(key.service):\(key.port)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return mix64(hash)
    }

    // MARK: - Outlier detection

    func detector(_ endpoint: Endpoint) -> OutlierDetector? {
        config.traffic.outlier.map {
            OutlierDetector(
                settings: OutlierDetector.Settings($0), endpoint: endpoint.shared.reference, cluster: shared.reference,
                endpoints: UInt32(endpoints.count))
        }
    }

    /// Ends ejections whose time is over, and compares success rates, if it is time to.
    func sweep(now: UInt64) {
        guard let outlier = config.traffic.outlier else { return }
        let interval = max(UInt64(outlier.interval), 1) * 1_000_000
        let due = shared.reference.value.nextSweep.load(ordering: .relaxed)
        guard due != 0 else { return shared.reference.value.nextSweep.store(now + interval, ordering: .relaxed) }
        guard now >= due else { return }
        shared.reference.value.nextSweep.store(now + interval, ordering: .relaxed)

        var results: [SuccessRate.Result] = []
        var localResults: [SuccessRate.Result] = []
        for (index, endpoint) in endpoints.enumerated() {
            detector(endpoint)?.sweep(now: now)
            let word = endpoint.shared.reference.value.intervalResults.exchange(0, ordering: .relaxed)
            let localWord = endpoint.shared.reference.value.intervalLocalResults.exchange(0, ordering: .relaxed)
            guard !endpoint.shared.reference.value.flags.contains(.ejected) else { continue }
            results.append(SuccessRate.Result(index: index, word: word))
            localResults.append(SuccessRate.Result(index: index, word: localWord))
        }
        for index in SuccessRate.outliers(results, outlier) { detector(endpoints[index])?.eject(now: now) }
        guard outlier.splitsLocalErrors else { return }
        for index in SuccessRate.outliers(localResults, outlier) { detector(endpoints[index])?.eject(now: now) }
    }

    // MARK: - Health and drains

    /// What an active health check found.
    func setHealth(of endpoint: Endpoint, isHealthy: Bool, now: UInt64) {
        if isHealthy {
            // An endpoint that passes its check is not an outlier any more (Envoy's default).
            detector(endpoint)?.admit()
            let before = endpoint.shared.reference.value.flags
            guard before.contains(.failedCheck) else { return }
            // Slow start begins again with every recovery.
            endpoint.shared.reference.value.readySince.store(now, ordering: .relaxed)
            endpoint.shared.reference.value.clear([.failedCheck, .awaitsCheck])
        } else {
            let before = endpoint.shared.reference.value.set(.failedCheck)
            endpoint.shared.reference.value.clear(.awaitsCheck)
            guard !before.contains(.failedCheck) else { return }
        }
        shared.reference.value.changed()
    }

    /// A drain ordered at run time: new requests go elsewhere, but for those of the endpoint's sessions.
    public func setDraining(_ isDraining: Bool, address: IPAddress, port: UInt16) {
        for endpoint in endpoints where endpoint.config.address == address && endpoint.config.port == port {
            if isDraining {
                endpoint.shared.reference.value.set(.draining)
            } else {
                endpoint.shared.reference.value.clear(.draining)
            }
            shared.reference.value.changed()
        }
    }
}
