import Mesh
import Proxy
import Testing

@Suite struct RequestInquiryTests {
    private static let web = ObjectName(namespace: "shop", name: "web")

    /// `web` has rules on port 80 and none on 81; `canary` has none.
    private static let snapshot: MeshSnapshot = {
        func service(_ name: ObjectName, _ address: String) -> MeshService {
            MeshService(
                name: name, addresses: [IPAddress(address)].compactMap { $0 },
                ports: [80, 81].map {
                    MeshServicePort(
                        name: "p\($0)", port: $0, transport: .tcp,
                        endpoints: [MeshEndpoint(address: IPAddress(v4: 10, 0, 0, 1), port: 8080)])
                }, balancing: Balancing())
        }
        let origin = ObjectKey(.service, web)
        var exact = HTTPMatch()
        exact.path = .exact("/login")
        exact.method = .exact("POST")
        var prefix = HTTPMatch()
        prefix.path = .prefix("/api")
        prefix.headers = [NamedMatch(name: "x-tier", value: .exact("free"))]
        var login = HTTPRule(
            origin: origin, index: 0,
            action: .forward([
                HTTPBackend(target: .service(ObjectName(namespace: "shop", name: "canary"), port: 80, subset: nil))
            ]))
        login.matches = [exact]
        var api = HTTPRule(
            origin: origin, index: 1,
            action: .forward([
                HTTPBackend(target: .service(web, port: 80, subset: nil), weight: 90),
                HTTPBackend(target: .invalid("no such service"), weight: 0),
            ]))
        api.matches = [prefix]
        api.timeouts.request = 1500
        var teapot = HTTPMatch()
        teapot.path = .prefix("/teapot")
        var answer = HTTPRule(origin: origin, index: 2, name: "teapot", action: .respond(DirectResponse(status: 418)))
        answer.matches = [teapot]
        var front = service(web, "127.96.0.10")
        front.ports[0].http = HTTPRouting(rules: [login, api, answer])
        front.ports[0].proxyReasons = ["HTTPRoute shop/web"]
        let canary = service(ObjectName(namespace: "shop", name: "canary"), "127.96.0.11")
        let client = MeshWorkload(name: ObjectName(namespace: "shop", name: "client"), serviceAccount: "client")
        return MeshSnapshot(
            generation: 1, services: [front.name: front, canary.name: canary], workloads: [client.name: client])
    }()

    private let explainer = RequestExplainer(snapshot)

    struct Case: Sendable, CustomTestStringConvertible {
        var method = "GET"
        var url: String
        var headers: [RequestInquiry.Header] = []
        var from: String? = "shop/client"
        var outcome: RequestAccount.Outcome
        var status: UInt16?
        var cluster: String?
        var says: String
        var testDescription: String { "\(method) \(url) \(headers.map(\.name))" }
    }

    static let cases: [Case] = [
        Case(
            method: "POST", url: "http://web/login", outcome: .forward, cluster: "shop/canary:80", says: "path /login"),
        Case(url: "http://web.shop/login", outcome: .refuse, status: 404, says: "no rule matches: 404"),
        Case(
            url: "http://web.shop.svc.cluster.local/api/x?y=1", headers: [.init(name: "X-Tier", value: "free")],
            outcome: .forward, cluster: "shop/web:80", says: "request timeout 1500 ms"),
        Case(url: "http://web.shop.svc:80/api/x", outcome: .refuse, status: 404, says: "header x-tier"),
        Case(url: "http://127.96.0.10/teapot", from: nil, outcome: .answer, says: "direct response, 418"),
        Case(url: "http://web.shop:81/", outcome: .kernel, cluster: "shop/web:81", says: "no rule needs the proxy"),
        Case(url: "http://canary", outcome: .kernel, cluster: "shop/canary:80", says: "host canary is service"),
    ]

    @Test(arguments: cases) func everyStepOfTheDecisionIsTold(_ one: Case) throws {
        let account = try explainer.explain(
            RequestInquiry(method: one.method, url: one.url, headers: one.headers, from: one.from))
        #expect(account.outcome == one.outcome)
        #expect(account.status == one.status)
        #expect(account.cluster == one.cluster)
        #expect(account.steps.contains { $0.contains(one.says) }, "\(account.steps)")
        #expect(account.steps.first == (one.from.map { "from workload \($0)" } ?? "from outside of the mesh"))
    }

    @Test(
        arguments: [
            ("GET", "https://web.shop/", nil, "is not a URL of the form"),
            ("GET", "http://", nil, "is not SERVICE"), ("GET", "http://web.shop:0/", nil, "is not SERVICE"),
            ("GET", "http://web.shop:99/", nil, "has no TCP port 99; it has 80, 81"),
            ("GET", "http://nothing.shop/", nil, "no service is called nothing.shop"),
            ("GET", "http://web/", nil, "in namespace default"),
            ("GET", "http://10.9.9.9/", nil, "no service has the address"),
            ("GET", "http://web.shop/", "client", "is not namespace/name"),
            ("GET", "http://web.shop/", "shop/nobody", "there is no workload shop/nobody"),
            ("GE T", "http://web.shop/", nil, "would not take this request"),
            ("GET", "http://web.shop/%2e%2e/%00", nil, "would not take this request"),
        ] as [(String, String, String?, String)])
    func whatCannotBeAskedIsSaid(method: String, url: String, from: String?, says: String) {
        let error = #expect(throws: InquiryProblem.self) {
            try explainer.explain(RequestInquiry(method: method, url: url, from: from))
        }
        #expect(error?.description.contains(says) == true, "\(error?.description ?? "")")
    }

    @Test func rulesAreListedInWords() throws {
        let ports = try #require(RouteListing.of(Self.web, in: Self.snapshot))
        #expect(ports.map(\.port) == [80, 81])
        #expect(ports[0].reasons == ["HTTPRoute shop/web"])
        #expect(ports[1].rules.isEmpty && ports[1].reasons.isEmpty)
        let rules = ports[0].rules
        #expect(
            rules.map(\.title) == [
                "Service shop/web rule 0", "Service shop/web rule 1", "Service shop/web rule teapot",
            ])
        #expect(rules[0].matches == ["path = /login, method = POST"])
        #expect(rules[0].backends == ["shop/canary:80"])
        #expect(rules[1].matches == ["path prefix /api, header x-tier = free"])
        #expect(rules[1].filters == ["timeout 1500 ms"])
        #expect(rules[1].backends == ["shop/web:80 100%", "invalid (no such service): 500 0%"])
        #expect(rules[2].backends == ["direct response 418"])
        #expect(RouteListing.of(ObjectName(namespace: "shop", name: "nothing"), in: Self.snapshot) == nil)
    }
}
