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

        private func client(_ sandbox: Sandbox, _ node: Node, in workload: String, _ arguments: String...) throws
            -> [Answer]
        {
            let result = try sandbox.run(
                [
                    "/usr/bin/python3", "-S", Host.support("WorkloadAPI/client.py"),
                    "\(node.runDirectory)/workload.sock",
                ] + arguments, in: workload, environment: ["PYTHONPATH": try Host.pythonPackages()])
            guard result.succeeded else { throw TestFailure("client.py: \(result.errors)") }
            return try result.output.split(separator: "\n").map {
                try JSONDecoder().decode(Answer.self, from: Data($0.utf8))
            }
        }

        private struct Answer: Decodable {
            let status: String
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
