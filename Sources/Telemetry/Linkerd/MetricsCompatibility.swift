/// Names of other meshes that metrics are shown under besides Weft's own.
public enum MetricsCompatibility: String, CaseIterable, Sendable {
    /// What Linkerd's dashboards query.
    /// Source: https://linkerd.io/2/reference/proxy-metrics
    case linkerd

    /// A list as on the command line, its parts separated by commas; nil if one of them is unknown.
    public static func list(_ text: String) -> Set<MetricsCompatibility>? {
        var list: Set<MetricsCompatibility> = []
        for part in text.split(separator: ",") {
            guard let one = MetricsCompatibility(rawValue: part.filter { $0 != " " }) else { return nil }
            list.insert(one)
        }
        return list
    }
}
