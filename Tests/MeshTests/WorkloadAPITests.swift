import Foundation
import Testing

extension NodeTests {
    @Suite("The SPIFFE Workload API")
    struct WorkloadAPITests {
        private static let mesh = """
            apiVersion: weft.dev/v1alpha1
            kind: Workload
            metadata: { name: web, namespace: shop }
            spec: { serviceAccount: web, match: { cgroup: CGROUP } }
            """

        private func arguments(_ node: Node, _ arguments: String...) -> [String] {
            ["/usr/bin/python3", "-S", Host.support("WorkloadAPI/client.py"), "\(node.runDirectory)/workload.sock"]
                + arguments
        }

        private func environment() throws -> [String: String] { ["PYTHONPATH": try Host.pythonPackages()] }

        private func answers(_ output: String) throws -> [Answer] {
            try output.split(separator: "\n").map { try JSONDecoder().decode(Answer.self, from: Data($0.utf8)) }
        }

        private func client(_ sandbox: Sandbox, _ node: Node, in workload: String, _ arguments: String...) throws
            -> [Answer]
        {
            let result = try sandbox.run(
                self.arguments(node) + arguments, in: workload, environment: environment())
            guard result.succeeded else { throw TestFailure("client.py: \(result.errors)") }
            return try answers(result.output)
        }

        private struct Answer: Decodable {
            var status: String?
            var id: String?
            /// SHA-256 of the certificates, the leaf first.
            var chain: [String]?
            /// Of the roots, by trust domain.
            var bundles: [String: [String]]?
            var error: String?
        }

        @Test("A workload gets its certificate, and a new one when it is renewed; others get none")
        func rotation() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(Self.mesh.replacingOccurrences(of: "CGROUP", with: sandbox.cgroupPath("web")))
                try eventually("the certificate is issued", within: 10) {
                    try client(sandbox, node, in: "web", "fetch").first?.error == nil
                }
                let watcher = try sandbox.start(arguments(node, "watch"), in: "web", environment: environment())
                func contexts(_ count: Int) throws -> [Answer] {
                    try eventually("the client has \(count) contexts; it says: \(watcher.output)", within: 10) {
                        watcher.output.split(separator: "\n").count >= count
                    }
                    return try answers(watcher.output)
                }
                let first = try #require(try contexts(1).first)
                #expect(first.id == "spiffe://cluster.local/ns/shop/sa/web")
                #expect(first.bundles?["cluster.local"]?.count == 1)
                let renewal = try node.weft("identity", "rotate")
                #expect(renewal.succeeded, "\(renewal.errors)")
                let second = try #require(try contexts(2).last)
                #expect(second.id == first.id)
                #expect(second.chain != first.chain)
                #expect(second.bundles == first.bundles)
                #expect(try client(sandbox, node, in: "web", "bundles").first?.bundles == first.bundles)
                let refusal = try client(sandbox, node, in: "other", "fetch").first?.error
                #expect(refusal?.contains("PERMISSION_DENIED") == true, "\(refusal ?? "it was given one")")
            }
        }

        @Test("The cgroup of a caller's process says who it is")
        func cgroup() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(Self.mesh.replacingOccurrences(of: "CGROUP", with: sandbox.cgroupPath("web")))
                for place in ["web", "web/worker"] {
                    let answer = try client(sandbox, node, in: place, "call", "FetchX509SVID")
                    #expect(answer.map(\.status) != ["PERMISSION_DENIED"])
                }
                for place in ["", "other", "web2"] {
                    let answer = try client(sandbox, node, in: place, "call", "FetchX509SVID")
                    #expect(answer.map(\.status) == ["PERMISSION_DENIED"])
                }
            }
        }

        @Test("Who leaves the cgroup loses the identity, also on an open connection")
        func moved() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(Self.mesh.replacingOccurrences(of: "CGROUP", with: sandbox.cgroupPath("web")))
                try sandbox.makeCgroup("other")
                let answers = try client(sandbox, node, in: "web", "moved", "\(sandbox.cgroup)/other")
                #expect(answers.count == 2)
                #expect(answers.first?.status != "PERMISSION_DENIED")
                #expect(answers.last?.status == "PERMISSION_DENIED")
            }
        }

        @Test("A workload that is taken out of the mesh loses the identity")
        func removed() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let mesh = Self.mesh.replacingOccurrences(of: "CGROUP", with: sandbox.cgroupPath("web"))
                try node.start(mesh)
                #expect(
                    try client(sandbox, node, in: "web", "call", "FetchX509SVID").first?.status != "PERMISSION_DENIED")
                try node.apply(mesh.replacingOccurrences(of: "/web }", with: "/elsewhere }"))
                #expect(
                    try client(sandbox, node, in: "web", "call", "FetchX509SVID").first?.status == "PERMISSION_DENIED")
            }
        }
    }
}
