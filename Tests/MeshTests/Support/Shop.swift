import Foundation

/// A small mesh: the workload `web` behind a service, and the clients `alice` and `mallory`, each in a cgroup.
struct Shop {
    static let service = "127.96.0.10"

    let sandbox: Sandbox
    let node: Node
    var webAddress: String { sandbox.address(1) }

    /// Starts server and agent with these policies, and gives them to `body`.
    static func run(_ policies: String..., body: (Shop) throws -> Void) throws {
        try Sandbox.run { sandbox in
            let shop = Shop(sandbox: sandbox, node: try Node(sandbox))
            for name in ["web", "alice", "mallory"] { try sandbox.makeCgroup(name) }
            try shop.node.start(shop.manifest(policies))
            // After the agent: a listener gets its identity when it starts to listen.
            try sandbox.serve(["web,tcp,\(shop.webAddress),8080"], in: "web")
            try body(shop)
        }
    }

    func manifest(_ policies: [String]) -> String {
        ([
            Manifest.selecting("web", address: Self.service, app: "web"),
            Manifest.workload("web", cgroup: sandbox.cgroupPath("web"), addresses: [webAddress], port: 8080),
            Manifest.workload("alice", cgroup: sandbox.cgroupPath("alice")),
            Manifest.workload("mallory", cgroup: sandbox.cgroupPath("mallory")),
        ] + policies).joined(separator: "---\n")
    }

    /// Puts other policies in force.
    func apply(_ policies: String...) throws { try node.apply(manifest(policies)) }

    func connect(from workload: String, to address: String = service, port: Int = 80) throws -> Attempt {
        try sandbox.connect(address, port, in: workload)
    }

    /// Decisions that were counted for a policy.
    func decisions(_ policy: String, verdict: String, mode: String, in metrics: Metrics) -> Double {
        metrics.matching("weft_policy_decisions_total", ["verdict": verdict, "mode": mode])
            .filter { $0.labels["policy"]?.hasPrefix("shop/\(policy)") == true }
            .reduce(0) { $0 + $1.value }
    }
}
