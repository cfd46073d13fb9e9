import Mesh
import Proxy

/// Times of the tests, nanoseconds.
let second: UInt64 = 1_000_000_000
let millisecond: UInt64 = 1_000_000

extension MeshEndpoint {
    /// 127.0.0.1, port 1000 + `number`: in the order of `number`.
    static func numbered(_ number: Int, weight: UInt16 = 1) -> MeshEndpoint {
        MeshEndpoint(
            address: IPAddress(high: 0, low: UInt64(0x0000_ffff_7f00_0001).bigEndian), port: UInt16(1000 + number),
            weight: weight)
    }
}

extension ClusterConfig {
    static func test(endpoints: [MeshEndpoint], _ configure: (inout HTTPTraffic) -> Void = { _ in }) -> ClusterConfig {
        var traffic = HTTPTraffic()
        configure(&traffic)
        return ClusterConfig(
            key: ClusterKey(service: ObjectName(namespace: "shop", name: "web"), port: 80), endpoints: endpoints,
            traffic: traffic)
    }

    static func test(endpoints: Int, _ configure: (inout HTTPTraffic) -> Void = { _ in }) -> ClusterConfig {
        test(endpoints: (0..<endpoints).map { .numbered($0) }, configure)
    }
}

/// One cluster with one worker, a clock and random numbers.
final class TestCluster {
    var set: ClusterSet
    var workers: WorkerClusters
    var random = RandomBits(seed: 42)
    var now: UInt64 = 1000 * second

    init(_ config: ClusterConfig) {
        set = ClusterSet(from: [config], now: 1000 * second)
        workers = WorkerClusters(set, now: 1000 * second)
    }

    var endpoints: [Cluster.Endpoint] { self.set.clusters[0].endpoints }

    /// The place of the endpoint that is chosen; nil for none.
    func pick(_ configure: (inout PickWish) -> Void = { _ in }) -> Int? {
        var wish = PickWish()
        configure(&wish)
        guard case .endpoint(let endpoint) = workers[0].pick(wish, random: random.next(), now: now) else { return nil }
        return endpoint.index
    }

    /// How often each endpoint is chosen.
    func shares(of count: Int, _ configure: (inout PickWish) -> Void = { _ in }) -> [Int] {
        var shares = [Int](repeating: 0, count: endpoints.count)
        for _ in 0..<count {
            if let place = pick(configure) { shares[place] += 1 }
        }
        return shares
    }

    /// One whole request to an endpoint.
    func serve(_ place: Int, _ outcome: EndpointOutcome) {
        let endpoint = EndpointIndex(UInt16(place))
        workers[0].began(endpoint)
        workers[0].finished(endpoint, outcome, now: now)
    }

    func serve(_ place: Int, status: UInt16, times: Int = 1) {
        for _ in 0..<times { serve(place, EndpointOutcome(status: status, latency: millisecond)) }
    }

    func isEjected(_ place: Int) -> Bool { endpoints[place].shared.reference.value.flags.contains(.ejected) }

    func admit() -> Bool { workers[0].admit(now: now) }
    func permitRetry() -> RetryPermission { workers[0].permitRetry(now: now) }
    func admitConnection() -> Bool { workers[0].admitConnection() }
    func admitToQueue() -> Bool { workers[0].admitToQueue() }

    func replace(_ config: ClusterConfig) {
        set = ClusterSet(from: [config], previous: set, now: now)
        workers = workers.successor(for: set, now: now)
    }
}

/// Whether `count` successes out of `trials` are within 3.9 standard deviations of what `probability` lets expect: one false
/// alarm in ten thousand, and random numbers of tests are always the same.
func isPlausible(_ count: Int, of trials: Int, probability: Double) -> Bool {
    let mean = Double(trials) * probability
    let deviation = (mean * (1 - probability)).squareRoot()
    return abs(Double(count) - mean) <= 3.9 * max(deviation, 1)
}
