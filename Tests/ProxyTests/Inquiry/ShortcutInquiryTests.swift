import Mesh
import Proxy
import Testing

/// What people are told of why the kernel decides about a request, or does not.
@Suite struct ShortcutInquiryTests {
    private static func name(_ name: String) -> ObjectName { ObjectName(namespace: "shop", name: name) }

    /// `web` on port 80: /login with a timeout, everything else to `server` as it is.
    private static func snapshot(accelerated: Set<String>) -> MeshSnapshot {
        func workload(_ title: String, _ addresses: [IPAddress]) -> MeshWorkload {
            var workload = MeshWorkload(name: name(title), serviceAccount: title)
            workload.isLocal = true
            workload.isAccelerated = accelerated.contains(title)
            workload.addresses = addresses
            return workload
        }
        let address = IPAddress(v4: 10, 0, 0, 1)
        var endpoint = MeshEndpoint(address: address, port: 8080)
        endpoint.workload = name("server")
        let origin = ObjectKey(.service, name("web"))
        let itself = HTTPBackend(target: .service(name("web"), port: 80, subset: nil))
        var match = HTTPMatch()
        match.path = .exact("/login")
        var login = HTTPRule(origin: origin, index: 0, action: .forward([itself]))
        login.matches = [match]
        login.timeouts.request = 1500
        var port = MeshServicePort(name: "http", port: 80, transport: .tcp, endpoints: [endpoint])
        port.http = HTTPRouting(rules: [login, HTTPRule(origin: origin, index: 1, action: .forward([itself]))])
        port.proxyReasons = ["HTTPRoute shop/web"]
        let web = MeshService(
            name: name("web"), addresses: [IPAddress("127.96.0.10")].compactMap { $0 }, ports: [port],
            balancing: Balancing())
        let workloads = [workload("client", []), workload("server", [address])]
        return MeshSnapshot(
            generation: 1, services: [web.name: web],
            workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) }))
    }

    private func ask(
        _ path: String, headers: [RequestInquiry.Header] = [], from: String? = "shop/client",
        accelerated: Set<String> = ["client", "server"]
    ) throws -> RequestAccount {
        try RequestExplainer(Self.snapshot(accelerated: accelerated)).explain(
            RequestInquiry(method: "GET", url: "http://web\(path)", headers: headers, from: from))
    }

    @Test func aPlainRequestIsTaken() throws {
        let account = try ask("/x?y=1")
        #expect(account.outcome == .forward && account.shortcut == "taken")
        #expect(account.steps.last?.hasPrefix("past the agent") == true)
    }

    @Test(
        arguments: [
            ("/login", [], "shop/client", ["client", "server"], "its rule"),
            (
                "/x", [RequestInquiry.Header(name: "Expect", value: "100-continue")], "shop/client",
                ["client", "server"], "head"
            ),
            (
                "/x", [RequestInquiry.Header(name: "X-Envoy-Max-Retries", value: "3")], "shop/client",
                ["client", "server"], "head"
            ),
            ("/x", [], "shop/client", ["server"], "shop/client is not accelerated"),
            ("/x", [], "shop/client", ["client"], "shop/server is not accelerated"),
        ] as [(String, [RequestInquiry.Header], String, Set<String>, String)])
    func othersSayWhyNot(
        path: String, headers: [RequestInquiry.Header], from: String, accelerated: Set<String>, why: String
    ) throws {
        let account = try ask(path, headers: headers, from: from, accelerated: accelerated)
        #expect(account.outcome == .forward)
        #expect(account.shortcut?.contains(why) == true, "\(account)")
        #expect(account.steps.last?.hasPrefix("through the agent: ") == true)
    }

    @Test func aClientFromOutsideHasNoShortcut() throws {
        let account = try RequestExplainer(Self.snapshot(accelerated: ["server"])).explain(
            RequestInquiry(method: "GET", url: "http://127.96.0.10/x", headers: [], from: nil))
        #expect(account.shortcut == "its client is no workload of the mesh")
    }
}
