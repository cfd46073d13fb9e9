import Mesh
import Proxy
import Testing

@Suite struct PolicyInquiryTests {
    private let snapshot: MeshSnapshot
    private let explainer: PolicyExplainer
    private let requests: RequestExplainer

    init() throws {
        var client = MeshWorkload(name: ObjectName(namespace: "shop", name: "client"), serviceAccount: "client")
        client.labels = ["app": "client"]
        client.addresses = [try #require(IPAddress("10.0.0.9"))]
        var web = MeshWorkload(name: ObjectName(namespace: "shop", name: "web-1"), serviceAccount: "web")
        web.addresses = [try #require(IPAddress("10.0.0.1"))]
        web.requestPorts = [8080]
        web.labels = ["app": "web"]
        web.namedPorts = [MeshWorkloadPort(name: "http", port: 8080, transport: .tcp)]
        var operation = AuthorizationPolicy.Operation()
        operation.methods = [.exact("GET")]
        var source = AuthorizationPolicy.Source()
        source.principals = [.suffix("/sa/client")]
        let readers = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "readers"),
            rules: [
                AuthorizationPolicy.Rule(sources: [source], operations: [operation]),
                AuthorizationPolicy.Rule(conditions: [
                    .requestClaim(path: ["role"], values: [.exact("admin")], notValues: [])
                ]),
            ])
        var hosts = AuthorizationPolicy.Operation()
        hosts.notHosts = [.exact("web.shop")]
        var ofService = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "hosts"), action: .deny,
            rules: [AuthorizationPolicy.Rule(operations: [hosts])])
        ofService.targetServices = ["web"]
        let name = ObjectName(namespace: "shop", name: "web")
        var port = MeshServicePort(
            name: "http", port: 80, transport: .tcp,
            endpoints: [MeshEndpoint(address: web.addresses[0], port: 8080, workload: web.name)])
        port.http = HTTPRouting(rules: [])
        port.proxyReasons = ["AuthorizationPolicy shop/readers"]
        snapshot = MeshSnapshot(
            services: [name: MeshService(name: name, addresses: [], ports: [port], balancing: Balancing())],
            workloads: [client.name: client, web.name: web],
            policies: [readers.name: readers, ofService.name: ofService])
        explainer = PolicyExplainer(snapshot)
        requests = RequestExplainer(snapshot)
    }

    private func layers(
        from: String? = "shop/client", port: UInt16 = 8080, _ request: PolicyInquiry.Request? = nil
    ) throws -> [String] {
        let account = try explainer.explain(
            PolicyInquiry(from: from, to: "shop/web-1", port: port, request: request))
        #expect(account.isAllowed == !account.layers.contains { $0.verdict == "denied" })
        return account.layers.map { "\($0.layer) \($0.verdict)\($0.rule.map { " \($0)" } ?? "")" }
    }

    @Test func aConnectionWhoseRequestsAreReadIsDecidedAboutInTwoLayers() throws {
        #expect(try layers() == ["connection allowed shop/readers[0]"])
        #expect(
            try layers(PolicyInquiry.Request(host: "web.shop"))
                == ["connection allowed shop/readers[0]", "request allowed shop/readers[0]"])
        #expect(
            try layers(PolicyInquiry.Request(method: "PUT", host: "web.shop"))
                == ["connection allowed shop/readers[0]", "request denied shop/readers (no rule matched)"])
    }

    @Test func aConnectionWithoutRequestsIsDecidedAboutAsItIs() throws {
        #expect(
            try layers(port: 9090, PolicyInquiry.Request(host: "web.shop"))
                == ["connection denied shop/readers (no rule matched)"])
    }

    @Test func aTokenIsTakenToBeValid() throws {
        let token = #"{"iss":"i","sub":"s","role":"admin"}"#
        #expect(
            try layers(from: nil, PolicyInquiry.Request(method: "PUT", host: "web.shop", token: token))
                == ["connection allowed shop/readers[1]", "token allowed", "request allowed shop/readers[1]"])
        #expect(throws: InquiryProblem.self) { try layers(PolicyInquiry.Request(host: "web.shop", token: "[]")) }
        let compact = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIn0."
        #expect(PolicyInquiry.payload(ofToken: "\(compact)\n") == #"{"iss":"i"}"#)
        #expect(PolicyInquiry.payload(ofToken: token) == token)
        #expect(PolicyInquiry.payload(ofToken: "a.b") == nil)
    }

    /// A token itself, with the issuer's keys in the configuration, at a URL, or with nobody who reads it.
    @Test func aTokenIsVerifiedWithTheKeysThatAreThere() throws {
        let (issuer, other) = (TestIssuer(), TestIssuer())
        let valid = issuer.token(#"{"iss":"https://issuer.test","role":"admin"}"#)
        func layers(_ token: String, _ keys: JWTRule.Keys?) throws -> ([String], [String]) {
            var snapshot = self.snapshot
            if let keys {
                let name = ObjectName(namespace: "shop", name: "tokens")
                snapshot.requestAuthentications[name] = RequestAuthentication(
                    name: name, rules: [JWTRule(issuer: "https://issuer.test", keys: keys)])
            }
            let account = try PolicyExplainer(snapshot).explain(
                PolicyInquiry(
                    from: nil, to: "shop/web-1", port: 8080,
                    request: PolicyInquiry.Request(method: "PUT", host: "web.shop", jwt: token)))
            return (
                account.layers.map { "\($0.layer) \($0.verdict)" },
                account.layers.first { $0.layer == "token" }?.steps ?? []
            )
        }
        let allowed = ["connection allowed", "token allowed", "request allowed"]
        let refused = ["connection allowed", "token denied"]
        var said = try layers(valid, .inline(issuer.keySet))
        #expect(said.0 == allowed && said.1 == ["the token of https://issuer.test is valid, without an end"])
        said = try layers(valid, .inline(other.keySet))
        #expect(said.0 == refused && said.1.first?.hasSuffix("refused with 401") == true)
        said = try layers(
            issuer.token(#"{"iss":"https://issuer.test","role":"admin","exp":1}"#), .inline(issuer.keySet))
        #expect(said.0 == refused && said.1 == ["the token has expired: refused with 401"])
        said = try layers(valid, .url("https://issuer.test/keys"))
        #expect(said.0 == allowed && said.1.first?.contains("TAKEN TO BE VALID") == true)
        said = try layers(issuer.token(#"{"iss":"https://issuer.test","exp":1}"#), .url("https://issuer.test/keys"))
        #expect(said.0 == refused)
        said = try layers(valid, nil)
        #expect(said.0 == ["connection allowed", "token allowed", "request denied"])
        #expect(said.1.first?.hasPrefix("no RequestAuthentication applies") == true)
    }

    @Test func networkPoliciesOfBothEndsAreAskedFirst() throws {
        var snapshot = snapshot
        let client = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "out"), podSelector: LabelSelector(labels: ["app": "client"]),
            egress: [.init(ports: [.init(transport: .tcp, port: .number(8080))])])
        let web = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "in"), podSelector: LabelSelector(labels: ["app": "web"]),
            ingress: [
                .init(
                    peers: [.workloads(namespaces: nil, pods: LabelSelector(labels: ["app": "client"]))],
                    ports: [.init(transport: .tcp, port: .name("http"))])
            ])
        snapshot.networkPolicies = [client.name: client, web.name: web]
        func layers(from: String? = "shop/client", address: String? = nil, port: UInt16 = 8080) throws -> [String] {
            try PolicyExplainer(snapshot).explain(
                PolicyInquiry(from: from, sourceAddress: address, to: "shop/web-1", port: port)
            ).layers.map { "\($0.layer) \($0.verdict)\($0.rule.map { " \($0)" } ?? "")" }
        }
        #expect(
            try layers() == [
                "egress allowed NetworkPolicy shop/out", "ingress allowed NetworkPolicy shop/in",
                "connection allowed shop/readers[0]",
            ])
        #expect(try layers(port: 9090) == ["egress denied NetworkPolicy shop/out (no rule matched)"])
        #expect(try layers(from: nil) == ["ingress denied NetworkPolicy shop/in (no rule matched)"])
        #expect(
            try layers(from: "shop/web-1", address: "10.9.9.9").allSatisfy { $0.hasPrefix("connection") })
        // Who comes from another node is known by its address, and nobody by that of a process here.
        snapshot.workloads[ObjectName(namespace: "shop", name: "client")]?.isLocal = false
        #expect(try layers(from: nil, address: "10.0.0.9").first == "ingress allowed NetworkPolicy shop/in")
        snapshot.workloads[ObjectName(namespace: "shop", name: "client")]?.isLocal = true
        snapshot.workloads[ObjectName(namespace: "shop", name: "client")]?.cgroup = "/client"
        #expect(
            try layers(from: nil, address: "10.0.0.9") == ["ingress denied NetworkPolicy shop/in (no rule matched)"])
    }

    @Test func aServicesPoliciesAreAskedFirst() throws {
        #expect(
            try layers(PolicyInquiry.Request(method: "PUT", host: "other", service: "shop/web"))
                == ["connection allowed shop/readers[0]", "service denied shop/hosts[0]"])
        #expect(throws: InquiryProblem.self) {
            try layers(PolicyInquiry.Request(host: "web", service: "shop/nothing"))
        }
    }

    @Test func explainingARequestSaysWhichPolicyRefusesIt() throws {
        let refused = try requests.explain(
            RequestInquiry(method: "PUT", url: "http://web.shop/", from: "shop/client"))
        #expect(refused.outcome == .refuse)
        #expect(refused.status == 403)
        #expect(refused.detail == "rbac_access_denied_matched_policy")
        #expect(refused.rule == "shop/readers (no rule matched)")
        #expect(refused.steps.contains { $0.hasPrefix("policies of shop/web-1: ALLOW shop/readers[0] does not match") })
        let hosts = try requests.explain(
            RequestInquiry(method: "GET", url: "http://web.shop.svc/", from: "shop/client"))
        #expect(hosts.rule == "shop/hosts[0]")
        let allowed = try requests.explain(
            RequestInquiry(method: "GET", url: "http://web.shop/", from: "shop/client"))
        #expect(allowed.outcome == .forward)
    }
}
