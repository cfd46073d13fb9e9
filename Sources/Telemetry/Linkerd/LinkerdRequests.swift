import Proxy

/// Requests under Linkerd's names: `request_total`, `response_total` and `response_latency_ms`.
struct LinkerdRequests {
    /// Responses with one status.
    struct Responses: SeriesValue {
        var count: UInt64 = 0
        var firstByte = LatencyHistogram()

        mutating func add(_ other: Self) {
            count &+= other.count
            firstByte.add(other.firstByte)
        }
    }

    /// The series that an entry counts for at one of its ends.
    struct Handles {
        var requests: Int?
        var responses: Int?
    }

    private(set) var requests: SeriesTable<RequestMetrics.Requests>
    private(set) var responses: SeriesTable<Responses>

    init(limit: Int, expiry: UInt64) {
        requests = SeriesTable(limit: limit, expiry: expiry)
        responses = SeriesTable(limit: limit, expiry: expiry)
    }

    /// - Parameter labels: of `request_total`.
    mutating func count(
        _ change: RequestCounts, of key: RequestKey, for handles: inout Handles, isNew: Bool, _ now: UInt64,
        labels: () -> MetricLabels
    ) {
        requests.add(.init(count: change.count), handle: &handles.requests, isNew: isNew, now, labels: labels)
        // Who does not wait for the response gets none.
        guard key.status != 0 || !key.flags.contains(.downstreamTermination) else { return }
        responses.add(
            Responses(count: change.count, firstByte: change.firstByte), handle: &handles.responses, isNew: isNew, now
        ) {
            var labels = labels()
            // Linkerd's own classification of HTTP.
            labels.append("classification", key.status == 0 || key.status >= 500 ? "failure" : "success")
            if key.status != 0 { labels.append("status_code", "\(key.status)") }
            return labels
        }
    }

    mutating func addToOverflow(_ change: RequestCounts) {
        requests.addToOverflow(.init(count: change.count))
        responses.addToOverflow(Responses(count: change.count, firstByte: change.firstByte))
    }

    mutating func release(_ handles: Handles) {
        if let handle = handles.requests { requests.release(handle) }
        if let handle = handles.responses { responses.release(handle) }
    }

    mutating func expire(now: UInt64) {
        requests.expire(now: now)
        responses.expire(now: now)
    }

    var parts: [MetricPart] {
        let shown = responses.shown
        let rest = LinkerdLabels.overflow(["classification", "status_code"])
        return [
            requests.family(
                "request_total", .counter, help: "Requests, under Linkerd's name.", shown: requests.shown,
                rest: LinkerdLabels.overflow([])
            ) { $0.sample($1, $2.count) },
            responses.family(
                "response_total", .counter, help: "Responses, under Linkerd's name.", shown: shown, rest: rest
            ) { $0.sample($1, $2.count) },
            responses.family(
                "response_latency_ms", .histogram,
                help: "From a request's last byte to its response's first, under Linkerd's name.", shown: shown,
                rest: rest
            ) { $0.sample($1, linkerd: $2.firstByte) },
        ]
    }
}

extension MetricWriter {
    /// One histogram of request times in Linkerd's buckets, in milliseconds.
    mutating func sample(_ labels: MetricLabels, linkerd histogram: LatencyHistogram) {
        var counts = InlineArray<64, UInt64>(repeating: 0)
        LatencyMapping.linkerd.add(histogram, to: &counts)
        self.histogram(labels, .linkerd, counts, sum: histogram.sum, fraction: 3)
    }
}

/// One to five of every power of ten: milliseconds.
private let linkerdBounds: [UInt64] = [1, 10, 100, 1000, 10_000].flatMap { power in (1...5).map { $0 * power } }

extension BucketBounds {
    static let linkerd = BucketBounds(linkerdBounds.map(String.init))
}

extension LatencyMapping {
    static let linkerd = LatencyMapping(linkerdBounds.map { $0 * 1000 })
}
