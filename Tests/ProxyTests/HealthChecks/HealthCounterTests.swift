import Mesh
import Testing

@testable import Proxy

@Suite("Health checks: thresholds")
struct HealthCounterTests {
    /// s: success, f: failure, r: refusal; then what the endpoint counts as after each of them.
    static let rows: [(results: String, states: String)] = [
        ("s", "+"), ("f", "-"), ("r", "-"),
        // The first success is enough, later two are needed.
        ("ss", "++"), ("fs", "--"), ("fss", "--+"), ("fsfs", "----"), ("fsfss", "----+"),
        // Three failures are needed, in a row.
        ("sf", "++"), ("sff", "+++"), ("sfff", "+++-"), ("sffsff", "++++++"), ("sffsfff", "++++++-"),
        ("sfffsfss", "+++----+"),
        // A refusal is enough.
        ("sr", "+-"), ("srss", "+--+"), ("sfr", "++-"),
    ]

    @Test(arguments: rows)
    func countsAsEnvoyDoes(results: String, states: String) {
        var check = HealthCheck(probe: .tcp)
        check.healthyThreshold = 2
        check.unhealthyThreshold = 3
        var counter = HealthCounter()
        var isHealthy = false
        var seen = ""
        for letter in results {
            let result: HealthCounter.Result = letter == "s" ? .success : letter == "f" ? .failure : .refusal
            isHealthy = counter.record(result, check, isHealthy: isHealthy)
            seen += isHealthy ? "+" : "-"
        }
        #expect(seen == states)
    }
}
