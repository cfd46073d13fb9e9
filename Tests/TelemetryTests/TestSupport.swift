import Glibc
import WeftABI

@testable import Telemetry

/// Names for the identifiers of the tests: workloads 1..., services 101..., rules 201....
struct TestDirectory: NameDirectory {
    var generation: UInt64 = 1
    var workloads: [UInt64: WorkloadLabels] = [:]
    var services: [UInt64: ServiceLabels] = [:]
    var rules: [UInt64: String] = [:]
    var routes: [UInt64: String] = [:]

    func workload(_ id: UInt64) -> WorkloadLabels? { workloads[id] }
    func service(_ id: UInt64) -> ServiceLabels? { services[id] }
    func rule(_ id: UInt64) -> String? { rules[id] }
    func route(_ id: UInt64) -> String? { routes[id] }

    static var shop: TestDirectory {
        var directory = TestDirectory()
        for (id, name) in [(UInt64(1), "client"), (2, "web-1"), (3, "web-2")] {
            directory.workloads[id] = WorkloadLabels(
                workload: name, namespace: "shop", principal: "spiffe://cluster.local/ns/shop/sa/\(name)",
                labels: ["app": "app-\(name)", "version": "v1"])
        }
        directory.services[101] = ServiceLabels(
            host: "web.shop.svc.cluster.local", name: "web", namespace: "shop", port: 80)
        directory.rules[201] = "shop/no-mallory[0]"
        return directory
    }
}

func trafficKey(
    source: UInt64 = 1, service: UInt64 = 101, destination: UInt64 = 2, lane: weft_lane = WEFT_LANE_KERNEL,
    reporter: weft_reporter = WEFT_REPORTER_SOURCE, transport: UInt8 = 6,
    addressClass: weft_address_class = WEFT_CLASS_NONE
) -> weft_traffic_key {
    var key = weft_traffic_key()
    key.source = source
    key.service = service
    key.destination = destination
    key.lane = UInt8(lane.rawValue)
    key.reporter = UInt8(reporter.rawValue)
    key.protocol = transport
    key.address_class = UInt8(addressClass.rawValue)
    return key
}

var overflowKey: weft_traffic_key {
    var key = weft_traffic_key()
    unsafe withUnsafeMutableBytes(of: &key) { bytes in
        for index in bytes.indices { unsafe bytes[index] = 0xff }
    }
    return key
}

func traffic(
    opened: UInt64 = 0, closed: UInt64 = 0, failed: UInt64 = 0, denied: UInt64 = 0, noBackend: UInt64 = 0,
    sent: UInt64 = 0, received: UInt64 = 0, rtt: [UInt64] = [], connect: [UInt64] = []
) -> weft_traffic {
    var traffic = weft_traffic()
    traffic.opened = opened
    traffic.closed = closed
    traffic.failed = failed
    traffic.denied = denied
    traffic.no_backend = noBackend
    traffic.sent_bytes = sent
    traffic.received_bytes = received
    // By the code that the programs use.
    for value in rtt { unsafe weft_histogram_add(&traffic.rtt_us, value) }
    for value in connect { unsafe weft_histogram_add(&traffic.connect_us, value) }
    return traffic
}

func requestKey(
    source: UInt64 = 1, destination: UInt64 = 2, status: UInt16 = 200, lane: weft_lane = WEFT_LANE_KERNEL,
    reporter: weft_reporter = WEFT_REPORTER_BOTH, outcome: weft_request_outcome = WEFT_REQUEST_COMPLETE
) -> weft_requests_key {
    var key = weft_requests_key()
    key.source = source
    key.service = 101
    key.destination = destination
    key.status = status
    key.lane = UInt8(lane.rawValue)
    key.reporter = UInt8(reporter.rawValue)
    key.outcome = UInt8(outcome.rawValue)
    return key
}

/// Requests by their durations in microseconds, with bodies of the same sizes.
func requests(_ durations: [UInt64], requestBody: UInt64 = 0, responseBody: UInt64 = 0) -> weft_requests {
    var requests = weft_requests()
    func count(in buckets: UnsafeMutableRawBufferPointer, at bucket: UInt32) {
        let offset = Int(bucket) * 8
        unsafe buckets.storeBytes(
            of: buckets.load(fromByteOffset: offset, as: UInt64.self) + 1, toByteOffset: offset, as: UInt64.self)
    }
    for duration in durations {
        requests.count += 1
        requests.duration.sum += duration
        requests.first_byte.sum += duration
        requests.request_body.sum += requestBody
        requests.response_body.sum += responseBody
        // By the code that the programs use.
        let bucket = weft_latency_bucket(duration)
        unsafe withUnsafeMutableBytes(of: &requests.duration.buckets) { unsafe count(in: $0, at: bucket) }
        unsafe withUnsafeMutableBytes(of: &requests.first_byte.buckets) { unsafe count(in: $0, at: bucket) }
        unsafe withUnsafeMutableBytes(of: &requests.request_body.buckets) {
            unsafe count(in: $0, at: weft_size_bucket(requestBody))
        }
        unsafe withUnsafeMutableBytes(of: &requests.response_body.buckets) {
            unsafe count(in: $0, at: weft_size_bucket(responseBody))
        }
    }
    return requests
}

/// An exposition taken apart: values by series.
struct Exposition {
    let text: String
    private(set) var values: [String: Double] = [:]
    private(set) var duplicates: [String] = []

    init(_ writer: MetricWriter) {
        text = String(decoding: writer.bytes, as: UTF8.self)
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " ") else { continue }
            let series = String(line[..<space])
            if values[series] != nil { duplicates.append(series) }
            values[series] = Double(line[line.index(after: space)...]) ?? .nan
        }
    }

    /// The sum over the series of a family whose text has all of `parts` in it.
    func sum(_ family: String, _ parts: String...) -> Double {
        values.filter { series in
            (series.key == family || series.key.hasPrefix(family + "{")) && parts.allSatisfy(series.key.contains)
        }.reduce(0) { $0 + $1.value }
    }

    func count(_ family: String) -> Int { values.keys.filter { $0 == family || $0.hasPrefix(family + "{") }.count }
}

extension TrafficMetrics {
    var exposition: Exposition {
        var writer = MetricWriter()
        write(to: &writer)
        return Exposition(writer)
    }
}

let second: UInt64 = 1_000_000_000

/// Runs a program with `input` and returns its exit status and what it said.
func run(_ arguments: [String], input: [UInt8]) throws -> (status: Int32, output: String) {
    struct Failed: Error {}
    let base = "/tmp/weft-telemetry-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    defer {
        _ = unsafe unlink(base + ".in")
        _ = unsafe unlink(base + ".out")
    }
    guard let file = unsafe fopen(base + ".in", "w") else { throw Failed() }
    _ = unsafe fwrite(input, 1, input.count, file)
    _ = unsafe fclose(file)
    let status = unsafe system("\(arguments.joined(separator: " ")) < \(base).in > \(base).out 2>&1")
    guard let output = unsafe fopen(base + ".out", "r") else { throw Failed() }
    defer { _ = unsafe fclose(output) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    let count = unsafe fread(&buffer, 1, buffer.count, output)
    return (status, String(decoding: buffer[..<count], as: UTF8.self))
}
