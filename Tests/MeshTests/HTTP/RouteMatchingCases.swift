extension RouteCase {
    /// Which rule a request takes.
    static let matching: [RouteCase] = [
        RouteCase(
            name: "MeshHTTPRouteSimpleSameNamespace",
            manifest: route("  - \(v1)"),
            rows: [Row(pod: "web-v1"), Row(path: "/any/thing?x=1", pod: "web-v1", seenPath: "/any/thing?x=1")]),
        RouteCase(
            name: "HTTPRouteExactPathMatching",
            manifest: route(
                """
                  - matches: [{ path: { type: Exact, value: /one } }]
                    \(v1)
                  - matches: [{ path: { type: Exact, value: /two } }]
                    \(v2)
                """),
            rows: [
                Row(path: "/one", pod: "web-v1"), Row(path: "/two", pod: "web-v2"), Row(path: "/", status: 404),
                Row(path: "/one/x", status: 404), Row(path: "/two/", status: 404), Row(path: "/One", status: 404),
                Row(path: "/two?q=1", pod: "web-v2"),
            ]),
        RouteCase(
            name: "MeshHTTPRouteMatching",
            manifest: route(
                """
                  - matches:
                    - path: { type: PathPrefix, value: / }
                    - headers: [{ name: version, value: one }]
                    \(v1)
                  - matches:
                    - path: { type: PathPrefix, value: /v2 }
                    - headers: [{ name: version, value: two }]
                    \(v2)
                """),
            rows: [
                Row(path: "/", pod: "web-v1"), Row(path: "/example", pod: "web-v1"),
                Row(path: "/", headers: ["Version": "one"], pod: "web-v1"),
                Row(path: "/v2", pod: "web-v2"), Row(path: "/v2/", pod: "web-v2"),
                Row(path: "/v2/example", pod: "web-v2"), Row(path: "/v2example", pod: "web-v1"),
                Row(path: "/foo/v2/example", pod: "web-v1"),
                Row(path: "/", headers: ["vERSION": "two"], pod: "web-v2"),
            ]),
        RouteCase(
            name: "HTTPRoutePathMatchOrder",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: /match/prefix/one } }]
                    \(v2)
                  - matches: [{ path: { type: PathPrefix, value: /match/prefix } }]
                    \(v1)
                  - matches: [{ path: { type: PathPrefix, value: /match } }]
                    \(v2)
                  - matches: [{ path: { type: Exact, value: /match/exact } }]
                    \(v1)
                  - matches: [{ path: { type: Exact, value: /match } }]
                    \(v1)
                """),
            rows: [
                Row(path: "/match/exact", pod: "web-v1"), Row(path: "/match", pod: "web-v1"),
                Row(path: "/match/prefix/one/any", pod: "web-v2"), Row(path: "/match/prefix/any", pod: "web-v1"),
                Row(path: "/match/any", pod: "web-v2"),
            ]),
        RouteCase(
            name: "HTTPRouteHeaderMatching",
            manifest: route(
                """
                  - matches: [{ headers: [{ name: version, value: one }] }]
                    \(v1)
                  - matches: [{ headers: [{ name: version, value: two }] }]
                    \(v2)
                  - matches:
                    - headers: [{ name: version, value: two }, { name: color, value: orange }]
                    \(v1)
                  - matches: [{ headers: [{ name: color, value: blue }] }, { headers: [{ name: color, value: green }] }]
                    \(v1)
                """),
            rows: [
                Row(headers: ["Version": "one"], pod: "web-v1"), Row(headers: ["Version": "two"], pod: "web-v2"),
                Row(headers: ["Version": "two", "Color": "orange"], pod: "web-v1"),
                Row(headers: ["Color": "blue"], pod: "web-v1"), Row(headers: ["Color": "green"], pod: "web-v1"),
                Row(headers: ["Color": "red"], status: 404), Row(headers: ["Version": "One"], status: 404),
                Row(status: 404, reason: "route_not_found"),
            ]),
        RouteCase(
            name: "MeshHTTPRouteQueryParamMatching",
            manifest: route(
                """
                  - matches: [{ queryParams: [{ name: animal, value: whale }] }]
                    \(v1)
                  - matches: [{ queryParams: [{ name: animal, value: dolphin }] }]
                    \(v2)
                  - matches:
                    - queryParams: [{ name: animal, value: dolphin }, { name: color, value: blue }]
                    \(v1)
                """),
            rows: [
                Row(path: "/?animal=whale", pod: "web-v1"), Row(path: "/?animal=dolphin", pod: "web-v2"),
                Row(path: "/?animal=dolphin&color=blue", pod: "web-v1"),
                Row(path: "/?color=blue&animal=dolphin", pod: "web-v1"),
                Row(path: "/?animal=whale&otherparam=irrelevant", pod: "web-v1"),
                Row(path: "/?color=blue", status: 404), Row(path: "/?animal=dog", status: 404),
                Row(path: "/?animal=whaledolphin", status: 404), Row(path: "/", status: 404),
            ]),
        RouteCase(
            name: "HTTPRouteMethodMatching",
            manifest: route(
                """
                  - matches: [{ method: POST }]
                    \(v1)
                  - matches: [{ method: GET }]
                    \(v2)
                  - matches: [{ path: { type: PathPrefix, value: /path } , method: PUT }]
                    \(v1)
                """),
            rows: [
                Row(method: "POST", pod: "web-v1"), Row(method: "GET", pod: "web-v2"), Row(method: "HEAD", status: 404),
                Row(method: "PUT", path: "/path/x", pod: "web-v1"), Row(method: "PUT", status: 404),
            ]),
        RouteCase(
            name: "MeshFrontendHostname",
            manifest: route("  - \(v1)", hostnames: ["web.shop", "*.example.com"])
                + "---\n" + route("  - \(v2)", hostnames: ["foo.example.com"], name: "foo"),
            rows: [
                Row(headers: ["Host": "web.shop"], pod: "web-v1"), Row(headers: ["Host": "WEB.SHOP"], pod: "web-v1"),
                Row(headers: ["Host": "web.shop:80"], pod: "web-v1"),
                Row(headers: ["Host": "web.shop."], pod: "web-v1"),
                Row(headers: ["Host": "bar.example.com"], pod: "web-v1"),
                Row(headers: ["Host": "a.bar.example.com"], pod: "web-v1"),
                Row(headers: ["Host": "foo.example.com"], pod: "web-v2"),
                Row(headers: ["Host": "example.com"], status: 404), Row(headers: ["Host": "other"], status: 404),
            ]),
        RouteCase(
            name: "MeshPorts",
            manifest: route("  - \(v2)", port: 80),
            rows: [
                Row(pod: "web-v2"),
                // Other services are nobody's parent here: the kernel balances them.
                Row(address: HTTPMesh.webV1, pod: "web-v1"),
            ]),
        RouteCase(
            name: "HTTPRouteMatchingAcrossRoutes",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: / } }]
                    \(v1)
                """)
                + "---\n"
                + route(
                    """
                      - matches: [{ path: { type: PathPrefix, value: /v2 } }]
                        \(v2)
                    """, name: "web-two"),
            rows: [
                Row(path: "/", pod: "web-v1"), Row(path: "/v2", pod: "web-v2"), Row(path: "/v2/x", pod: "web-v2"),
                Row(path: "/v2x", pod: "web-v1"),
            ]),
        RouteCase(
            name: "RegularExpressionMatching",
            manifest: route(
                """
                  - matches: [{ path: { type: RegularExpression, value: "/item/[0-9]+" } }]
                    \(v1)
                  - matches: [{ headers: [{ type: RegularExpression, name: agent, value: "curl/.*" }] }]
                    \(v2)
                """),
            rows: [
                Row(path: "/item/42", pod: "web-v1"), Row(path: "/item/x", status: 404),
                Row(path: "/x/item/42", status: 404), Row(path: "/item/42/x", status: 404),
                Row(headers: ["Agent": "curl/8"], pod: "web-v2"), Row(headers: ["Agent": "a curl/8"], status: 404),
            ]),
        RouteCase(
            name: "PathNormalisation",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: /admin } }]
                    \(v2)
                  - matches: [{ path: { type: PathPrefix, value: / } }]
                    \(v1)
                """),
            rows: [
                Row(path: "//admin", pod: "web-v2", seenPath: "/admin"),
                Row(path: "/x/../admin", pod: "web-v2", seenPath: "/admin"),
                Row(path: "/./admin/", pod: "web-v2", seenPath: "/admin/"),
                Row(path: "/%61dmin", pod: "web-v2", seenPath: "/admin"),
                Row(path: "/a%2Fadmin", status: 400), Row(path: "/a%00", status: 400),
            ]),
    ]
}
