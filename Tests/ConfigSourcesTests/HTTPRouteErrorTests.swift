import Testing

@testable import ConfigSources

/// What the CustomResourceDefinition of the HTTPRoute refuses.
@Suite("HTTPRoute errors")
struct HTTPRouteErrorTests {
    private static let rule = "spec.rules[0]"
    private static let many = (0..<17).map { "{ name: web-v1, port: 80, weight: \($0) }" }.joined(separator: ", ")

    private static let values: [(rules: String, errors: [String])] = [
        ("{ backendRef: [] }", ["\(rule).backendRef: unknown field"]),
        ("{ matches: {} }", ["\(rule).matches: expected a list, found a mapping"]),
        (
            "{ name: Bad_Name }",
            [
                "\(rule).name: \"Bad_Name\" is not a name: at most 253 of a-z, 0-9, \"-\" and \".\", beginning and ending with a letter or digit"
            ]
        ),
        ("{ name: a }, { name: a }", ["spec.rules[1].name: two rules have the name \"a\""]),
        ("{ backendRefs: [\(many)] }", ["\(rule).backendRefs: 17 backends, but at most 16 are allowed"]),
        // Paths.
        (
            "{ matches: [{ path: { value: a } }] }",
            ["\(rule).matches[0].path.value: \"a\" is not a path to match: it has to begin with \"/\""]
        ),
        (
            "{ matches: [{ path: { value: /a//b } }] }",
            [
                "\(rule).matches[0].path.value: \"/a//b\" is not a path to match: no request has \"//\" in its normalised path"
            ]
        ),
        (
            "{ matches: [{ path: { value: /a/../b } }] }",
            [
                "\(rule).matches[0].path.value: \"/a/../b\" is not a path to match: no request has \"/../\" in its normalised path"
            ]
        ),
        (
            "{ matches: [{ path: { value: /a/./b } }] }",
            [
                "\(rule).matches[0].path.value: \"/a/./b\" is not a path to match: no request has \"/./\" in its normalised path"
            ]
        ),
        (
            "{ matches: [{ path: { value: \"/a%2Fb\" } }] }",
            [
                "\(rule).matches[0].path.value: \"/a%2Fb\" is not a path to match: no request has \"%2F\" in its normalised path"
            ]
        ),
        (
            "{ matches: [{ path: { value: \"/a#b\" } }] }",
            [
                "\(rule).matches[0].path.value: \"/a#b\" is not a path to match: no request has \"#\" in its normalised path"
            ]
        ),
        (
            "{ matches: [{ path: { value: /a/.. } }] }",
            [
                "\(rule).matches[0].path.value: \"/a/..\" is not a path to match: no request's normalised path ends with \"/..\""
            ]
        ),
        (
            "{ matches: [{ path: { value: \"/a b\" } }] }",
            [
                "\(rule).matches[0].path.value: \"/a b\" is not a path to match: write other characters than letters, digits and -/._~!$&'()*+,;=:@ as percent escapes"
            ]
        ),
        (
            "{ matches: [{ path: { type: Glob, value: /a } }] }",
            ["\(rule).matches[0].path.type: \"Glob\" is not one of Exact, PathPrefix, RegularExpression"]
        ),
        ("{ matches: [{ path: { kind: Exact } }] }", ["\(rule).matches[0].path.kind: unknown field"]),
        (
            "{ matches: [{ path: { value: 8 } }] }",
            ["\(rule).matches[0].path.value: expected a string, found the number 8: put it in quotes"]
        ),
        // Headers, parameters, method.
        (
            "{ matches: [{ method: get }] }",
            [
                "\(rule).matches[0].method: \"get\" is not one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"
            ]
        ),
        (
            "{ matches: [{ headers: [{ name: \"a b\", value: c }] }] }",
            ["\(rule).matches[0].headers[0].name: \"a b\" is not a header name (RFC 9110 §5.6.2)"]
        ),
        ("{ matches: [{ headers: [{ name: a }] }] }", ["\(rule).matches[0].headers[0].value: required, but missing"]),
        (
            "{ matches: [{ headers: [{ name: a, value: b }, { name: a, value: c }] }] }",
            ["\(rule).matches[0].headers[1]: \"a\" is there twice"]
        ),
        ("{ matches: [{ headers: { a: b } }] }", ["\(rule).matches[0].headers: expected a list, found a mapping"]),
        (
            "{ matches: [{ queryParams: [{ name: a, value: \"\" }] }] }",
            ["\(rule).matches[0].queryParams[0].value: a value is required"]
        ),
        // Filters.
        (
            "{ filters: [{ type: Compress }] }",
            [
                "\(rule).filters[0].type: \"Compress\" is not one of RequestHeaderModifier, ResponseHeaderModifier, RequestMirror, RequestRedirect, URLRewrite, ExtensionRef, CORS, ExternalAuth"
            ]
        ),
        ("{ filters: [{ requestRedirect: {} }] }", ["\(rule).filters[0].type: required, but missing"]),
        ("{ filters: [{ type: URLRewrite }] }", ["\(rule).filters[0].urlRewrite: required, but missing"]),
        (
            "{ filters: [{ type: URLRewrite, urlRewrite: {}, requestRedirect: {} }] }",
            ["\(rule).filters[0].requestRedirect: a filter of type URLRewrite cannot have it"]
        ),
        (
            "{ filters: [{ type: URLRewrite, urlRewrite: {} }, { type: URLRewrite, urlRewrite: {} }] }",
            ["\(rule).filters[1]: a second URLRewrite filter: it cannot be repeated"]
        ),
        (
            "{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: {} }, { type: RequestHeaderModifier, requestHeaderModifier: {} }] }",
            ["\(rule).filters[1]: a second RequestHeaderModifier filter: it cannot be repeated"]
        ),
        (
            "{ filters: [{ type: URLRewrite, urlRewrite: {} }, { type: RequestRedirect, requestRedirect: {} }] }",
            ["\(rule).filters: RequestRedirect and URLRewrite exclude each other"]
        ),
        (
            "{ filters: [{ type: RequestRedirect, requestRedirect: {} }], backendRefs: [{ name: web-v1, port: 80 }] }",
            ["\(rule): a RequestRedirect filter and backendRefs exclude each other"]
        ),
        (
            "{ filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 305 } }] }",
            ["\(rule).filters[0].requestRedirect.statusCode: 305 is not one of 301, 302, 303, 307, 308"]
        ),
        (
            "{ filters: [{ type: RequestRedirect, requestRedirect: { hostname: \"*.example.com\" } }] }",
            [
                "\(rule).filters[0].requestRedirect.hostname: \"*.example.com\" is not a host name such as web.example.com (lower case, no port)"
            ]
        ),
        (
            "{ filters: [{ type: RequestRedirect, requestRedirect: { scheme: ftp } }] }",
            ["\(rule).filters[0].requestRedirect.scheme: \"ftp\" is not one of http, https"]
        ),
        (
            "{ filters: [{ type: RequestRedirect, requestRedirect: { port: 0 } }] }",
            ["\(rule).filters[0].requestRedirect.port: 0 is not a port (1...65535)"]
        ),
        (
            "{ filters: [{ type: URLRewrite, urlRewrite: { path: { replaceFullPath: /a } } }] }",
            ["\(rule).filters[0].urlRewrite.path.type: required, but missing"]
        ),
        (
            "{ filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replacePrefixMatch: /a } } }] }",
            [
                "\(rule).filters[0].urlRewrite.path.replacePrefixMatch: it does not belong to this type: use replaceFullPath",
                "\(rule).filters[0].urlRewrite.path.replaceFullPath: required, but missing",
            ]
        ),
        (
            "{ matches: [{ path: { type: Exact, value: /a } }], filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /b } } }] }",
            ["\(rule): replacePrefixMatch needs exactly one match, of a path of type PathPrefix"]
        ),
        (
            "{ matches: [{ path: { value: /a } }, { path: { value: /b } }], backendRefs: [{ name: web-v1, port: 80, filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /b } } }] }] }",
            ["\(rule): replacePrefixMatch needs exactly one match, of a path of type PathPrefix"]
        ),
        (
            "{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: web-v1, port: 80 }, percent: 101 } }] }",
            ["\(rule).filters[0].requestMirror.percent: 101 is not a number (0...100)"]
        ),
        (
            "{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: web-v1, port: 80 }, percent: 1, fraction: { numerator: 1 } } }] }",
            ["\(rule).filters[0].requestMirror: percent and fraction exclude each other"]
        ),
        (
            "{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: web-v1, port: 80 }, fraction: { numerator: 3, denominator: 2 } } }] }",
            ["\(rule).filters[0].requestMirror.fraction: the numerator 3 is more than the denominator 2"]
        ),
        (
            "{ filters: [{ type: RequestMirror, requestMirror: {} }] }",
            ["\(rule).filters[0].requestMirror.backendRef: required, but missing"]
        ),
        (
            "{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: a, value: \"b\\r\\nc\" }] } }] }",
            ["\(rule).filters[0].requestHeaderModifier.set[0].value: \"b\r\nc\" is not a header value (RFC 9110 §5.5)"]
        ),
        (
            "{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { remove: [a, a] } }] }",
            ["\(rule).filters[0].requestHeaderModifier.remove[1]: \"a\" is there twice"]
        ),
        (
            "{ filters: [{ type: CORS, cors: { allowOrigins: [\"*\", \"https://a\"] } }] }",
            ["\(rule).filters[0].cors.allowOrigins: \"*\" stands for all: leave the others out"]
        ),
        (
            "{ filters: [{ type: CORS, cors: { allowOrigins: [a.example.com] } }] }",
            [
                "\(rule).filters[0].cors.allowOrigins[0]: \"a.example.com\" is not an origin such as https://web.example.com or https://*.example.com"
            ]
        ),
        (
            "{ filters: [{ type: CORS, cors: { allowMethods: [GET, \"*\"] } }] }",
            ["\(rule).filters[0].cors.allowMethods: \"*\" stands for all: leave the others out"]
        ),
        (
            "{ filters: [{ type: CORS, cors: { maxAge: 0 } }] }",
            ["\(rule).filters[0].cors.maxAge: 0 is not a number (1...2147483647)"]
        ),
        // Backends.
        ("{ backendRefs: [{ name: web-v1 }] }", ["\(rule).backendRefs[0].port: required, but missing"]),
        ("{ backendRefs: [{ port: 80 }] }", ["\(rule).backendRefs[0].name: required, but missing"]),
        (
            "{ backendRefs: [{ name: web-v1, port: 80, weight: 1000001 }] }",
            ["\(rule).backendRefs[0].weight: 1000001 is not a number (0...1000000)"]
        ),
        ("{ backendRefs: [{ name: web-v1, port: 80, subset: v1 }] }", ["\(rule).backendRefs[0].subset: unknown field"]),
        // Resilience.
        (
            "{ timeouts: { request: 10 } }",
            ["\(rule).timeouts.request: expected a string, found the number 10: put it in quotes"]
        ),
        (
            "{ timeouts: { request: 1.5s } }",
            ["\(rule).timeouts.request: \"1.5s\" is not a duration such as 10s, 500ms or 1m30s"]
        ),
        (
            "{ timeouts: { request: 1s, backendRequest: 2s } }",
            ["\(rule).timeouts: backendRequest cannot be longer than request"]
        ),
        ("{ retry: { codes: [200] } }", ["\(rule).retry.codes[0]: 200 is not a status code (400...599)"]),
        ("{ retry: { attempts: 0 } }", ["\(rule).retry.attempts: 0 is not a number (1...100)"]),
        (
            "{ sessionPersistence: { cookieConfig: { lifetimeType: Permanent } } }",
            ["\(rule).sessionPersistence: a cookie of lifetimeType Permanent needs an absoluteTimeout"]
        ),
        (
            "{ sessionPersistence: { type: Header, cookie: { name: a } } }",
            ["\(rule).sessionPersistence.cookie: it does not belong to this type of session persistence"]
        ),
    ]

