import Foundation
import Testing

extension NodeTests {
    /// Two nodes: what goes from one to the other.
    @Suite("Tunnels between nodes")
    struct TunnelTests {
        @Test("A connection to another node's workload goes through a tunnel, and both ends see plain TCP")
        func plain() throws {
            try Cluster.run { cluster in
                let byService = try cluster.connect()
                #expect(byService.result == "connected")
                #expect(byService.server == "web")
                #expect(byService.peerAddress == Cluster.service)
                let direct = try cluster.connect(to: Cluster.web, port: 8080)
                #expect(direct.result == "connected")
                #expect(direct.server == "web")
                #expect(direct.peerAddress == Cluster.web)
                try cluster.a.waitForMetrics("the connections count in the tunnel lane") {
                    $0.sum("weft_connections_total", ["lane": "tunnel", "result": "opened"]) >= 2
                }
                #expect(try cluster.b.scrape().sum("weft_proxy_tunnel_handshakes_total") >= 1)
                let told = try cluster.a.weftJSON(
                    "explain", "connect", "\(Cluster.service):80", "--from", "shop/client")
                #expect(told["lane"].string == "tunnel")
            }
        }

        @Test("Both ends count a tunnelled connection under the service that the client has connected to")
        func labels() throws {
            try Cluster.run { cluster in
                #expect(try cluster.connect().server == "web")
                #expect(try cluster.connect(to: Cluster.web, port: 8080).server == "web")
                let family = "istio_tcp_connections_closed_total"
                func labels(_ node: Node, _ reporter: String) throws -> Set<[String: String]> {
                    let filter = ["reporter": reporter, "weft_lane": "tunnel"]
                    var all: Set<[String: String]> = []
                    for sample in try node.scrape().matching(family, filter) where sample.value == 1 {
                        all.insert(sample.labels.filter { $0.key != "reporter" })
                    }
                    return all
                }
                try eventually("both ends have counted both", within: 10) {
                    try labels(cluster.a, "source").count == 2 && labels(cluster.b, "destination").count == 2
                }
                let destination = try labels(cluster.b, "destination")
                #expect(try labels(cluster.a, "source") == destination)
                let services = Set(destination.compactMap { $0["destination_service"] })
                #expect(services == ["web.shop.svc.cluster.local", "unknown"])
                let flows = try cluster.b.weftJSONLines("flows").filter { $0["lane"].string == "tunnel" }
                #expect(Set(flows.compactMap { $0["destination"].string }) == ["shop/web"], "\(flows)")
            }
        }

