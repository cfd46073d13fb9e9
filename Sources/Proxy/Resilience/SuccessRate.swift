internal import Mesh
internal import Synchronization

/// The sweep's comparison of endpoints with each other: who does worse than the others by too much is ejected.
enum SuccessRate {
    struct Result: Sendable {
        /// The endpoint's place.
        var index: Int
        var requests: UInt64
        var successes: UInt64

        /// Percent.
        var rate: Double { Double(successes) * 100 / Double(requests) }

        /// - Parameter word: all results in the upper half, successes in the lower.
        init(index: Int, word: UInt64) {
            self.index = index
            requests = word >> 32
            successes = word & 0xffff_ffff
        }
    }

    /// The places of the outliers.
    ///
    /// - Parameter results: of the interval, of the endpoints that are not ejected.
    static func outliers(_ results: [Result], _ detection: OutlierDetection) -> [Int] {
        var outliers: [Int] = []
        let rated = results.filter { $0.requests >= UInt64(max(detection.successRateRequests, 1)) }
        if detection.successRateFactor > 0, !rated.isEmpty, rated.count >= Int(detection.successRateHosts) {
            let mean = rated.reduce(0) { $0 + $1.rate } / Double(rated.count)
            let variance = rated.reduce(0) { $0 + ($1.rate - mean) * ($1.rate - mean) } / Double(rated.count)
            let threshold = mean - variance.squareRoot() * Double(detection.successRateFactor) / 1000
            outliers += rated.filter { $0.rate < threshold }.map(\.index)
        }
        let counted = results.filter { $0.requests >= UInt64(max(detection.failurePercentageRequests, 1)) }
        if detection.failurePercentage > 0, counted.count >= Int(detection.failurePercentageHosts) {
            for result in counted where 100 - result.rate >= Double(detection.failurePercentage) {
                if !outliers.contains(result.index) { outliers.append(result.index) }
            }
        }
        return outliers
    }
}
