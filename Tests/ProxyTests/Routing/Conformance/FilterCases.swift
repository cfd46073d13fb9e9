extension ConformanceCase {
    private static let v1 = "backendRefs: [{ name: echo-v1, port: 80 }]"

    /// Rules of one path each, with one filter.
    private static func rules(_ filters: KeyValuePairs<String, String>, backends: String = v1) -> String {
        filters.map {
            "{ matches: [{ path: { type: PathPrefix, value: \($0.key) } }], filters: [\($0.value)]\(backends.isEmpty ? "" : ", " + backends) }"
        }.joined(separator: ",\n                ")
    }

    private static func redirects(_ redirects: KeyValuePairs<String, String>) -> String {
        redirects.map {
            "{ matches: [{ path: { type: PathPrefix, value: \($0.key) } }], filters: [{ type: RequestRedirect, requestRedirect: \($0.value) }] }"
        }.joined(separator: ", ")
    }

    private static let modifyHeaders = """
        { type: RequestHeaderModifier, requestHeaderModifier: {
            set: [{ name: X-Header-Set, value: set-overwrites-values }],
            add: [{ name: X-Header-Add, value: header-val-1 }, { name: X-Header-Add-Append, value: header-val-2 }],
            remove: [X-Header-Remove] } }
        """

    static let filters: [ConformanceCase] =
        [
            ConformanceCase(
                "MeshHTTPRouteRequestHeaderModifier",
                route(
                    rules([
                        "/set":
                            "{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-Header-Set, value: set-overwrites-values }] } }",
                        "/add":
                            "{ type: RequestHeaderModifier, requestHeaderModifier: { add: [{ name: X-Header-Add, value: add-appends-values }] } }",
                        "/remove":
                            "{ type: RequestHeaderModifier, requestHeaderModifier: { remove: [X-Header-Remove] } }",
                        "/multiple": """
                        { type: RequestHeaderModifier, requestHeaderModifier: {
                            set: [{ name: X-Header-Set-1, value: header-set-1 }, { name: X-Header-Set-2, value: header-set-2 }],
                            add: [{ name: X-Header-Add-1, value: header-add-1 }, { name: X-Header-Add-2, value: header-add-2 },
                                  { name: X-Header-Add-3, value: header-add-3 }],
                            remove: [X-Header-Remove-1, X-Header-Remove-2] } }
                        """,
                        "/case-insensitivity": """
                        { type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: X-Header-Set, value: header-set }],
                            add: [{ name: X-Header-Add, value: header-add }], remove: [X-Header-Remove] } }
                        """,
                    ])),
                [
                    ConformanceExchange("/set", to: "echo-v1") {
                        $0.headers = ["Some-Other-Header": "val"]
                        $0.forwardedHeaders = ["Some-Other-Header": "val", "X-Header-Set": "set-overwrites-values"]
                    },
                    ConformanceExchange("/set", to: "echo-v1") {
                        $0.headers = ["Some-Other-Header": "val", "X-Header-Set": "some-other-value"]
                        $0.forwardedHeaders = ["Some-Other-Header": "val", "X-Header-Set": "set-overwrites-values"]
                    },
                    ConformanceExchange("/add", to: "echo-v1") {
                        $0.headers = ["Some-Other-Header": "val"]
                        $0.forwardedHeaders = ["Some-Other-Header": "val", "X-Header-Add": "add-appends-values"]
                    },
                    ConformanceExchange("/add", to: "echo-v1") {
                        $0.headers = ["X-Header-Add": "some-other-value"]
                        $0.forwardedHeaders = ["X-Header-Add": "some-other-value,add-appends-values"]
                    },
                    ConformanceExchange("/remove", to: "echo-v1") {
                        $0.headers = ["X-Header-Remove": "val"]
                        $0.forwardedHeaders = ["X-Header-Remove": nil]
                    },
                    ConformanceExchange("/multiple", to: "echo-v1") {
                        $0.headers = [
                            "X-Header-Set-2": "set-val-2", "X-Header-Add-2": "add-val-2",
                            "X-Header-Remove-2": "remove-val-2",
                            "Another-Header": "another-header-val",
                        ]
                        $0.forwardedHeaders = [
                            "X-Header-Set-1": "header-set-1", "X-Header-Set-2": "header-set-2",
                            "X-Header-Add-1": "header-add-1", "X-Header-Add-2": "add-val-2,header-add-2",
                            "X-Header-Add-3": "header-add-3", "Another-Header": "another-header-val",
                            "X-Header-Remove-1": nil, "X-Header-Remove-2": nil,
                        ]
                    },
                    ConformanceExchange("/case-insensitivity", to: "echo-v1") {
                        $0.headers = [
                            "x-header-set": "original-val-set", "x-header-add": "original-val-add",
                            "x-header-remove": "original-val-remove", "Another-Header": "another-header-val",
                        ]
                        $0.forwardedHeaders = [
                            "X-Header-Set": "header-set", "X-Header-Add": "original-val-add,header-add",
                            "Another-Header": "another-header-val", "X-Header-Remove": nil,
                        ]
                    },
                ]),
            ConformanceCase(
                "MeshHTTPRouteBackendRequestHeaderModifier",
                route("{ backendRefs: [{ name: echo-v1, port: 80, filters: [\(modifyHeaders)] }] }"),
                [
                    ConformanceExchange("/", to: "echo-v1") {
                        $0.headers = ["X-Header-Remove": "x", "X-Header-Add-Append": "y"]
                        $0.forwardedHeaders = [
                            "X-Header-Set": "set-overwrites-values", "X-Header-Add": "header-val-1",
                            "X-Header-Add-Append": "y,header-val-2", "X-Header-Remove": nil,
                        ]
                    }
                ]),
            ConformanceCase(
                "HTTPRouteResponseHeaderModifier",
                route(
                    rules([
                        "/multiple": """
                        { type: ResponseHeaderModifier, responseHeaderModifier: {
                            set: [{ name: X-Header-Set-1, value: header-set-1 }, { name: X-Header-Set-2, value: header-set-2 }],
                            add: [{ name: X-Header-Add-1, value: header-add-1 }, { name: X-Header-Add-2, value: header-add-2 }],
                            remove: [X-Header-Remove-1, X-Header-Remove-2] } }
                        """
                    ])),
                [
                    ConformanceExchange("/multiple", to: "echo-v1") {
                        $0.backendHeaders = [
                            "X-Header-Set-2": "set-val-2", "X-Header-Add-2": "add-val-2",
                            "X-Header-Remove-2": "remove-val-2",
                            "Another-Header": "another-header-val", "x-header-remove-1": "x",
                        ]
                        $0.responseHeaders = [
                            "X-Header-Set-1": "header-set-1", "X-Header-Set-2": "header-set-2",
                            "X-Header-Add-1": "header-add-1", "X-Header-Add-2": "add-val-2,header-add-2",
                            "X-Header-Remove-1": nil, "X-Header-Remove-2": nil, "Another-Header": "another-header-val",
                        ]
                    }
                ]),
            ConformanceCase(
                "MeshHTTPRouteRewritePath",
                route(
                    rules([
                        "/prefix/one":
                            "{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /one } } }",
                        "/strip-prefix":
                            "{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } } }",
                        "/full/one":
                            "{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /one } } }",
                        "/full/rewrite-path-and-modify-headers":
                            "{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /test } } }, \(modifyHeaders)",
                        "/prefix/rewrite-path-and-modify-headers":
                            "{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /prefix } } }, \(modifyHeaders)",
                    ])),
                [
                    ConformanceExchange("/prefix/one/two", to: "echo-v1") { $0.forwardedPath = "/one/two" },
                    ConformanceExchange("/strip-prefix/three", to: "echo-v1") { $0.forwardedPath = "/three" },
                    ConformanceExchange("/strip-prefix", to: "echo-v1") { $0.forwardedPath = "/" },
                    ConformanceExchange("/full/one/two", to: "echo-v1") { $0.forwardedPath = "/one" },
                    ConformanceExchange("/full/rewrite-path-and-modify-headers/test", to: "echo-v1") {
                        $0.headers = [
                            "X-Header-Remove": "remove-val", "X-Header-Add-Append": "append-val-1",
                            "X-Header-Set": "set-val",
                        ]
                        $0.forwardedPath = "/test"
                        $0.forwardedHeaders = [
                            "X-Header-Add": "header-val-1", "X-Header-Add-Append": "append-val-1,header-val-2",
                            "X-Header-Set": "set-overwrites-values", "X-Header-Remove": nil,
                        ]
                    },
                    ConformanceExchange("/prefix/rewrite-path-and-modify-headers/one", to: "echo-v1") {
                        $0.headers = ["X-Header-Remove": "remove-val"]
                        $0.forwardedPath = "/prefix/one"
                        $0.forwardedHeaders = ["X-Header-Set": "set-overwrites-values", "X-Header-Remove": nil]
                    },
                ]),
            ConformanceCase(
                "HTTPRouteRewriteHost",
                route(
                    rules(["/one": "{ type: URLRewrite, urlRewrite: { hostname: one.example.org } }"]) + ", "
                        + """
                        { filters: [{ type: URLRewrite, urlRewrite: { hostname: example.org } }],
                          backendRefs: [{ name: echo-v2, port: 8080 }] }
                        """, more: "hostnames: [rewrite.example]"),
                [
                    ConformanceExchange("/one", to: "echo-v1") {
                        $0.host = "rewrite.example"
                        $0.forwardedHost = "one.example.org"
                    },
                    ConformanceExchange("/two", to: "echo-v2") {
                        $0.host = "rewrite.example"
                        $0.forwardedHost = "example.org"
                    },
                ]),
            ConformanceCase(
                "HTTPRouteBackendURLRewrite",
                route(
                    """
                    { matches: [{ path: { type: PathPrefix, value: /full } }], backendRefs: [{ name: echo-v1, port: 80,
                        filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /rewritten-full } } }] }] },
                    { matches: [{ path: { type: PathPrefix, value: /prefix } }], backendRefs: [{ name: echo-v1, port: 80,
                        filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /rewritten-prefix } } }] }] }
                    """),
                [
                    ConformanceExchange("/full/original", to: "echo-v1") { $0.forwardedPath = "/rewritten-full" },
                    ConformanceExchange("/prefix/original", to: "echo-v1") {
                        $0.forwardedPath = "/rewritten-prefix/original"
                    },
                ]),
            ConformanceCase(
                "HTTPRouteBackendRequestRedirect",
                route(
                    """
                    { matches: [{ path: { type: PathPrefix, value: /full } }], backendRefs: [{ name: echo-v1, port: 80,
                        filters: [{ type: RequestRedirect, requestRedirect: { path: { type: ReplaceFullPath, replaceFullPath: /redirected-full } } }] }] },
                    { matches: [{ path: { type: PathPrefix, value: /prefix } }], backendRefs: [{ name: echo-v1, port: 80,
                        filters: [{ type: RequestRedirect, requestRedirect: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /redirected-prefix } } }] }] }
                    """),
                [
                    ConformanceExchange("/full/original", redirectsTo: "http://echo/redirected-full"),
                    ConformanceExchange("/prefix/original", redirectsTo: "http://echo/redirected-prefix/original"),
                ]),
            ConformanceCase(
                "MeshHTTPRouteRedirectHostAndStatus",
                route(
                    redirects([
                        "/hostname-redirect": "{ hostname: example.org }",
                        "/host-and-status": "{ statusCode: 301, hostname: example.org }",
                    ])),
                [
                    ConformanceExchange("/hostname-redirect", redirectsTo: "http://example.org/hostname-redirect"),
                    ConformanceExchange("/host-and-status", redirectsTo: "http://example.org/host-and-status", 301),
                ]),
            ConformanceCase(
                "MeshHTTPRouteRedirectPath",
                route(
                    redirects([
                        "/original-prefix":
                            "{ path: { type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix } }",
                        "/full": "{ path: { type: ReplaceFullPath, replaceFullPath: /full-path-replacement } }",
                        "/path-and-host":
                            "{ hostname: example.org, path: { type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix } }",
                        "/path-and-status":
                            "{ path: { type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix }, statusCode: 301 }",
                        "/full-path-and-host":
                            "{ hostname: example.org, path: { type: ReplaceFullPath, replaceFullPath: /replacement-full } }",
                        "/full-path-and-status":
                            "{ path: { type: ReplaceFullPath, replaceFullPath: /replacement-full }, statusCode: 301 }",
                    ])),
                [
                    ConformanceExchange("/original-prefix/lemon", redirectsTo: "http://echo/replacement-prefix/lemon"),
                    ConformanceExchange("/full/path/original", redirectsTo: "http://echo/full-path-replacement"),
                    ConformanceExchange("/path-and-host", redirectsTo: "http://example.org/replacement-prefix"),
                    ConformanceExchange("/path-and-status", redirectsTo: "http://echo/replacement-prefix", 301),
                    ConformanceExchange("/full-path-and-host", redirectsTo: "http://example.org/replacement-full"),
                    ConformanceExchange("/full-path-and-status", redirectsTo: "http://echo/replacement-full", 301),
                ]),
            ConformanceCase(
                "MeshHTTPRouteRedirectPort",
                route(
                    redirects([
                        "/port": "{ port: 8083 }", "/port-and-host": "{ hostname: example.org, port: 8083 }",
                        "/port-and-status": "{ port: 8083, statusCode: 301 }",
                        "/port-and-host-and-status": "{ port: 8083, hostname: example.org, statusCode: 302 }",
                    ])),
                [
                    ConformanceExchange("/port", redirectsTo: "http://echo:8083/port"),
                    ConformanceExchange("/port-and-host", redirectsTo: "http://example.org:8083/port-and-host"),
                    ConformanceExchange("/port-and-status", redirectsTo: "http://echo:8083/port-and-status", 301),
                    ConformanceExchange(
                        "/port-and-host-and-status", redirectsTo: "http://example.org:8083/port-and-host-and-status"),
                ]),
            ConformanceCase(
                "MeshHTTPRouteSchemeRedirect",
                route(
                    redirects([
                        "/scheme": "{ scheme: https }", "/scheme-and-host": "{ hostname: example.org, scheme: https }",
                        "/scheme-and-status": "{ scheme: https, statusCode: 301 }",
                        "/scheme-and-host-and-status": "{ scheme: https, statusCode: 302, hostname: example.org }",
                    ])),
                [
                    ConformanceExchange("/scheme", redirectsTo: "https://echo/scheme"),
                    ConformanceExchange("/scheme-and-host", redirectsTo: "https://example.org/scheme-and-host"),
                    ConformanceExchange("/scheme-and-status", redirectsTo: "https://echo/scheme-and-status", 301),
                    ConformanceExchange(
                        "/scheme-and-host-and-status", redirectsTo: "https://example.org/scheme-and-host-and-status"),
                ]),
            ConformanceCase(
                "MeshHTTPRoute303Redirect, 307, 308",
                route(
                    redirects([
                        "/303": "{ hostname: example.org, statusCode: 303 }",
                        "/307": "{ hostname: example.org, statusCode: 307 }",
                        "/308": "{ hostname: example.org, statusCode: 308 }",
                    ])),
                [303, 307, 308].map {
                    ConformanceExchange("/\($0)", redirectsTo: "http://example.org/\($0)", $0)
                }),
        ] + cors

    private static let cors: [ConformanceCase] = [
        ConformanceCase(
            "HTTPRouteCORS",
            route(
                rules([
                    "/cors-1": """
                    { type: CORS, cors: { allowOrigins: ["https://www.foo.com", "https://*.bar.com"], allowMethods: [GET, OPTIONS],
                        allowHeaders: [x-header-1, x-header-2], exposeHeaders: [x-header-3, x-header-4],
                        allowCredentials: true, maxAge: 3600 } }
                    """,
                    "/cors-2":
                        "{ type: CORS, cors: { allowOrigins: [\"https://www.foo.com\"], allowMethods: [\"*\"] } }",
                    "/cors-wildcard-origin":
                        "{ type: CORS, cors: { allowOrigins: [\"*\"], allowMethods: [PUT], allowCredentials: false } }",
                    "/cors-wildcard-methods-headers": """
                    { type: CORS, cors: { allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], allowCredentials: true } }
                    """,
                ])),
            [
                preflight("/cors-1", "https://www.foo.com", "GET", allowed),
                preflight("/cors-1", "https://xpto.www.bar.com", "GET", allowed),
                // Not allowed: answered by the backend, without permission.
                ConformanceExchange("/cors-1", to: "echo-v1") {
                    $0.method = "OPTIONS"
                    $0.headers = ["Origin": "https://foobar.com", "Access-Control-Request-Method": "GET"]
                    $0.responseHeaders = ["access-control-allow-origin": nil]
                },
                simple("/cors-1", "https://www.bar.com", "https://www.bar.com"),
                simple("/cors-1", "https://foobar.com", nil),
                preflight(
                    "/cors-2", "https://www.foo.com", "POST",
                    [
                        "access-control-allow-origin": "https://www.foo.com", "access-control-allow-methods": "*",
                        "access-control-allow-credentials": nil,
                    ]),
                preflight(
                    "/cors-wildcard-origin", "https://foobar.com:12345", "PUT",
                    [
                        "access-control-allow-origin": "*", "access-control-allow-methods": "PUT",
                        "access-control-allow-credentials": nil,
                    ]), simple("/cors-wildcard-origin", "https://foobar.com", "*"),
                preflight(
                    "/cors-wildcard-methods-headers", "https://other.foo.com", "PUT",
                    [
                        "access-control-allow-origin": "https://other.foo.com", "access-control-allow-methods": "PUT",
                        "access-control-allow-headers": "x-header-1, x-header-2",
                        "access-control-allow-credentials": "true",
                    ]),
            ])
    ]

    private static let allowed: [String: String?] = [
        "access-control-allow-methods": "GET, OPTIONS", "access-control-allow-headers": "x-header-1, x-header-2",
        "access-control-expose-headers": "x-header-3, x-header-4", "access-control-max-age": "3600",
        "access-control-allow-credentials": "true",
    ]

    private static func preflight(
        _ path: String, _ origin: String, _ method: String, _ expected: [String: String?]
    ) -> ConformanceExchange {
        ConformanceExchange(path) {
            $0.method = "OPTIONS"
            $0.status = 204
            $0.headers = [
                "Origin": origin, "access-control-request-method": method,
                "access-control-request-headers": "x-header-1, x-header-2",
            ]
            $0.responseHeaders = expected
        }
    }

    private static func simple(_ path: String, _ origin: String, _ allowed: String?) -> ConformanceExchange {
        ConformanceExchange(path, to: "echo-v1") {
            $0.headers = ["Origin": origin]
            $0.responseHeaders = ["access-control-allow-origin": allowed]
        }
    }
}
