import Foundation

/// A node whose workloads have opted in to acceleration: `client`, and `a` and `b` behind the service `web`, whose rules the
/// kernel can decide for the most part.
struct ShortcutMesh {
    static let web = "127.96.0.60"
    static let port = 8080

    let sandbox: Sandbox
    let node: Node
    let startOptions: [String]

    /// Starts an agent, and gives it to `body`.
    ///
    /// - Parameters:
    ///   - takesShortcuts: false: the same requests all go through the agent.
    ///   - needsCertificates: whether opting in is not enough.
    static func run(
        takesShortcuts: Bool = true, capBytes: Int = 512 * 1024, needsCertificates: Bool = false,
        _ options: [String] = [],
        _ body: (ShortcutMesh) throws -> Void
    ) throws {
        try Sandbox.run { sandbox in
            let mesh = ShortcutMesh(
                sandbox: sandbox, node: try Node(sandbox),
                startOptions: [
                    "--acceleration", needsCertificates ? "certified" : "opted-in", "--acceleration-control", "0",
                    "--redirect-cap", "\(capBytes)", "--shortcut", takesShortcuts ? "on" : "off",
                ] + options)
            for name in ["a", "b", "client"] { try sandbox.makeCgroup(name) }
            try mesh.node.start(mesh.manifest(), mesh.startOptions)
            try body(mesh)
        }
    }

    func address(of server: String) -> String { sandbox.address(server == "a" ? 1 : 2) }

    /// The configuration.
    ///
    /// - Parameters:
    ///   - servers: the endpoints of `web`.
    ///   - denied: paths that a policy denies besides `/denied`.
    ///   - rules: of the HTTPRoute, before the one that takes everything.
    func manifest(
        servers: [String] = ["a", "b"], denied: [String] = [], rules: String = Self.rules, isAccelerated: Bool = true
    ) -> String {
        func workload(_ name: String, _ addresses: [String]) -> String {
            Manifest.workload(
                name, cgroup: sandbox.cgroupPath(name), addresses: addresses,
                port: addresses.isEmpty ? nil : Self.port, isAccelerated: isAccelerated)
        }
        let paths = (["/denied", "/denied/*"] + denied).map { "\"\($0)\"" }.joined(separator: ", ")
        return Manifest.file(
            Manifest.service("web", address: Self.web, endpoints: servers.map(address)),
            workload("a", [address(of: "a")]), workload("b", [address(of: "b")]), workload("client", []),
            """
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: { name: web, namespace: shop }
            spec:
              parentRefs: [{ group: "", kind: Service, name: web, port: 80 }]
              rules:
            \(rules)
              - matches: [{ path: { type: PathPrefix, value: / } }]
                backendRefs: [{ name: web, port: 80 }]

            """,
            """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { name: deny, namespace: shop }
            spec:
              action: DENY
              rules: [{ to: [{ operation: { paths: [\(paths)] } }] }]

            """,
            """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { name: allow, namespace: shop }
            spec:
              action: ALLOW
              rules:
              - from: [{ source: { principals: ["cluster.local/ns/shop/sa/client"] } }]
                to: [{ operation: { methods: [GET, POST, PUT, HEAD, DELETE] } }]

            """)
    }

    /// Ten rules; two of them need the agent.
    static let rules =
        (0..<8).map { rule in
            """
              - matches: [{ path: { type: PathPrefix, value: /api/\(rule) }, method: GET }]
                backendRefs: [{ name: web, port: 80 }]

            """
        }.joined() + """
              - matches: [{ path: { type: PathPrefix, value: /by-header }, headers: [{ name: x-number, value: "7" }] }]
                backendRefs: [{ name: web, port: 80 }]
              - matches: [{ path: { type: PathPrefix, value: /rewritten } }]
                filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /x } } }]
                backendRefs: [{ name: web, port: 80 }]
            """

    // MARK: Servers and clients

    /// `exchange_server.py` as one of the servers.
    func startServer(_ name: String) throws -> Command {
        let server = try sandbox.start(
            [Host.python, Host.script("exchange_server.py"), address(of: name), "\(Self.port)", name], in: name)
        try server.waitForOutput("\(name) listens") { $0.contains("ready\n") }
        return server
    }

    /// `exchange_client.py`, which asks `web`.
    func startClient(_ options: [String]) throws -> Command {
        try sandbox.start(
            [Host.python, Host.script("exchange_client.py"), Self.web, "80"] + options, in: "client")
    }

    /// What a client or server printed in the end.
    static func report(_ command: Command, timeout: Double = 120) throws -> JSON {
        let result = try command.wait(timeout: timeout)
        guard let line = result.output.split(separator: "\n").last(where: { $0.hasPrefix("{") }) else {
            throw TestFailure("no report: \(result.output)\(result.errors)")
        }
        return try JSON(String(line))
    }

    /// Ends the servers; what they have seen.
    func finish(_ servers: [Command]) throws -> [JSON] {
        for server in servers { server.signal(SIGTERM) }
        return try servers.map { try Self.report($0, timeout: 15) }
    }

    // MARK: What was counted

    /// Requests to `web` by lane and status.
    func counted() throws -> [String: [String: Int]] {
        var counts: [String: [String: Int]] = [:]
        for sample in try node.scrape().matching(
            "istio_requests_total", ["reporter": "source", "destination_service_name": "web"])
        {
            let lane = sample.labels["weft_lane"] ?? ""
            counts[lane, default: [:]][sample.labels["response_code"] ?? "", default: 0] += Int(sample.value)
        }
        return counts
    }
}
