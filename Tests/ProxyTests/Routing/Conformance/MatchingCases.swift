extension ConformanceCase {
    static let matching: [ConformanceCase] = [
        ConformanceCase(
            "MeshHTTPRouteSimpleSameNamespace", route("{ backendRefs: [{ name: echo-v1, port: 80 }] }"),
            [ConformanceExchange("/", to: "echo-v1"), ConformanceExchange("/any/path?x", to: "echo-v1")]),
        ConformanceCase(
            "MeshPorts",
            route(
                """
                { filters: [{ type: ResponseHeaderModifier,
                              responseHeaderModifier: { set: [{ name: X-Header-Set, value: v1 }] } }],
                  backendRefs: [{ name: echo-v1, port: 80 }] }
                """, name: "split-v1", parent: "echo-v1")
                + route(
                    """
                    { filters: [{ type: ResponseHeaderModifier,
                                  responseHeaderModifier: { set: [{ name: X-Header-Set, value: v2 }] } }],
                      backendRefs: [{ name: echo-v2, port: 80 }] }
                    """, name: "split-v2", parent: "echo-v2", port: nil),
            [
                ConformanceExchange("/", to: "echo-v1") {
                    $0.service = "echo-v1"
                    $0.responseHeaders = ["X-Header-Set": "v1"]
                },
                ConformanceExchange("/", to: "echo-v2") {
                    $0.service = "echo-v2"
                    $0.responseHeaders = ["X-Header-Set": "v2"]
                },
                ConformanceExchange("/", to: "echo-v2") {
                    $0.service = "echo-v2"
                    $0.port = 8080
                    $0.responseHeaders = ["X-Header-Set": "v2"]
                },
            ]),
        ConformanceCase(
            "MeshConsumerRoute",
            route(
                """
                { filters: [{ type: ResponseHeaderModifier,
                              responseHeaderModifier: { set: [{ name: X-Header-Set, value: set }] } }],
                  backendRefs: [{ name: echo-v1, namespace: \(namespace), port: 80 }] }
                """, parent: "echo-v1", port: nil, namespace: "\(namespace)-consumer"),
            [
                ConformanceExchange("/", to: "echo-v1") {
                    $0.service = "echo-v1"
                    $0.client = "\(namespace)-consumer"
                    $0.responseHeaders = ["X-Header-Set": "set"]
                },
                ConformanceExchange("/", to: "echo-v1") {
                    $0.service = "echo-v1"
                    $0.responseHeaders = ["X-Header-Set": nil]
                },
            ]),
        ConformanceCase(
            "MeshHTTPRouteMatching",
            route(
                """
                { matches: [{ path: { type: PathPrefix, value: / } }, { headers: [{ name: version, value: one }] }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /v2 } }, { headers: [{ name: version, value: two }] }],
                  backendRefs: [{ name: echo-v2, port: 8080 }] }
                """),
            [
                ConformanceExchange("/", to: "echo-v1"), ConformanceExchange("/example", to: "echo-v1"),
                ConformanceExchange("/", to: "echo-v1") { $0.headers = ["Version": "one"] },
                ConformanceExchange("/v2", to: "echo-v2"), ConformanceExchange("/v2/example", to: "echo-v2"),
                ConformanceExchange("/", to: "echo-v2") { $0.headers = ["Version": "two"] },
                ConformanceExchange("/v2/", to: "echo-v2"), ConformanceExchange("/v2example", to: "echo-v1"),
                ConformanceExchange("/foo/v2/example", to: "echo-v1"),
            ]),
        ConformanceCase(
            "HTTPRouteMatchingAcrossRoutes",
            route(
                """
                { matches: [{ path: { type: PathPrefix, value: / } }, { headers: [{ name: version, value: one }] }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] }
                """, name: "part1", more: "hostnames: [example.com, example.net]")
                + route(
                    """
                    { matches: [{ path: { type: PathPrefix, value: /v2 } }, { headers: [{ name: version, value: two }] }],
                      backendRefs: [{ name: echo-v2, port: 8080 }] }
                    """, name: "part2", more: "hostnames: [example.com]"),
            [
                ("example.com", "/", nil, "echo-v1"), ("example.com", "/example", nil, "echo-v1"),
                ("example.net", "/example", nil, "echo-v1"), ("example.com", "/example", "one", "echo-v1"),
                ("example.com", "/v2", nil, "echo-v2"), ("example.net", "/v2", nil, "echo-v1"),
                ("example.com", "/v2/example", nil, "echo-v2"), ("example.com", "/", "two", "echo-v2"),
            ].map { (host: String, path: String, version: String?, backend: String) in
                ConformanceExchange(path, to: backend) {
                    $0.host = host
                    $0.headers = version.map { ["Version": $0] } ?? [:]
                }
            }),
        ConformanceCase(
            "MeshHTTPRouteQueryParamMatching",
            route(
                """
                { matches: [{ queryParams: [{ name: animal, value: whale }] }], backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ queryParams: [{ name: animal, value: dolphin }] }], backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path1 }, queryParams: [{ name: animal, value: whale }] }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ headers: [{ name: version, value: one }], queryParams: [{ name: animal, value: whale }] }],
                  backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path3 }, queryParams: [{ name: animal, value: shark }] },
                            { path: { type: PathPrefix, value: /path4 }, headers: [{ name: version, value: three }],
                              queryParams: [{ name: animal, value: kraken }] }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path5 } }], backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ queryParams: [{ name: animal, value: hydra }] }], backendRefs: [{ name: echo-v2, port: 8080 }] }
                """),
            [
                ConformanceExchange("/?animal=whale", to: "echo-v1"),
                ConformanceExchange("/?animal=dolphin", to: "echo-v2"),
                ConformanceExchange("/?animal=whale&otherparam=irrelevant", to: "echo-v1"),
                ConformanceExchange("/?animal=dolphin&color=yellow", to: "echo-v2"),
                ConformanceExchange("/?color=blue", fails: 404), ConformanceExchange("/?animal=dog", fails: 404),
                ConformanceExchange("/?animal=whaledolphin", fails: 404), ConformanceExchange("/", fails: 404),
                ConformanceExchange("/path1?animal=whale", to: "echo-v1"),
                ConformanceExchange("/?animal=whale", to: "echo-v2") { $0.headers = ["version": "one"] },
                ConformanceExchange("/path3?animal=shark", to: "echo-v1"),
                ConformanceExchange("/path4?animal=kraken", to: "echo-v1") { $0.headers = ["version": "three"] },
                ConformanceExchange("/?animal=shark", fails: 404),
                ConformanceExchange("/path4?animal=kraken", fails: 404),
                ConformanceExchange("/path5?animal=hydra", to: "echo-v1"),
            ]),
        ConformanceCase(
            "HTTPRouteMethodMatching",
            route(
                """
                { matches: [{ method: POST }], backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ method: GET }], backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path1 }, method: GET }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ headers: [{ name: version, value: one }], method: PUT }],
                  backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path2 }, headers: [{ name: version, value: two }], method: POST }],
                  backendRefs: [{ name: echo-v3, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path3 }, method: PATCH },
                            { path: { type: PathPrefix, value: /path4 }, headers: [{ name: version, value: three }], method: DELETE }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /path5 } }], backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ method: PATCH }], backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ headers: [{ name: version, value: four }] }], backendRefs: [{ name: echo-v3, port: 8080 }] }
                """),
            [
                ("POST", "/", nil, "echo-v1"), ("GET", "/", nil, "echo-v2"), ("HEAD", "/", nil, nil),
                ("GET", "/path1", nil, "echo-v1"), ("PUT", "/", "one", "echo-v2"), ("POST", "/path2", "two", "echo-v3"),
                ("PATCH", "/path3", nil, "echo-v1"), ("DELETE", "/path4", "three", "echo-v1"), ("PUT", "/", nil, nil),
                ("DELETE", "/path4", nil, nil), ("PATCH", "/path5", nil, "echo-v1"), ("PATCH", "/", "four", "echo-v2"),
            ].map { (method: String, path: String, version: String?, backend: String?) in
                ConformanceExchange(path, to: backend) {
                    $0.method = method
                    $0.headers = version.map { ["version": $0] } ?? [:]
                    $0.status = backend == nil ? 404 : 200
                }
            }),
        ConformanceCase(
            "HTTPRouteExactPathMatching and PathMatchOrder",
            route(
                """
                { matches: [{ path: { type: Exact, value: /match } }], backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: Exact, value: /match/exact } }], backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ path: { type: Exact, value: /match/exact/one } }], backendRefs: [{ name: echo-v3, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /match/ } }], backendRefs: [{ name: echo-v3, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /match/prefix/ } }], backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /match/prefix/one } }], backendRefs: [{ name: echo-v2, port: 8080 }] },
                { matches: [{ path: { type: Exact, value: /one } }], backendRefs: [{ name: echo-v1, port: 8080 }] }
                """),
            [
                ConformanceExchange("/match/exact/one", to: "echo-v3"),
                ConformanceExchange("/match/exact", to: "echo-v2"),
                ConformanceExchange("/match", to: "echo-v1"),
                ConformanceExchange("/match/prefix/one/any", to: "echo-v2"),
                ConformanceExchange("/match/prefix/any", to: "echo-v1"),
                ConformanceExchange("/match/any", to: "echo-v3"),
                ConformanceExchange("/one", to: "echo-v1"), ConformanceExchange("/one/example", fails: 404),
                ConformanceExchange("/", fails: 404), ConformanceExchange("/One", fails: 404),
            ]),
        ConformanceCase(
            "MeshHTTPRouteNamedRule",
            route(
                """
                { name: named-rule, matches: [{ path: { type: PathPrefix, value: /named } }],
                  backendRefs: [{ name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /unnamed } }], backendRefs: [{ name: echo-v2, port: 8080 }] }
                """),
            [
                ConformanceExchange("/named", to: "echo-v1"), ConformanceExchange("/unnamed", to: "echo-v2"),
                ConformanceExchange("/other", fails: 404),
            ]),
        ConformanceCase(
            "HTTPRouteInvalidNonExistentBackendRef and NoBackendRefs",
            route(
                """
                { matches: [{ path: { type: PathPrefix, value: /missing } }], backendRefs: [{ name: not-there, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /kind } }],
                  backendRefs: [{ group: unknown.example, kind: Thing, name: echo-v1, port: 8080 }] },
                { matches: [{ path: { type: PathPrefix, value: /none } }] }
                """),
            [
                ConformanceExchange("/missing", fails: 500), ConformanceExchange("/kind", fails: 500),
                ConformanceExchange("/none", fails: 500), ConformanceExchange("/other", fails: 404),
            ]),
    ]
}
