/// Connections under Linkerd's names: `tcp_open_total` and its like.
struct LinkerdConnections: SeriesValue {
    var opened: UInt64 = 0
    var closed: UInt64 = 0
    /// As the workload's own end counts them.
    var read: UInt64 = 0
    var written: UInt64 = 0

    init() {}

    init(_ connections: TrafficMetrics.Connections, isInbound: Bool) {
        opened = connections.opened
        closed = connections.closed
        read = isInbound ? connections.requestBytes : connections.responseBytes
        written = isInbound ? connections.responseBytes : connections.requestBytes
    }

    mutating func add(_ other: Self) {
        opened &+= other.opened
        closed &+= other.closed
        read &+= other.read
        written &+= other.written
    }

    /// Connections that are open are shown, however long nothing moves on them.
    var mayExpire: Bool { opened <= closed }
}

extension SeriesTable<LinkerdConnections> {
    var parts: [MetricPart] {
        let shown = shown
        let rest = LinkerdLabels.overflow(["peer"])
        func family(
            _ name: String, _ kind: MetricWriter.Kind, help: String, value: @escaping (LinkerdConnections) -> UInt64
        ) -> MetricPart {
            self.family(name, kind, help: "\(help), under Linkerd's name.", shown: shown, rest: rest) {
                $0.sample($1, value($2))
            }
        }
        return [
            family("tcp_open_total", .counter, help: "Connections opened") { $0.opened },
            family("tcp_close_total", .counter, help: "Connections closed") { $0.closed },
            family("tcp_open_connections", .gauge, help: "Connections that are open") {
                $0.opened > $0.closed ? $0.opened - $0.closed : 0
            },
            family("tcp_read_bytes_total", .counter, help: "Bytes that workloads have received") { $0.read },
            family("tcp_write_bytes_total", .counter, help: "Bytes that workloads have sent") { $0.written },
        ]
    }
}
