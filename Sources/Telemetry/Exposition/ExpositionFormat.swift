/// The formats in which metrics are written.
public enum ExpositionFormat: Sendable {
    /// Prometheus's text format 0.0.4.
    /// Source: https://prometheus.io/docs/instrumenting/exposition_formats/
    case text
    /// Source: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
    case openMetrics

    /// The value of the Content-Type header.
    public var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// The one that a client prefers, by its Accept header (RFC 9110 §12.5.1); the text format if it names neither.
    ///
    /// OpenMetrics counts if it is named with version 1.0.0, or without a version.
    public init(accept: String?) {
        var best = (weight: 0, format: Self.text)
        for item in (accept ?? "").split(separator: ",").prefix(32) {
            var parameters = item.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard !parameters.isEmpty else { continue }
            let type = parameters.removeFirst()
            var weight = 1000
            var version: String?
            for parameter in parameters {
                if parameter.hasPrefix("q=") { weight = Self.weight(parameter.dropFirst(2)) }
                if parameter.hasPrefix("version=") {
                    version = String(parameter.dropFirst(8).filter { $0 != "\"" })
                }
            }
            let format: Self? =
                switch type {
                case "application/openmetrics-text" where version == nil || version == "1.0.0": .openMetrics
                case "text/plain", "text/*", "*/*": .text
                default: nil
                }
            if let format, weight > best.weight { best = (weight, format) }
        }
        self = best.format
    }

    /// Thousandths; what is not a weight is 0.
    private static func weight(_ text: Substring) -> Int {
        guard let value = Double(String(text)), value >= 0, value <= 1 else { return 0 }
        return Int(value * 1000)
    }
}
