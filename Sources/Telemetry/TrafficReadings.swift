public import WeftABI

/// Readings of the kernel's `traffic` map as the reporters' own: a connection within the node is counted once, at its
/// client's end, and here becomes what each end would have counted.
public enum TrafficReadings {
    /// - Parameter readings: entries of the map, summed over the CPUs.
    /// - Returns: entries whose reporter is the source or the destination, one for each key.
    public static func byReporter(
        _ readings: some Sequence<(key: weft_traffic_key, sum: weft_traffic)>
    ) -> [(weft_traffic_key, weft_traffic)] {
        var merged: [TrafficKey: (weft_traffic_key, weft_traffic)] = [:]
        func add(_ key: weft_traffic_key, _ traffic: weft_traffic) {
            let identity = TrafficKey(key)
            if let known = merged[identity] {
                merged[identity] = (key, sum(known.1, traffic))
            } else {
                merged[identity] = (key, traffic)
            }
        }
        for (key, traffic) in readings {
            guard UInt32(key.reporter) == WEFT_REPORTER_BOTH.rawValue else {
                add(key, traffic)
                continue
            }
            var side = key
            side.reporter = UInt8(truncatingIfNeeded: WEFT_REPORTER_SOURCE.rawValue)
            add(side, traffic)
            side.reporter = UInt8(truncatingIfNeeded: WEFT_REPORTER_DESTINATION.rawValue)
            add(side, mirrored(traffic))
        }
        return Array(merged.values)
    }

    /// The server's view: what the client sent it has received. Failed connections never reached it, and retransmissions
    /// and times are the client's own.
    private static func mirrored(_ traffic: weft_traffic) -> weft_traffic {
        var mirror = weft_traffic()
        mirror.opened = traffic.opened
        mirror.closed = traffic.closed
        mirror.sent_bytes = traffic.received_bytes
        mirror.received_bytes = traffic.sent_bytes
        mirror.sent_segments = traffic.received_segments
        mirror.received_segments = traffic.sent_segments
        return mirror
    }

    /// All counters of the structure are 64-bit words.
    private static func sum(_ a: weft_traffic, _ b: weft_traffic) -> weft_traffic {
        var total = a
        unsafe withUnsafeMutableBytes(of: &total) { total in
            unsafe withUnsafeBytes(of: b) { other in
                for offset in stride(from: 0, to: total.count, by: 8) {
                    let left = unsafe total.load(fromByteOffset: offset, as: UInt64.self)
                    let right = unsafe other.load(fromByteOffset: offset, as: UInt64.self)
                    unsafe total.storeBytes(of: left &+ right, toByteOffset: offset, as: UInt64.self)
                }
            }
        }
        return total
    }
}
