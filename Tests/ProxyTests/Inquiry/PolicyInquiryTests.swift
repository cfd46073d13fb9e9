import Mesh
import Proxy
import Testing

@Suite struct PolicyInquiryTests {
    private let explainer: PolicyExplainer
    private let requests: RequestExplainer

    init() throws {
        var client = MeshWorkload(name: ObjectName(namespace: "shop", name: "client"), serviceAccount: "client")
        client.addresses = [try #require(IPAddress("10.0.0.9"))]
        var web = MeshWorkload(name: ObjectName(namespace: "shop", name: "web-1"), serviceAccount: "web")
        web.addresses = [try #require(IPAddress("10.0.0.1"))]
        web.requestPorts = [8080]
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
        let snapshot = MeshSnapshot(
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
                == ["connection allowed shop/readers[1]", "request allowed shop/readers[1]"])
        #expect(throws: InquiryProblem.self) { try layers(PolicyInquiry.Request(host: "web.shop", token: "[]")) }
        let compact = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIn0."
        #expect(PolicyInquiry.payload(ofToken: "\(compact)\n") == #"{"iss":"i"}"#)
        #expect(PolicyInquiry.payload(ofToken: token) == token)
        #expect(PolicyInquiry.payload(ofToken: "a.b") == nil)
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
