import Foundation
import Testing

extension NodeTests {
    /// Envoy as the agent of the other node.
    @Suite("Tunnels with Envoy")
    struct TunnelInteropTests {
        private static let bytes = 1_000_000_000
        private static let port = 9090

        /// The application that echoes, as a workload.
        private static func bulk(serviceAccount: String, node: String, address: String) -> String {
            """
            apiVersion: weft.dev/v1alpha1
            kind: Workload
            metadata: { name: bulk, namespace: shop, labels: { app: bulk } }
            spec:
              serviceAccount: \(serviceAccount)
              node: \(node)
              addresses: ["\(address)"]
              ports: [{ name: main, port: \(port) }]

            """
        }

        /// Starts an application that echoes.
        private func serve(
            _ cluster: Cluster, _ address: String, in workload: String?, _ namespace: NetworkNamespace?
        ) throws {
            let server = try cluster.sandbox.start(
                [Host.python, Host.script("checksum.py"), "serve", address, "\(Self.port)"], in: workload,
                namespace: namespace)
            try server.waitForOutput("listening") { $0.contains("ready\n") }
        }

        /// A gigabyte there and back: nothing is missing, and nothing is other than it was.
        private func expectTransfer(
            _ cluster: Cluster, to address: String, _ port: Int, in workload: String?, _ namespace: NetworkNamespace?
        ) throws {
            let result = try cluster.sandbox.run(
                [Host.python, Host.script("checksum.py"), "send", address, "\(port)", "\(Self.bytes)"], in: workload,
                namespace: namespace, timeout: 180)
            guard result.succeeded else { throw TestFailure("checksum.py: \(result.errors)") }
            let books = try JSON(result.output)
            #expect(books["sent"].int == Self.bytes && books["received"].int == Self.bytes)
            let sum = try #require(books["sentSum"].string)
            #expect(books["receivedSum"].string == sum)
        }

        @Test("Envoy ends a tunnel that an agent opens: 1 GB each way")
        func terminator() throws {
            // The outer host is a node without Weft.
            let bulk = Self.bulk(serviceAccount: "stranger", node: "node-c", address: Cluster.stranger)
            try Cluster.run(bulk) { cluster in
                try serve(cluster, Cluster.stranger, in: nil, cluster.outside)
                try TunnelEnvoy(cluster).terminate(for: "client", port: Self.port)
                try expectTransfer(cluster, to: Cluster.stranger, Self.port, in: "a/client", cluster.a.namespace)
                try cluster.a.waitForMetrics("it was a tunnel") {
                    $0.sum("weft_connections_total", ["lane": "tunnel", "result": "opened"]) == 1
                }
                // Envoy lets nobody else in, and the client learns it as a refused connection.
                #expect(
                    try cluster.connect(from: "mallory", to: Cluster.stranger, port: Self.port).result != "connected")
            }
        }

        @Test("An agent ends a tunnel that Envoy opens: 1 GB each way")
        func originator() throws {
            let bulk = Self.bulk(serviceAccount: "web", node: "node-b", address: Cluster.web)
            try Cluster.run(bulk) { cluster in
                try serve(cluster, Cluster.web, in: "b/web", cluster.b.namespace)
                let own = Int(try Host.freePort())
                try TunnelEnvoy(cluster).originate(to: "web", port: Self.port, at: own)
                try expectTransfer(cluster, to: "127.0.0.1", own, in: nil, cluster.outside)
            }
        }
    }
}
