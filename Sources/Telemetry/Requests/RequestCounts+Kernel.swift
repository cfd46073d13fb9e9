import Proxy
import WeftABI

extension RequestCounts: SeriesValue {}

extension RequestCounts {
    /// What the kernel's programs have counted.
    init(_ requests: weft_requests) {
        self.init()
        count = requests.count
        duration = LatencyHistogram(requests.duration)
        firstByte = LatencyHistogram(requests.first_byte)
        requestBytes = SizeHistogram(requests.request_body)
        responseBytes = SizeHistogram(requests.response_body)
    }
}

extension LatencyHistogram {
    fileprivate init(_ latencies: weft_latencies) {
        self.init()
        sum = latencies.sum
        unsafe withUnsafeBytes(of: latencies.buckets) { bytes in
            for index in 0..<Self.bucketCount {
                buckets[index] = unsafe bytes.load(fromByteOffset: index * 8, as: UInt64.self)
            }
        }
    }
}

extension SizeHistogram {
    fileprivate init(_ sizes: weft_sizes) {
        self.init()
        sum = sizes.sum
        unsafe withUnsafeBytes(of: sizes.buckets) { bytes in
            for index in 0..<Self.bucketCount {
                buckets[index] = unsafe bytes.load(fromByteOffset: index * 8, as: UInt64.self)
            }
        }
    }
}
