import Proxy

extension RequestMetrics {
    /// Every family of requests, as of now.
    public var parts: [MetricPart] {
        let shown = requests.shown
        func family(
            _ name: String, _ kind: MetricWriter.Kind, help: String,
            sample: @escaping (inout MetricWriter, MetricLabels, RequestCounts) -> Void
        ) -> MetricPart {
            requests.family(name, kind, help: help, shown: shown, rest: Self.overflow, sample: sample)
        }
        return [
            family("istio_requests_total", .counter, help: "Requests.") { $0.sample($1, $2.count) },
            durations(shown),
            family("istio_request_bytes", .histogram, help: "Sizes of requests' bodies.") {
                $0.sample($1, bytes: $2.requestBytes)
            },
            family("istio_response_bytes", .histogram, help: "Sizes of responses' bodies.") {
                $0.sample($1, bytes: $2.responseBytes)
            },
            Self.counter(
                routes, "weft_route_requests_total", help: "Requests by the rule that decided about them.",
                ["destination_service", "route", "response_code"]),
            templates.family(
                "weft_http_route_requests_total", .counter,
                help: "Requests by the route template of their service that they meet.", shown: templates.shown,
                rest: Self.templateOverflow
            ) { $0.sample($1, $2.count) },
            templates.family(
                "weft_http_route_duration_milliseconds", .histogram,
                help: "From a request's first byte to its answer's last, by route template.", shown: templates.shown,
                rest: Self.templateOverflow
            ) { $0.sample($1, milliseconds: $2.duration) },
            Self.counter(
                unparsed, "weft_http_unparsed_total",
                help: "Requests that the kernel's programs have seen begin and could not follow.",
                ["reporter", "source", "destination_service", "lane"]),
        ] + (linkerd?.parts ?? [])
    }

    /// Writes all of it.
    public func write(to writer: inout MetricWriter) {
        for part in parts { part.write(to: &writer) }
    }

    /// The only ones with exemplars, which are by the series' handles.
    private func durations(_ shown: [Int]) -> MetricPart {
        let exemplars = exemplars
        let requests = requests
        return MetricPart(steps: shown.count + 2) { step, writer in
            if step == 0 {
                writer.family(
                    "istio_request_duration_milliseconds", .histogram,
                    help: "From a request's first byte to its answer's last.")
            } else if step <= shown.count {
                let handle = shown[step - 1]
                writer.sample(
                    requests.labels[handle], milliseconds: requests.values[handle].duration,
                    exemplars: writer.format == .openMetrics ? exemplars[handle]?.rendered : nil)
            } else if let rest = requests.overflow {
                writer.sample(Self.overflow, milliseconds: rest.duration)
            }
        }
    }

    private static func counter(
        _ table: SeriesTable<Requests>, _ name: String, help: String, _ labels: [String]
    ) -> MetricPart {
        table.family(
            name, .counter, help: help, shown: table.shown, rest: MetricLabels(labels.map { ($0, overflowName) })
        ) { $0.sample($1, $2.count) }
    }

    private static let overflowName = "overflow"

    private static let templateOverflow = MetricLabels(
        ["reporter", "destination_service", "http_route", "response_code"].map { ($0, overflowName) })

    private static let overflow = KnownNames.istioLabels(
        reporter: overflowName, source: nil, destination: nil, service: nil, cluster: overflowName,
        transport: overflowName, code: overflowName, flags: overflowName, security: overflowName, lane: overflowName,
        missing: overflowName)
}
