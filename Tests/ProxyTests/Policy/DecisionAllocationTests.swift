import CAllocations
import Mesh
import Proxy
import Testing

/// In steady state a worker allocates nothing for a request that policies decide about, whatever they say.
@Suite(.serialized) struct DecisionAllocationTests {
    @Test func tenThousandDecisionsAllocateNothing() throws {
        let backend = TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" })
        var options = ProxyOptions()
        options.threadName = "authz"
        let block = IPBlock("10.0.0.0/8").map { [$0] } ?? []
        let template = AuthorizationPolicy.PathMatch.template([.literal("items"), .one, .any])
        let proxy = try PolicyProxy(
            [
                .make(
                    "deny", .deny,
                    [
                        .to { $0.paths = [.text(.prefix("/secret")), template] },
                        .when(.requestHeader(name: "x-a", values: [.suffix("evil")], notValues: [])),
                    ]),
                .make(
                    "allow", .allow,
                    [.from { $0.ipBlocks = block }, .from { $0.principals = [.suffix("/sa/client")] }]),
                .make("service", .deny, [.to { $0.hosts = [.suffix(".evil.example")] }]) {
                    $0.targetServices = ["web"]
                },
                .make("shadow", .deny, [.to { $0.methods = [.exact("GET")] }]) { $0.isShadow = true },
            ], to: [backend.port], options: options
        ) { rule in
            // What is sent on differs from what came, so that it is read again.
            rule.requestHeaders = HeaderModification(set: [.init(name: "X-Via", value: "weft")])
        }
        let client = proxy.connect()
        func serve(_ count: Int) {
            for number in 0..<count {
                let path = number % 3 == 0 ? "/secret/%61" : "/a//b"
                client.send("GET \(path) HTTP/1.1\r\nHost: Web:80\r\nX-A: good\r\nX-A: fine\r\n\r\n")
                _ = client.receive(until: number % 3 == 0 ? "access denied" : "ok")
            }
        }
        serve(500)
        let before = unsafe weft_allocations_of_thread("authz-0")
        #expect(before >= 0)
        serve(10_000)
        #expect(unsafe weft_allocations_of_thread("authz-0") - before == 0)
        #expect(proxy.counts("shop/deny[0]") == ["deny enforce": 3_501])
        #expect(backend.connections == 1)
    }
}
