import Testing
import WeftABI

/// bpf/lib/histogram.h, as it is compiled into the programs.
@Suite("Histogram buckets")
struct HistogramTests {
    @Test("A value lies in the bucket of the bits that it needs: below 2^i and not below 2^(i-1)")
    func borders() {
        #expect(weft_histogram_bucket(0) == 0)
        for bucket in 1..<UInt32(WEFT_HISTOGRAM_BUCKETS - 1) {
            let lower = UInt64(1) << (bucket - 1)
            let upper = UInt64(1) << bucket
            #expect(weft_histogram_bucket(lower) == bucket)
            #expect(weft_histogram_bucket(upper - 1) == bucket)
            #expect(weft_histogram_bucket(upper) == bucket + 1)
        }
    }

    @Test("Everything too large is in the last bucket, up to 2^64 - 1")
    func lastBucket() {
        let last = UInt32(WEFT_HISTOGRAM_BUCKETS - 1)
        for shift in UInt64(last - 1)..<64 {
            #expect(weft_histogram_bucket(1 << shift) == last)
        }
        #expect(weft_histogram_bucket(.max) == last)
    }

    @Test("Adding counts once and sums the value")
    func adding() {
        var histogram = weft_histogram()
        for value: UInt64 in [0, 1, 1, 3, 1000, 5_000_000_000] {
            unsafe weft_histogram_add(&histogram, value)
        }
        #expect(histogram.sum == 5_000_001_005)
        let counts = unsafe withUnsafeBytes(of: histogram.buckets) { unsafe Array($0.bindMemory(to: UInt64.self)) }
        #expect(counts.reduce(0, +) == 6)
        #expect(counts[0] == 1)
        #expect(counts[1] == 2)
        #expect(counts[2] == 1)
        #expect(counts[10] == 1)
        #expect(counts[Int(WEFT_HISTOGRAM_BUCKETS) - 1] == 1)
    }
}
