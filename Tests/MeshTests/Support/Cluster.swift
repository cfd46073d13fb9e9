import Foundation

/// Two nodes, each a network namespace with an agent and a cgroup of its own, joined by a cable. `client` and `mallory`
/// run on node a, `web` (behind the service `web`) on node b; `stranger` is a third namespace without a mesh.
struct Cluster {
    static let service = "10.96.0.10"
    /// On node b.
    static let web = "10.77.0.21"
    /// On node a.
    static let client = "10.77.0.11"
    static let mallory = "10.77.0.12"
    static let stranger = "10.77.0.99"

    let sandbox: Sandbox
    let a: Node
    let b: Node
    /// A host of the same network that has no agent.
    let outside: NetworkNamespace
    /// The bridge `br0` between all of them.
    let wire: NetworkNamespace

    /// Makes the nodes, and starts both agents with these documents beside the mesh's own. Node a has the root of trust;
    /// node b has an intermediate of it.
    static func run(
        _ documents: String..., flags: [String] = [], body: (Cluster) throws -> Void
    ) throws {
        try Sandbox.run { sandbox in
            let cluster = try Cluster(sandbox)
            try cluster.start(documents, flags: flags)
            try body(cluster)
        }
    }

    private init(_ sandbox: Sandbox) throws {
        self.sandbox = sandbox
        let (first, second) = (try sandbox.makeNamespace("a"), try sandbox.makeNamespace("b"))
        outside = try sandbox.makeNamespace("out")
        wire = try sandbox.makeNamespace("wire")
        for name in ["a", "b"] { try sandbox.makeCgroup(name) }
        for name in ["a/client", "a/mallory", "b/web"] { try sandbox.makeCgroup(name) }
        a = try Node(sandbox, name: "node-a", cgroup: "\(sandbox.cgroup)/a", namespace: first)
        b = try Node(sandbox, name: "node-b", cgroup: "\(sandbox.cgroup)/b", namespace: second)
        try connect([
            (first, ["10.77.0.1", Self.client, Self.mallory]), (second, ["10.77.0.2", Self.web]),
            (outside, [Self.stranger]),
        ])
    }

    /// Joins namespaces by a bridge in a namespace of its own.
    private func connect(_ members: [(namespace: NetworkNamespace, addresses: [String])]) throws {
        func ip(_ namespace: NetworkNamespace, _ arguments: String...) throws {
            try sandbox.check(["nsenter", "--net=\(namespace.path)", "ip"] + arguments)
        }
        try ip(wire, "link", "add", "br0", "type", "bridge")
        try ip(wire, "link", "set", "br0", "up")
        for (number, member) in members.enumerated() {
            try ip(
                wire, "link", "add", "port\(number)", "type", "veth", "peer", "name", "eth0", "netns",
                member.namespace.name)
            try ip(wire, "link", "set", "port\(number)", "master", "br0", "up")
            for address in member.addresses {
                try ip(member.namespace, "address", "add", "\(address)/24", "dev", "eth0")
            }
            try ip(member.namespace, "link", "set", "eth0", "up")
            // Service addresses need a route, or the socket layer says unreachable before any hook is asked.
            try ip(member.namespace, "route", "add", "10.96.0.0/16", "dev", "eth0")
        }
    }

    private func start(_ documents: [String], flags: [String]) throws {
        try sandbox.serve(["web,tcp,\(Self.web),8080"], in: "b/web", namespace: b.namespace)
        try a.start(manifest(documents), flags)
        let authority = "\(sandbox.directory)/authority-b"
        let issued = try a.weft(
            "ca", "issue-node", "node-b", "--state-dir", a.stateDirectory, "--out", authority)
        guard issued.succeeded else { throw TestFailure("weft ca issue-node: \(issued.errors)") }
        try b.start(
            manifest(documents),
            [
                "--ca-cert", "\(authority)/node.pem", "--ca-key", "\(authority)/node.pem", "--ca-bundle",
                "\(authority)/bundle.pem",
            ] + flags)
    }

    /// The same for both nodes, as from one source of configuration.
    func manifest(_ documents: [String]) -> String {
        ([
            Manifest.selecting("web", address: Self.service, app: "web"),
            workload("web", node: "node-b", address: Self.web, cgroup: "b/web", port: 8080),
            workload("client", node: "node-a", address: Self.client, cgroup: "a/client"),
            workload("mallory", node: "node-a", address: Self.mallory, cgroup: "a/mallory"),
        ] + documents).joined(separator: "---\n")
    }

    func workload(
        _ name: String, app: String? = nil, node: String, address: String, cgroup: String, port: Int? = nil
    ) -> String {
        """
        apiVersion: weft.dev/v1alpha1
        kind: Workload
        metadata: { name: \(name), namespace: shop, labels: { app: \(app ?? name) } }
        spec:
          serviceAccount: \(name)
          node: \(node)
          addresses: ["\(address)"]
          match: { cgroup: "\(sandbox.cgroupPath(cgroup))" }
        \(port.map { "  ports: [{ name: main, port: \($0) }]\n" } ?? "")
        """
    }

    /// Gives one of the nodes another address.
    func add(_ address: String, to node: Node) throws {
        guard let namespace = node.namespace else { throw TestFailure("\(node.name) has no namespace") }
        try sandbox.check([
            "nsenter", "--net=\(namespace.path)", "ip", "address", "add", "\(address)/24", "dev", "eth0",
        ])
    }

    /// Puts other documents in force on both nodes.
    func apply(_ documents: String...) throws {
        for node in [a, b] { try node.apply(manifest(documents)) }
    }

    /// One connection from node a.
    func connect(from workload: String = "client", to address: String = service, port: Int = 80) throws -> Attempt {
        try sandbox.connect(address, port, in: "a/\(workload)", namespace: a.namespace)
    }
}
