import Foundation
import Testing

extension NodeTests {
    @Suite("Weft, Envoy, nginx and HAProxy with the same requests")
    struct DifferentialTests {
        /// `tools/differential` has the requests, the recording backend and the table of explained differences.
        @Test("Nothing is forwarded that a backend could misread, and every difference from Envoy is explained")
        func hostileRequests() throws {
            try Host.require([("nginx", "nginx-light"), ("haproxy", "haproxy"), ("python3", "python3")])
            let envoy = try Host.envoy()
            try Sandbox.run { sandbox in
                try sandbox.makeCgroup("client")
                let backend = sandbox.address(1)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: "127.96.0.10", endpoints: [backend]),
                        Manifest.workload("client", cgroup: sandbox.cgroupPath("client")),
                        Manifest.route("web", service: "web")))
                for seed in Host.isLong ? 1...10 : 1...1 {
                    let result = try sandbox.run(
                        [
                            Host.python, Host.tool("differential/differential"), "--weft", "127.96.0.10:80",
                            "--weft-backend", "\(backend):8080", "--envoy", envoy, "--seed", "\(seed)",
                        ], in: "client", timeout: 180)
                    #expect(result.succeeded, "\(result.output)\(result.errors)\n\(node.agentLog.suffix(4000))")
                }
            }
        }
    }
}
