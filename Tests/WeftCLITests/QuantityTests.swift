import Testing

@testable import weft

@Suite struct QuantityTests {
    @Test(
        arguments: [
            ("30s", 30.0), ("500ms", 0.5), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("15", 15), ("1.5s", 1.5),
            ("0s", 0),
        ] as [(String, Double)])
    func readsDurations(_ text: String, _ seconds: Double) throws {
        #expect(try #require(parseDuration(text)).seconds == seconds)
    }

    @Test(arguments: ["", "s", "5x", "-5s", "5 s", "1h-3m", "1.2.3s", "99999999999d", "∞s", "٣s"])
    func refusesOtherTexts(_ text: String) {
        #expect(parseDuration(text) == nil)
    }

    @Test(
        arguments: [
            (0, "0s"), (0.000_000_85, "0.85µs"), (0.000_256, "256µs"), (0.012_34, "12.3ms"), (0.999_9, "1.00s"),
            (4.5, "4.50s"),
            (200, "3m20s"), (7500, "2h5m"), (600, "10m"), (180_000, "2d2h"), (-3, "-3.00s"),
        ] as [(Double, String)])
    func writesDurations(_ seconds: Double, _ text: String) {
        #expect(formatSeconds(seconds) == text)
    }

    @Test(
        arguments: [
            (0, "0B"), (1023, "1023B"), (1024, "1.00KiB"), (1_048_575, "1.00MiB"), (12_902_400, "12.3MiB"),
            (UInt64.max, "16384PiB"),
        ] as [(UInt64, String)])
    func writesBytes(_ bytes: UInt64, _ text: String) {
        #expect(formatBytes(bytes) == text)
    }

    @Test(
        arguments: [(0.9, "90.00%"), (1.0 / 3, "33.33%"), (1, "100.00%"), (0.0001, "0.01%"), (0, "0.00%")]
            as [(Double, String)])
    func writesShares(_ share: Double, _ text: String) {
        #expect(formatShare(share) == text)
    }

    @Test func cutsTextByColumns() {
        #expect(cut("shop/web", to: 8) == "shop/web")
        #expect(cut("shop/web-1", to: 8) == "shop/we…")
        #expect(cut("店店店", to: 5) == "店店…")
        #expect(cut("店店店", to: 4) == "店…")
        #expect(cut("abc", to: 1) == "…" && cut("abc", to: 0) == "")
        #expect(displayWidth("e\u{301}店") == 3)
    }
}