    @Test("say where and what", arguments: values)
    func errors(_ rules: String, _ expected: [String]) throws {
        #expect(try ConfigSourcesTests.errors(of: HTTPMesh.route(rules)) == expected)
    }

    @Test("name file, line and document")
    func place() throws {
        let outcome = try load(HTTPMesh.services + HTTPMesh.route("{ matches: [{ method: get }] }"))
        let lines = (HTTPMesh.services as String).split(separator: "\n", omittingEmptySubsequences: false).count
        #expect(
            outcome.errors.map(\.description) == [
                "mesh.yaml:\(lines + 4): document 7: spec.rules[0].matches[0].method: \"get\" is not one of GET, HEAD, "
                    + "POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"
            ])
    }

    private static let specs: [(String, [String])] = [
        (
            "{ \(HTTPMesh.parent), rules: [] }",
            ["spec.rules: at least one rule is required: leave rules out for the default one"]
        ),
        (
            "{ \(HTTPMesh.parent), rules: [\((0..<17).map { _ in "{}" }.joined(separator: ", "))] }",
            ["spec.rules: 17 rules, but at most 16 are allowed"]
        ),
        (
            "{ \(HTTPMesh.parent), hostnames: [Web.example.com] }",
            ["spec.hostnames[0]: \"Web.example.com\" is not a host name such as web.example.com or *.example.com"]
        ),
        (
            "{ \(HTTPMesh.parent), hostnames: [\"a.*.com\"] }",
            ["spec.hostnames[0]: \"a.*.com\" is not a host name such as web.example.com or *.example.com"]
        ),
        ("{ \(HTTPMesh.parent), gateways: [mesh] }", ["spec.gateways: unknown field"]),
        ("{ parentRefs: [{ group: \"\", kind: Service }] }", ["spec.parentRefs[0].name: required, but missing"]),
        (
            "{ parentRefs: [{ group: \"\", kind: Service, name: web, port: 80 }, { group: \"\", kind: Service, name: web }] }",
            ["spec.parentRefs[1]: two references to one parent need a sectionName or port each"]
        ),
        (
            "{ parentRefs: [{ group: \"\", kind: Service, name: web, port: 80 }, { group: \"\", kind: Service, name: web, namespace: shop, port: 80 }] }",
            ["spec.parentRefs[1]: two references to one parent need different sectionNames or ports"]
        ),
    ]

    @Test("of the specification as a whole", arguments: specs)
    func specification(_ spec: String, _ expected: [String]) throws {
        let text = HTTPMesh.object("gateway.networking.k8s.io/v1", "HTTPRoute", "web", spec)
        #expect(try ConfigSourcesTests.errors(of: text) == expected)
    }

    @Test("more than 128 matches in all")
    func matches() throws {
        let rule = "{ matches: [\((0..<43).map { "{ path: { value: /\($0) } }" }.joined(separator: ", "))] }"
        #expect(
            try ConfigSourcesTests.errors(of: HTTPMesh.route([rule, rule, rule].joined(separator: ", "))) == [
                "spec.rules: 129 matches in all rules together, but at most 128 are allowed"
            ])
    }

    @Test(
        "expressions that RE2 refuses",
        arguments: ["(a", "a)", "[a", "*a", "a\\", "(?=a)", "(a)\\1", "(?<!a)b"])
    func expressions(_ text: String) throws {
        let quoted = text.replacing("\\", with: "\\\\")
        let errors = try ConfigSourcesTests.errors(
            of: HTTPMesh.route("{ matches: [{ path: { type: RegularExpression, value: \"\(quoted)\" } }] }"))
        #expect(errors.count == 1)
        #expect(errors.first?.contains("is not a regular expression in the syntax of RE2") == true)
    }
}
