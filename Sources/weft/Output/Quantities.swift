/// Durations, sizes and shares as people read and write them.

/// A duration as it is typed: `500ms`, `30s`, `5m`, `1h30m`, `2d`; a bare number is seconds.
func parseDuration(_ text: String) -> Duration? {
    var rest = Substring(text)
    var total: Duration = .zero
    if let seconds = UInt32(text) { return .seconds(Int64(seconds)) }
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
        let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        rest = rest.dropFirst(digits.count)
        let unit = rest.prefix { $0.isLetter }
        rest = rest.dropFirst(unit.count)
        let seconds: Double
        switch unit {
        case "ms": seconds = 0.001
        case "s": seconds = 1
        case "m": seconds = 60
        case "h": seconds = 3600
        case "d": seconds = 86400
        default: return nil
        }
        guard let count = Double(digits), count.isFinite, count * seconds < 3_200_000_000 else { return nil }
        total += .seconds(count * seconds)
    }
    return total
}

extension Duration {
    var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}

/// Three figures and a unit: `850µs`, `12.3ms`, `4.5s`, `3m20s`, `2h5m`.
func formatSeconds(_ seconds: Double) -> String {
    switch seconds {
    case ..<0: "-" + formatSeconds(-seconds)
    case 0: "0s"
    case ..<0.000_999_5: figures(seconds * 1_000_000) + "µs"
    case ..<0.999_5: figures(seconds * 1000) + "ms"
    case ..<59.95: figures(seconds) + "s"
    default: formatWholeSeconds(seconds)
    }
}

/// A time left or a time-out, which nobody wants to know to the millisecond: `3s`, `10m`, `1h30m`.
func formatWholeSeconds(_ seconds: Double) -> String {
    let whole = Int(max(0, seconds).rounded())
    return switch whole {
    case ..<60: "\(whole)s"
    case ..<3600: parts(whole / 60, "m", whole % 60, "s")
    case ..<86400: parts(whole / 3600, "h", whole % 3600 / 60, "m")
    default: parts(whole / 86400, "d", whole % 86400 / 3600, "h")
    }
}

private func parts(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
    "\(large)\(largeUnit)" + (small == 0 ? "" : "\(small)\(smallUnit)")
}

/// The bound of a bucket, which is a power of two, in whole units: `<16µs`, `<4ms`, `<2s`.
func formatBound(microseconds: Double) -> String {
    switch microseconds {
    case ..<1000: fixed(microseconds, decimals: 0) + "µs"
    case ..<1_000_000: fixed(microseconds / 1000, decimals: 0) + "ms"
    default: fixed(microseconds / 1_000_000, decimals: 0) + "s"
    }
}

/// `950B`, `12.3KiB`, `4.0MiB` (IEC 80000-13).
func formatBytes(_ bytes: UInt64) -> String {
    guard bytes >= 1024 else { return "\(bytes)B" }
    var amount = Double(bytes)
    var unit = 0
    while amount >= 1023.5 && unit < 5 {
        amount /= 1024
        unit += 1
    }
    return figures(amount) + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]
}

/// `12.50%`; two decimals show a weight of one in ten thousand.
func formatShare(_ share: Double) -> String { fixed(share * 100, decimals: 2) + "%" }

/// Three significant figures, as many decimals as that needs.
private func figures(_ number: Double) -> String {
    number >= 99.95
        ? fixed(number, decimals: 0) : number >= 9.995 ? fixed(number, decimals: 1) : fixed(number, decimals: 2)
}

/// A number that is not negative with a fixed count of decimals.
func fixed(_ number: Double, decimals: Int) -> String {
    guard number.isFinite, number >= 0, number < 1e15 else { return "\(number)" }
    let scale = (0..<decimals).reduce(UInt64(1)) { scale, _ in scale * 10 }
    let scaled = UInt64((number * Double(scale)).rounded())
    guard decimals > 0 else { return "\(scaled)" }
    let fraction = "\(scaled % scale)"
    return "\(scaled / scale)." + String(repeating: "0", count: decimals - fraction.count) + fraction
}
