import Agent
import ArgumentParser

/// What of the telemetry is measured, shown and exported.
struct TelemetryOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Series that a group of metrics shows at most; what does not fit is counted in an overflow series.",
            valueName: "count"))
    var maxSeries = Environment.value("MAX_SERIES").flatMap { Int($0) } ?? 5000

    /// Checks what the parser cannot.
    func check() throws {
        guard (1...1_000_000).contains(maxSeries) else {
            throw ValidationError("--max-series: \(maxSeries) is not from 1 to 1000000")
        }
    }

    func fill(_ options: inout AgentOptions) {
        options.maxSeries = maxSeries
    }
}
