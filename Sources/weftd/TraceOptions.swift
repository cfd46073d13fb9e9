import Agent
import ArgumentParser
import Proxy
import Telemetry

/// What is told to collectors of OpenTelemetry, and which requests are traced.
struct TraceOptions: ParsableArguments {
    @Option(
        name: .customLong("otlp-endpoint"),
        help: ArgumentHelp(
            "A collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; without one nothing is traced.",
            valueName: "url"))
    var endpoint = Environment.value("OTLP_ENDPOINT") ?? ""

    @Option(
        name: .customLong("otlp-headers"),
        help: ArgumentHelp(
            "Header fields for the collector, with percent-encoded values.", valueName: "name=value,..."))
    var headers = Environment.value("OTLP_HEADERS") ?? ""

    @Option(
        name: .customLong("otlp-timeout"),
        help: ArgumentHelp("For one request to the collector and its answer.", valueName: "seconds"))
    var timeout = Environment.value("OTLP_TIMEOUT") ?? "10"

    @Option(
        name: .customLong("trace-sampling"),
        help: ArgumentHelp(
            "How many of the traces that begin here are sampled, such as 1%; off: requests' trace headers are passed on"
                + " as they are, and there are no spans. Failed requests always have spans.",
            valueName: "percent"))
    var sampling = Environment.value("TRACE_SAMPLING") ?? "1%"

    @Option(
        name: .customLong("trace-header"),
        help: ArgumentHelp("A request with this header field begins a sampled trace.", valueName: "name"))
    var header = Environment.value("TRACE_HEADER") ?? TracingOptions().forcingField

    @Option(
        name: .customLong("trace-propagation"),
        help: ArgumentHelp(
            "How requests that are sent on always say what trace they belong to, besides the formats that they came"
                + " with: w3c, b3, b3multi; default: w3c for those that came with none.", valueName: "format,..."))
    var propagation = Environment.value("TRACE_PROPAGATION") ?? ""

    func check() throws {
        _ = try otlp()
        _ = try tracing()
    }

    /// To be called after `check`.
    func fill(_ options: inout AgentOptions) {
        options.otlp = try? otlp()
        options.tracing = try? tracing()
    }

    private func otlp() throws -> OTLPOptions? {
        guard !endpoint.isEmpty else { return nil }
        guard let url = HTTPURL(endpoint) else {
            throw ValidationError("--otlp-endpoint: \(endpoint) is not http://HOST:PORT or https://HOST:PORT")
        }
        var options = OTLPOptions(url)
        guard let fields = OTLPOptions.headers(headers) else {
            throw ValidationError("--otlp-headers: \(headers) is not NAME=VALUE,NAME=VALUE")
        }
        options.headers = fields
        guard let seconds = Double(timeout), seconds >= 0.1, seconds <= 600 else {
            throw ValidationError("--otlp-timeout: \(timeout) is not a number of seconds from 0.1 to 600")
        }
        options.timeout = UInt64(seconds * 1000)
        return options
    }

    private func tracing() throws -> TracingOptions? {
        var options = TracingOptions()
        guard let formats = Self.formats(propagation) else {
            throw ValidationError("--trace-propagation: \(propagation) is not a list of w3c, b3 and b3multi")
        }
        options.formats = formats
        guard header.isEmpty || HTTPClient.Request.isField(name: header, value: "") else {
            throw ValidationError("--trace-header: \(header) is not the name of a header field")
        }
        options.forcingField = header.lowercased()
        if sampling == "off" { return nil }
        guard let percent = Double(sampling.hasSuffix("%") ? String(sampling.dropLast()) : sampling), percent >= 0,
            percent <= 100
        else {
            throw ValidationError("--trace-sampling: \(sampling) is not off or a percentage from 0% to 100%")
        }
        options.ratio = percent / 100
        return options
    }

    private static func formats(_ text: String) -> TraceFormats? {
        var formats: TraceFormats = []
        for name in text.split(separator: ",") {
            switch name {
            case "w3c": formats.insert(.w3c)
            case "b3": formats.insert(.b3)
            case "b3multi": formats.insert(.b3Multi)
            default: return nil
            }
        }
        return formats
    }
}
