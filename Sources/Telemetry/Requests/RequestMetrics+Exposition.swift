import Proxy

extension RequestMetrics {
    /// Writes every family of requests.
    public func write(to writer: inout MetricWriter) {
        func each(_ body: (MetricLabels, RequestCounts) -> Void) {
            for series in requests.shown { body(series.labels, series.value) }
            if let rest = requests.overflow { body(Self.overflow, rest) }
        }
        writer.family("istio_requests_total", .counter, help: "Requests.")
        each { writer.sample($0, $1.count) }
        writer.family(
            "istio_request_duration_milliseconds", .histogram, help: "From a request's first byte to its answer's last."
        )
        each { writer.sample($0, milliseconds: $1.duration) }
        writer.family("istio_request_bytes", .histogram, help: "Sizes of requests' bodies.")
        each { writer.sample($0, bytes: $1.requestBytes) }
        writer.family("istio_response_bytes", .histogram, help: "Sizes of responses' bodies.")
        each { writer.sample($0, bytes: $1.responseBytes) }

        writer.family("weft_route_requests_total", .counter, help: "Requests by the rule that decided about them.")
        Self.write(routes, overflow: ["destination_service", "route", "response_code"], to: &writer)
        writer.family(
            "weft_http_unparsed_total", .counter,
            help: "Requests that the kernel's programs have seen begin and could not follow.")
        Self.write(unparsed, overflow: ["reporter", "source", "destination_service", "lane"], to: &writer)
    }

    private static func write(
        _ table: SeriesTable<Requests>, overflow: [String], to writer: inout MetricWriter
    ) {
        for series in table.shown { writer.sample(series.labels, series.value.count) }
        guard let rest = table.overflow else { return }
        writer.sample(MetricLabels(overflow.map { ($0, overflowName) }), rest.count)
    }

    private static let overflowName = "overflow"

    private static let overflow = KnownNames.istioLabels(
        reporter: overflowName, source: nil, destination: nil, service: nil, cluster: overflowName,
        transport: overflowName, code: overflowName, flags: overflowName, security: overflowName, lane: overflowName,
        missing: overflowName)
}
