import Agent
import ArgumentParser
import Telemetry

/// What of the telemetry is measured, shown and exported.
struct TelemetryOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Series that a group of metrics shows at most; what does not fit is counted in an overflow series.",
            valueName: "count"))
    var maxSeries = Environment.value("MAX_SERIES").flatMap { Int($0) } ?? 5000

    @Option(
        help: ArgumentHelp(
            "Other meshes' names to show metrics under besides, separated by commas: linkerd.", valueName: "names"))
    var metricsCompat = Environment.value("METRICS_COMPAT") ?? ""

    /// Checks what the parser cannot.
    func check() throws {
        guard MetricsCompatibility.list(metricsCompat) != nil else {
            throw ValidationError("--metrics-compat: \(metricsCompat) is not linkerd")
        }
        guard (1...1_000_000).contains(maxSeries) else {
            throw ValidationError("--max-series: \(maxSeries) is not from 1 to 1000000")
        }
    }

    func fill(_ options: inout AgentOptions) {
        options.maxSeries = maxSeries
        options.metricsCompatibility = MetricsCompatibility.list(metricsCompat) ?? []
    }
}
