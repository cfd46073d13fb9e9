import Mesh
import Testing

@testable import Proxy

/// Answers that no backend gave.
@Suite struct LocalResponseTests {
    /// HTTPRouteRedirectHostAndStatus, RedirectScheme, RedirectPort, RedirectPortAndScheme, RedirectPath.
    @Test(
        arguments: [
            (.to(host: "example.org"), 80, "/host", "http://example.org/host"),
            (.to(scheme: "https"), 80, "/scheme", "https://web/scheme"),
            (.to(port: 8083), 80, "/port", "http://web:8083/port"), (.to(port: 80), 8080, "/port", "http://web/port"),
            (.to(scheme: "https"), 8080, "/", "https://web/"),
            (.to(host: "example.org"), 8080, "/", "http://example.org:8080/"),
            (.to(scheme: "HTTP"), 8080, "/", "http://web/"),
            (.to(scheme: "https", port: 80), 80, "/x", "https://web:80/x"),
            (.to(scheme: "https", port: 443), 80, "/x", "https://web/x"),
            (.to(scheme: "http", port: 443), 80, "/x", "http://web:443/x"),
            (.to(path: .full("/full")), 80, "/x/y?z=1", "http://web/full?z=1"),
            (.to(path: .prefix("/new")), 80, "/old/y?z", "http://web/new/y?z"),
            (.to(path: .prefix("/")), 80, "/old", "http://web/"),
            (.to(path: .regex("/old/(.*)", substitution: "/\\1")), 80, "/old/y", "http://web/y"),
        ] as [(HTTPRedirect, UInt16, String, String)])
    func locations(_ redirect: HTTPRedirect, _ port: UInt16, _ target: String, _ location: String) throws {
        let rules: [HTTPRule] = [
            .redirect({ $0 = redirect }, matches: [.path(.prefix("/old"))]),
            .redirect({ $0 = redirect }, matches: [.path(.prefix("/"))]),
        ]
        let fixture = try RouteFixture(rules, port: port)
        let request = SyntheticRequest(target: target, host: "Web:1234")
        #expect(
            try fixture.answer(request)
                == "HTTP/1.1 302 Found\r\nlocation: \(location)\r\ncontent-length: 0\r\n\r\n")
    }

    /// HTTPRoute303Redirect, 307, 308.
    @Test(
        arguments: [
            (301, "Moved Permanently"), (302, "Found"), (303, "See Other"), (307, "Temporary Redirect"),
            (308, "Permanent Redirect"),
        ] as [(UInt16, String)])
    func redirectStatuses(_ status: UInt16, _ reason: String) throws {
        let fixture = try RouteFixture([.redirect { $0.status = status }])
        let request = SyntheticRequest(method: "POST", target: "/x", host: "web")
        #expect(try fixture.outcome(request) == "redirect")
        #expect(
            try fixture.answer(request, .init(connection: .close)) == """
                HTTP/1.1 \(status) \(reason)\r\nconnection: close\r\nlocation: http://web/x\r\ncontent-length: 0\r\n\r\n
                """)
    }

    @Test func redirectsOverTLSStayThere() throws {
        var request = SyntheticRequest(target: "/x", host: "web")
        request.isSecure = true
        let fixture = try RouteFixture([.redirect { $0.hostname = "other" }], port: 443)
        #expect(try fixture.answer(request).contains("location: https://other/x\r\n"))
    }

    /// HTTPRouteBackendRequestRedirect.
    @Test func backendsThatRedirect() throws {
        let rule = HTTPRule.to("a", "b").with { rule in
            guard case .forward(var backends) = rule.action else { return }
            var redirect = HTTPRedirect()
            redirect.hostname = "example.org"
            backends[1].redirect = redirect
            rule.action = .forward(backends)
        }
        let fixture = try RouteFixture([rule])
        #expect(try fixture.outcome(SyntheticRequest(host: "web"), random: 0) == "a")
        #expect(
            try fixture.answer(SyntheticRequest(host: "web"), random: .max)
                == "HTTP/1.1 302 Found\r\nlocation: http://example.org/\r\ncontent-length: 0\r\n\r\n")
    }

    @Test(arguments: [
        (
            DirectResponse(status: 200, body: "hello"), false,
            "200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5", "hello"
        ),
        (
            DirectResponse(status: 200, body: "hello"), true, "200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5",
            ""
        ),
        (
            DirectResponse(status: 503, body: "{}", contentType: "application/json"), false,
            "503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 2", "{}"
        ), (DirectResponse(status: 204, body: "ignored"), false, "204 No Content", ""),
    ])
    func directResponses(_ response: DirectResponse, _ isHead: Bool, _ head: String, _ body: String) throws {
        let rule = HTTPRule.to().with {
            $0.action = .respond(response)
            $0.responseHeaders.set = [.init(name: "x-a", value: "1")]
        }
        #expect(
            try RouteFixture([rule]).answer(SyntheticRequest(host: "web"), .init(isHead: isHead), extra: "x-b: 2\r\n")
                == "HTTP/1.1 \(head)\r\nx-a: 1\r\nx-b: 2\r\n\r\n\(body)")
    }

    /// No match is 404; an invalid backend, no backend and no weight are 500.
    @Test func refusals() throws {
        let rules: [HTTPRule] = [
            .to("a", matches: [.path(.prefix("/invalid"))]).with {
                $0.action = .forward([HTTPBackend(target: .invalid("Service shop/x does not exist"))])
            },
            .to(matches: [.path(.prefix("/none"))]), .to("missing", matches: [.path(.prefix("/missing"))]),
            .to("a", matches: [.path(.prefix("/zero"))]).with {
                $0.action = .forward([HTTPBackend(target: .shop("a"), weight: 0)])
            },
            .to("a", matches: [.path(.prefix("/subset"))]).with {
                $0.action = .forward([HTTPBackend(target: .shop("a", subset: "v1"))])
            },
            .to("a", matches: [.path(.prefix("/port"))]).with {
                $0.action = .forward([
                    HTTPBackend(target: .service(ObjectName(namespace: "shop", name: "a"), port: 81, subset: nil))
                ])
            },
        ]
        let fixture = try RouteFixture(rules)
        for (target, status, text) in [
            ("/", "404 Not Found", "route_not_found"),
            ("/invalid", "500 Internal Server Error", "invalid_backend: Service shop/x does not exist"),
            ("/none", "500 Internal Server Error", "invalid_backend"),
            ("/missing", "500 Internal Server Error", "invalid_backend: there is no service shop/missing"),
            ("/zero", "500 Internal Server Error", "invalid_backend"),
            ("/subset", "500 Internal Server Error", "invalid_backend: service shop/a has no subset v1"),
            ("/port", "500 Internal Server Error", "invalid_backend: service shop/a has no TCP port 81"),
        ] {
            let reason = text.split(separator: ":")[0]
            #expect(
                try fixture.answer(SyntheticRequest(target: target, host: "web")) == """
                    HTTP/1.1 \(status)\r\nx-weft-reason: \(reason)\r\ncontent-type: text/plain; charset=utf-8\r
                    content-length: \(text.utf8.count + 1)\r\n\r\n\(text)\n
                    """)
        }
    }
}

extension HTTPRedirect {
    fileprivate static func to(
        scheme: String? = nil, host: String? = nil, port: UInt16? = nil, path: PathModification? = nil
    ) -> HTTPRedirect {
        var redirect = HTTPRedirect()
        redirect.scheme = scheme
        redirect.hostname = host
        redirect.port = port
        redirect.path = path
        return redirect
    }
}
