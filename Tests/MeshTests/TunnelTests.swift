import Foundation
import Testing

extension NodeTests {
    /// Two nodes: what goes from one to the other.
    @Suite("Tunnels between nodes")
    struct TunnelTests {
        @Test("A connection to another node's workload goes through a tunnel, and both ends see plain TCP")
        func plain() throws {
            try Cluster.run { cluster in
                let attempt = try cluster.connect()
                #expect(attempt.result == "connected")
                #expect(attempt.server == "web")
                #expect(attempt.peerAddress == Cluster.service)
                try cluster.a.waitForMetrics("the connection counts in the tunnel lane") {
                    $0.sum("weft_connections_total", ["lane": "tunnel", "result": "opened"]) >= 1
                }
            }
        }
    }
}
