import Foundation
import Testing

extension NodeTests {
    @Suite("Identity of real processes")
    struct IdentityTests {
        private let allowAlice = Manifest.policy(
            "only-alice", action: "ALLOW", app: "web", rules: Manifest.from("alice"))

        @Test("A child in a sub-cgroup has its workload's identity; a process outside has none")
        func nearestAncestor() throws {
            try Shop.run(allowAlice) { (shop) throws in
                #expect(try shop.connect(from: "alice").server == "web")
                #expect(try shop.connect(from: "alice/session/worker").server == "web")
                #expect(try shop.connect(from: "").result == "EPERM", "the guarded cgroup itself is nobody")
                #expect(try shop.connect(from: "alicex").result == "EPERM", "a name that only begins alike")
                #expect(try shop.connect(from: "mallory/alice").result == "EPERM", "the nearest ancestor counts")
            }
        }

        @Test("The nearest enrolled ancestor wins over one further up, also when it is enrolled later")
        func nestedWorkloads() throws {
            try Shop.run(allowAlice) { shop in
                #expect(try shop.connect(from: "alice/guest").server == "web")
                try shop.apply(
                    allowAlice, Manifest.workload("guest", cgroup: shop.sandbox.cgroupPath("alice/guest")))
                #expect(try shop.connect(from: "alice/guest").result == "EPERM")
                #expect(try shop.connect(from: "alice/guest/child").result == "EPERM")
                #expect(try shop.connect(from: "alice").server == "web")
                try shop.apply(allowAlice)
                #expect(try shop.connect(from: "alice/guest").server == "web")
            }
        }

        @Test("A cgroup that appears after its Workload is enrolled then")
        func lateCgroup() throws {
            try Shop.run(allowAlice) { shop in
                try shop.apply(
                    allowAlice,
                    Manifest.workload("late", cgroup: shop.sandbox.cgroupPath("late"), serviceAccount: "alice"))
                try shop.sandbox.makeCgroup("late")
                try eventually("the new cgroup has its identity", within: 10) {
                    try shop.connect(from: "late").server == "web"
                }
            }
        }

        @Test("Both ends of a connection know both workloads")
        func bothEnds() throws {
            try Shop.run { shop in
                for _ in 0..<3 { #expect(try shop.connect(from: "alice").server == "web") }
                for reporter in ["source", "destination"] {
                    try shop.node.waitForMetrics("the \(reporter) counted alice → web") {
                        $0.sum(
                            "istio_tcp_connections_opened_total",
                            [
                                "reporter": reporter, "source_workload": "alice", "destination_workload": "web",
                                "source_principal": "spiffe://cluster.local/ns/shop/sa/alice",
                                "destination_service": "web.shop.svc.cluster.local",
                            ]) == 3
                    }
                }
            }
        }

        @Test("Two network namespaces with equal addresses and ports do not mix")
        func namespaces() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let names = ["red", "blue"]
                for name in names {
                    try sandbox.makeCgroup("\(name)-web")
                    try sandbox.makeCgroup("\(name)-client")
                }
                try node.start(
                    ([Manifest.service("web", address: "127.96.0.10", endpoints: ["127.0.0.1"])]
                        + names.flatMap { name in
                            ["web", "client"].map { role in
                                Manifest.workload("\(name)-\(role)", cgroup: sandbox.cgroupPath("\(name)-\(role)"))
                            }
                        }).joined(separator: "---\n"))
                let namespaces = try names.map { try sandbox.makeNamespace($0) }
                for (name, namespace) in zip(names, namespaces) {
                    try sandbox.serve(["\(name),tcp,127.0.0.1,8080"], in: "\(name)-web", namespace: namespace)
                }
                // The same ports on both sides, at the same time: the tuples are equal but for the namespace.
                let held = try zip(names, namespaces).map { name, namespace in
                    try sandbox.check([
                        "nsenter", "--net=\(namespace.path)", "sysctl", "-qw",
                        "net.ipv4.ip_local_port_range=40000 40009",
                    ])
                    return try sandbox.hold("127.96.0.10", 80, count: 8, in: "\(name)-client", namespace: namespace)
                }
                #expect(held[0].names == [String](repeating: "red", count: 8))
                #expect(held[1].names == [String](repeating: "blue", count: 8))
                #expect(try held[0].echo("send 1000") == 8)
                #expect(try held[1].echo("send 3000") == 8)
                for one in held { try one.close() }

                try node.waitForMetrics("both servers know their own clients") { metrics in
                    zip(names, [1000.0, 3000.0]).allSatisfy { name, bytes in
                        metrics.sum(
                            "istio_tcp_connections_closed_total",
                            [
                                "reporter": "destination", "source_workload": "\(name)-client",
                                "destination_workload": "\(name)-web",
                            ]) == 8
                            && metrics.sum(
                                "istio_tcp_received_bytes_total",
                                ["reporter": "source", "source_workload": "\(name)-client"]) == 8 * bytes
                    }
                }
                let metrics = try node.scrape()
                for (client, server) in [("red-client", "blue-web"), ("blue-client", "red-web")] {
                    #expect(
                        metrics.matching(
                            "istio_tcp_connections_opened_total",
                            ["source_workload": client, "destination_workload": server]
                        ).isEmpty)
                }
            }
        }
    }
}
