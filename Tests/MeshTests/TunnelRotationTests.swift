import Foundation
import Testing

extension NodeTests {
    /// What tunnels make of certificates that come and go.
    @Suite("Rotation below tunnels")
    struct TunnelRotationTests {
        @Test("Certificates, intermediates and the root are replaced under load, and no request fails")
        func rotation() throws {
            try Cluster.run { cluster in
                let (a, b) = (cluster.a, cluster.b)
                let first = try [cluster.serial(a, "client"), cluster.serial(b, "web")]
                let load = try SteadyLoad(cluster, kept: 1500, new: 500)
                for node in [a, b] { #expect(try node.weft("identity", "rotate").succeeded) }
                let second = try [cluster.serial(a, "client"), cluster.serial(b, "web")]
                #expect(zip(first, second).allSatisfy { $0 != $1 })

                #expect(try a.weft("ca", "rotate-node").succeeded)
                try eventually("node a's certificates come from the new intermediate") {
                    try cluster.serial(a, "client") != second[0]
                }
                try cluster.distributeIntermediate()

                let third = try cluster.serial(a, "client")
                #expect(try a.weft("ca", "rotate-root", "stage").succeeded)
                try cluster.distributeBundle()
                try expectRoots(2, cluster)
                #expect(try a.weft("ca", "rotate-root", "activate").succeeded)
                try cluster.distributeIntermediate()
                try eventually("node a's certificates come from the new root") {
                    try cluster.serial(a, "client") != third
                }
                #expect(try a.weft("ca", "rotate-root", "retire").succeeded)
                try cluster.distributeBundle()
                try expectRoots(1, cluster)

                usleep(300_000)
                let books = try load.finish()
                #expect(books.errors.isEmpty)
                #expect(books.kept > 2000 && books.new > 500)
            }
        }

        @Test("Without its CA a node serves until the last certificate ends, says how long, and no longer than that")
        func unreachable() throws {
            try Cluster.run { cluster in
                let b = cluster.b
                let lifetime = 14.0
                let begun = ContinuousClock.now
                try cluster.distributeIntermediate(lifetime: lifetime)
                let load = try SteadyLoad(cluster, kept: 100, new: 50)
                try eventually("half of the lifetime is over", within: lifetime) {
                    ContinuousClock.now - begun > .seconds(lifetime / 2 + 2)
                }
                let metrics = try b.scrape()
                let left = 1...(lifetime / 2 - 1)
                #expect(left.contains(metrics.sum("weft_ca_expiry_seconds", ["authority": "issuer"])))
                #expect(left.contains(metrics.sum("weft_identity_expiry_seconds")))
                #expect(metrics.sum("weft_identities_missing") == 0)
                let books = try load.finish()
                #expect(books.errors.isEmpty && books.new > 100 && books.kept > 200)

                try b.waitForMetrics("the certificate has ended", within: lifetime) {
                    $0.sum("weft_identities_missing") == 1
                        && $0.sum("weft_identity_renewal_failures_total", ["cause": "expired"]) >= 1
                }
                #expect(try cluster.connect().server == nil)
                let issued = try cluster.a.weft("ca", "issue-node", "node-b", "--out", cluster.authorityOfB)
                #expect(issued.succeeded)
                try eventually("node b serves again", within: 20) { try cluster.connect().server == "web" }
            }
        }

        @Test("Ten thousand identities: existing ones serve while the others are made, and little memory is used")
        func manyIdentities() throws {
            try Cluster.run { cluster in
                let count = 10_000
                let b = cluster.b
                let load = try SteadyLoad(cluster, kept: 100, new: 50)
                try b.write(
                    (0..<count).map { Manifest.workload("many-\($0)", cgroup: "/none/\($0)") }
                        .joined(separator: "---\n"), file: "many.yaml")
                try eventually("all of them have certificates", within: 400) {
                    // A scrape asks about each of them: seldom, or it is what takes the time.
                    usleep(500_000)
                    let metrics = try b.scrape()
                    return metrics.sum("weft_identities_missing") == 0
                        && metrics.sum("weft_identity_renewals_total") >= Double(count + 1)
                }
                let books = try load.finish()
                #expect(books.errors.isEmpty)
                #expect(books.slowest < 5, "no request waits until all are made")
                let memory = try residentMegabytes(b)
                print("\(count) identities: \(memory) MB resident, slowest request \(books.slowest) s")
                #expect(memory < 300)
            }
        }

        private func residentMegabytes(_ node: Node) throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(node.agent?.pid ?? 0)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
            let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
            return try #require(kilobytes) / 1000
        }

        private func expectRoots(_ count: Int, _ cluster: Cluster) throws {
            for (node, account) in [(cluster.a, "client"), (cluster.b, "web")] {
                try eventually("\(node.name) has \(count) roots") {
                    try node.weftJSON("identity", "show", "shop/\(account)")["roots"].array.count == count
                }
            }
        }
    }
}
