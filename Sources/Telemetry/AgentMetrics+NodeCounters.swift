import WeftABI

extension AgentMetrics {
    /// Takes the sums of the kernel's `node_counters`, in the order of enum weft_node_counter.
    public mutating func take(nodeCounters: [UInt64]) {
        func counter(_ counter: weft_node_counter) -> UInt64 {
            let index = Int(counter.rawValue)
            return index < nodeCounters.count ? nodeCounters[index] : 0
        }
        losses += [
            ("flows", counter(WEFT_COUNT_FLOWS_LOST)),
            ("traffic", counter(WEFT_COUNT_TRAFFIC_OVERFLOW)),
            ("sockets", counter(WEFT_COUNT_SOCKETS_UNTRACKED)),
            ("tuples", counter(WEFT_COUNT_TUPLES_LOST)),
            ("affinity", counter(WEFT_COUNT_AFFINITY_LOST)),
            ("tap_kernel", counter(WEFT_COUNT_TAPS_LOST)),
            ("udp_peers", counter(WEFT_COUNT_UDP_PEERS_EVICTED)),
        ]
        failedClosed += counter(WEFT_COUNT_FAIL_CLOSED)
    }
}
