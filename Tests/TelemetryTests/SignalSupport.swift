import Proxy
import WeftABI

@testable import Telemetry

/// Counters of a small node as the kernel and a worker have them, and the signals that are kept of them.
struct SignalBench {
    var directory = TestDirectory.shop
    let worker = WorkerStatistics(capacity: 64)
    var traffic: [(key: weft_traffic_key, sum: weft_traffic)] = []
    var requests: [(key: weft_requests_key, sum: weft_requests)] = []
    var signals: GoldenSignals
    /// Seconds.
    private(set) var now: UInt64 = 1000

    /// - Parameter limit: changes that are kept.
    init(limit: Int = 250_000) {
        signals = GoldenSignals(limit: limit)
        directory.workloads[1]?.isLocal = true
        directory.workloads[2]?.isLocal = true
        directory.services[102] = ServiceLabels(
            host: "web.shop.svc.cluster.local", name: "web", namespace: "shop", port: 443)
        directory.routes[301] = "HTTPRoute shop/web rule 0"
    }

    /// Reads the counters after so many seconds.
    @discardableResult
    mutating func read(after seconds: UInt64 = 5) -> Bool {
        now += seconds
        return signals.update(
            traffic: traffic, requests: requests, workers: [worker], directory: directory, now: now * second)
    }

    /// What the kernel has read of requests: more of an entry, or a new one.
    mutating func count(_ count: Int, _ key: weft_requests_key, microseconds: UInt64 = 700, bytes: UInt64 = 10) {
        let index =
            requests.firstIndex { isEqual($0.key, key) }
            ?? {
                requests.append((key, weft_requests()))
                return requests.count - 1
            }()
        for _ in 0..<count {
            requests[index].sum.count += 1
            unsafe weft_add_latency(&requests[index].sum.duration, microseconds)
            requests[index].sum.request_body.sum += bytes
            requests[index].sum.response_body.sum += 10 * bytes
        }
    }

    private func isEqual(_ a: weft_requests_key, _ b: weft_requests_key) -> Bool {
        unsafe withUnsafeBytes(of: a) { a in unsafe withUnsafeBytes(of: b) { unsafe a.elementsEqual($0) } }
    }

    /// A request that the proxy has carried.
    func proxy(
        _ count: Int = 1, source: UInt64 = 1, service: UInt64 = 101, destination: UInt64 = 2, status: UInt16 = 200,
        flags: ResponseFlags = [], rule: UInt64 = 301, isInbound: Bool = false, microseconds: UInt64 = 700
    ) {
        for _ in 0..<count {
            var record = RequestRecord()
            record.source = source
            record.service = service
            record.destination = destination
            record.status = status
            record.flags = flags
            record.rule = rule
            record.isInbound = isInbound
            record.started = second
            record.ended = second + microseconds * 1000
            worker.record(record)
        }
    }

    /// The sums of the service `shop/web`.
    func web(window: UInt64) -> SignalTotals {
        signals.services(window: window * second).totals[ServiceName(namespace: "shop", name: "web")] ?? SignalTotals()
    }

    func workload(_ name: String, window: UInt64 = 60) -> SignalTotals {
        signals.workloads(window: window * second).totals[ServiceName(namespace: "shop", name: name)] ?? SignalTotals()
    }
}

/// In the bucket that the programs choose.
private func weft_add_latency(_ latencies: UnsafeMutablePointer<weft_latencies>, _ microseconds: UInt64) {
    unsafe latencies.pointee.sum += microseconds
    let bucket = Int(weft_latency_bucket(microseconds))
    unsafe withUnsafeMutableBytes(of: &latencies.pointee.buckets) { bytes in
        let count = unsafe bytes.load(fromByteOffset: bucket * 8, as: UInt64.self)
        unsafe bytes.storeBytes(of: count + 1, toByteOffset: bucket * 8, as: UInt64.self)
    }
}

func requestsKey(
    source: UInt64 = 1, service: UInt64 = 101, destination: UInt64 = 2, status: UInt16 = 200,
    lane: weft_lane = WEFT_LANE_KERNEL, reporter: weft_reporter = WEFT_REPORTER_BOTH,
    outcome: weft_request_outcome = WEFT_REQUEST_COMPLETE
) -> weft_requests_key {
    var key = weft_requests_key()
    key.source = source
    key.service = service
    key.destination = destination
    key.status = status
    key.lane = UInt8(lane.rawValue)
    key.reporter = UInt8(reporter.rawValue)
    key.outcome = UInt8(outcome.rawValue)
    return key
}