        @Test("A tunnel uses cubic to a node that is near, and the system's own congestion control to one that is not")
        func congestionControl() throws {
            try Cluster.run { cluster in
                let sandbox = cluster.sandbox
                let nodes = try [cluster.a, cluster.b].map { try #require($0.namespace) }
                let wire = try sandbox.start(
                    [Host.python, Host.support("Tunnel/delay.py"), "4"] + nodes.map(\.path))
                try wire.waitForOutput("the slow wire") { $0.contains("ready\n") }
                let far = "10.78.0.21"
                for (namespace, address) in zip(nodes, ["10.78.0.11", far]) {
                    let enter = ["nsenter", "--net=\(namespace.path)"]
                    try sandbox.check(enter + ["ip", "address", "add", "\(address)/24", "dev", "far"])
                    try sandbox.check(enter + ["ip", "link", "set", "far", "up"])
                    // Whatever this machine's own is, it shows.
                    try sandbox.check(enter + ["sysctl", "-q", "net.ipv4.tcp_congestion_control=reno"])
                }
                try sandbox.makeCgroup("b/far")
                try sandbox.serve(["far,tcp,\(far),8080"], in: "b/far", namespace: cluster.b.namespace)
                try cluster.apply(
                    cluster.workload("far", node: "node-b", address: far, cgroup: "b/far", port: 8080))

                func algorithm(_ namespace: NetworkNamespace, _ filter: String) throws -> String {
                    let shown = try sandbox.check(
                        ["nsenter", "--net=\(namespace.path)", "ss", "-Htin", "state", "established", filter])
                    let known = ["cubic", "reno"].filter { shown.split(separator: " ").contains(Substring($0)) }
                    return known.joined(separator: " and ")
                }
                for (address, expected) in [(Cluster.web, "cubic"), (far, "reno")] {
                    #expect(try cluster.connect(to: address, port: 8080).result == "connected")
                    #expect(try algorithm(nodes[0], "dst \(address):15008") == expected, "to \(address)")
                    #expect(try algorithm(nodes[1], "src \(address):15008") == expected, "from \(address)")
                }
            }
        }

        @Test("On the wire there is TLS 1.3 with ALPN h2 and no server name, and nothing of what the applications say")
        func wire() throws {
            try Host.require([("tshark", "tshark")])
            try Cluster.run { cluster in
                let capture = "\(cluster.sandbox.directory)/wire.pcap"
                let shark = try cluster.sandbox.start(
                    ["tshark", "-q", "-i", "br0", "-w", capture, "-f", "tcp"], namespace: cluster.wire)
                try eventually("tshark captures", within: 20) {
                    (try? FileManager.default.attributesOfItem(atPath: capture)[.size] as? Int) ?? 0 > 0
                }
                let said = try #require(try cluster.connect().greeting)
                #expect(said.hasPrefix("web"))
                // What is captured last has to be written before the capture ends.
                sleep(1)
                shark.signal(SIGINT)
                try shark.wait(timeout: 20)
                func read(_ filter: String, _ fields: String...) throws -> [[String]] {
                    let arguments = fields.flatMap { ["-e", $0] }
                    return try cluster.sandbox.check(
                        ["tshark", "-r", capture, "-d", "tcp.port==15008,tls", "-Y", filter, "-T", "fields"] + arguments
                    ).split(separator: "\n").map {
                        $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
                    }
                }
                let hellos = try read(
                    "tls.handshake.type == 1", "tls.handshake.extensions.supported_version",
                    "tls.handshake.extensions_alpn_str", "tls.handshake.extensions_server_name")
                let hello = try #require(hellos.first)
                #expect(hello == ["0x0304", "h2", ""])
                #expect(try read("tcp.port == 15008 && tls.app_data", "frame.number").count > 2)
                #expect(try read("tcp.port == 8080", "frame.number").isEmpty)
                let bytes = try #require(FileManager.default.contents(atPath: capture))
                #expect(bytes.range(of: Data(said.utf8)) == nil)
                #expect(bytes.range(of: Data("spiffe://".utf8)) == nil)
            }
        }

        @Test(
            "STRICT refuses plaintext from outside before the application sees it; the tunnel and the node itself pass")
        func strict() throws {
            let strict = """
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata: { name: web, namespace: shop }
                spec: { selector: { matchLabels: { app: web } }, mtls: { mode: STRICT } }

                """
            try Cluster.run { cluster in
                func outside() throws -> String {
                    try cluster.sandbox.connect(Cluster.web, 8080, in: "", namespace: cluster.outside).result
                }
                #expect(try outside() == "connected", "permissive is the default")
                try cluster.apply(strict)
                #expect(try outside() == "ECONNREFUSED")
                #expect(try cluster.connect().server == "web")
                #expect(
                    try cluster.sandbox.connect(Cluster.web, 8080, in: "b/web", namespace: cluster.b.namespace).result
                        == "connected")
            }
        }

        @Test(
            "Who may use a tunnel is decided by the identity that the other node has proved, and ends what it forbids")
        func authorization() throws {
            try Cluster.run(Manifest.policy("web", action: "ALLOW", app: "web", rules: Manifest.from("client"))) {
                cluster in
                #expect(try cluster.connect().server == "web")
                #expect(try cluster.connect(from: "mallory").result == "EPERM")
                let held = try cluster.sandbox.hold(
                    Cluster.service, 80, count: 3, in: "a/client", namespace: cluster.a.namespace)
                #expect(try held.echo() == 3)
                // Only the destination's node hears of it: the client's own kernel would refuse it too.
                let before = Date.now.timeIntervalSince1970
                try cluster.b.apply(
                    cluster.manifest([
                        Manifest.policy("web", action: "ALLOW", app: "web", rules: Manifest.from("mallory"))
                    ]))
                try eventually("the connections end", within: 10) { held.ended.count == 3 }
                #expect(held.ended.allSatisfy { $0.at - before < 3 })
                // The client's kernel still allows it; the tunnel's end does not.
                #expect(try cluster.connect().greeting ?? "" == "")
                #expect(try cluster.b.scrape().sum("weft_proxy_tunnel_streams_unauthorized_total") >= 1)
            }
        }
    }
}
