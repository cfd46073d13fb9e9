/// How much of a response's body may go to its client: an injected fault. As in Envoy's fault filter, a sixteenth of a
/// second's bytes at a time, and what was not used of a second at most at once.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/fault_filter
struct ResponseThrottle: BitwiseCopyable {
    private static let second: UInt64 = 1_000_000_000
    private static let slices: UInt64 = 16

    /// Bytes in a second; 0: as fast as it can.
    private var rate: UInt64 = 0
    private var credit: UInt64 = 0
    /// Up to when the credit has been given, nanoseconds; 0: nothing was asked for yet.
    private var givenUntil: UInt64 = 0

    init() {}

    /// - Parameter kibibytesPerSecond: 8 GiB/s at most count; 0: none.
    init(kibibytesPerSecond: UInt32) { rate = min(UInt64(kibibytesPerSecond) << 10, 1 << 33) }

    var isOn: Bool { rate > 0 }

    private var slice: UInt64 { rate / Self.slices }

    /// How many of so many bytes may be sent now; 0: they wait.
    mutating func permits(_ count: Int, now: UInt64) -> Int {
        if givenUntil == 0 {
            givenUntil = now
            credit = slice
        }
        let elapsed = now - min(givenUntil, now)
        if elapsed >= Self.second {
            credit = rate
            givenUntil = now
        } else {
            let earned = elapsed * rate / Self.second
            credit = min(credit + earned, rate)
            // Rounded up: what is given is never more than the rate.
            givenUntil += (earned * Self.second + rate - 1) / rate
        }
        guard credit >= min(slice, UInt64(count)) else { return 0 }
        return min(count, Int(credit))
    }

    mutating func spend(_ count: Int) { credit -= min(UInt64(count), credit) }

    /// Nanoseconds until so many bytes, or as many as go at a time, are permitted.
    func delay(of count: Int) -> UInt64 {
        let wanted = min(slice, UInt64(count))
        return wanted > credit ? (wanted - credit) * Self.second / rate : 0
    }
}
