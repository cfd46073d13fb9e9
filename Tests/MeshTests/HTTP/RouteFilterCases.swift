extension RouteCase {
    /// What rules do to requests and answers.
    static let filters: [RouteCase] = [
        RouteCase(
            name: "MeshHTTPRouteRequestHeaderModifier",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: /set } }]
                    filters:
                    - type: RequestHeaderModifier
                      requestHeaderModifier: { set: [{ name: X-Header-Set, value: set-overwrites-values }] }
                    \(v1)
                  - matches: [{ path: { type: PathPrefix, value: /add } }]
                    filters:
                    - type: RequestHeaderModifier
                      requestHeaderModifier: { add: [{ name: X-Header-Add, value: add-appends-values }] }
                    \(v1)
                  - matches: [{ path: { type: PathPrefix, value: /remove } }]
                    filters:
                    - type: RequestHeaderModifier
                      requestHeaderModifier: { remove: [X-Header-Remove] }
                    \(v1)
                """),
            rows: [
                Row(
                    path: "/set", headers: ["Some-Other": "val"], pod: "web-v1",
                    seen: ["X-Header-Set": "set-overwrites-values", "Some-Other": "val"]),
                Row(path: "/set", headers: ["x-header-set": "some"], seen: ["X-Header-Set": "set-overwrites-values"]),
                Row(path: "/add", seen: ["X-Header-Add": "add-appends-values"]),
                Row(
                    path: "/add", headers: ["X-Header-Add": "some"], seen: ["X-Header-Add": "some, add-appends-values"]),
                Row(
                    path: "/remove", headers: ["X-HEADER-REMOVE": "val", "X-Kept": "1"],
                    seen: ["X-Header-Remove": nil, "X-Kept": "1"]),
            ]),
        RouteCase(
            name: "MeshHTTPRouteBackendRequestHeaderModifier",
            manifest: route(
                """
                  - backendRefs:
                    - name: web-v1
                      port: 80
                      filters:
                      - type: RequestHeaderModifier
                        requestHeaderModifier: { set: [{ name: X-Backend, value: one }] }
                """),
            rows: [Row(pod: "web-v1", seen: ["X-Backend": "one"])]),
        RouteCase(
            name: "HTTPRouteResponseHeaderModifier",
            manifest: route(
                """
                  - filters:
                    - type: ResponseHeaderModifier
                      responseHeaderModifier:
                        set: [{ name: X-Pod, value: changed }]
                        add: [{ name: X-Added, value: added }]
                        remove: [Server]
                    \(v1)
                """),
            rows: [Row(pod: "web-v1", answered: ["X-Pod": "changed", "X-Added": "added", "Server": nil])]),
        RouteCase(
            name: "MeshHTTPRouteRewritePath",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: /prefix/one } }]
                    filters:
                    - type: URLRewrite
                      urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /one } }
                    \(v1)
                  - matches: [{ path: { type: PathPrefix, value: /full/one } }]
                    filters:
                    - type: URLRewrite
                      urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /one } }
                    \(v1)
                  - matches: [{ path: { type: PathPrefix, value: /strip-prefix } }]
                    filters:
                    - type: URLRewrite
                      urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } }
                    \(v2)
                """),
            rows: [
                Row(path: "/prefix/one/two", pod: "web-v1", seenPath: "/one/two"),
                Row(path: "/prefix/one", seenPath: "/one"), Row(path: "/prefix/one/?q=1", seenPath: "/one/?q=1"),
                Row(path: "/full/one/two", seenPath: "/one"), Row(path: "/full/one?q=1", seenPath: "/one?q=1"),
                Row(path: "/strip-prefix", pod: "web-v2", seenPath: "/"),
                Row(path: "/strip-prefix/three", seenPath: "/three"), Row(path: "/strip-prefix/", seenPath: "/"),
            ]),
        RouteCase(
            name: "HTTPRouteRewriteHost",
            manifest: route(
                """
                  - filters:
                    - type: URLRewrite
                      urlRewrite: { hostname: one.example.org }
                    \(v1)
                """),
            rows: [Row(headers: ["Host": "web.shop"], pod: "web-v1", seen: ["Host": "one.example.org"])]),
        RouteCase(
            name: "MeshHTTPRouteRedirectHostAndStatus",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: /hostname } }]
                    filters:
                    - type: RequestRedirect
                      requestRedirect: { hostname: example.org }
                  - matches: [{ path: { type: PathPrefix, value: /moved } }]
                    filters:
                    - type: RequestRedirect
                      requestRedirect: { hostname: example.org, statusCode: 301 }
                  - matches: [{ path: { type: PathPrefix, value: /see } }]
                    filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 303 } }]
                  - matches: [{ path: { type: PathPrefix, value: /temporary } }]
                    filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 307 } }]
                  - matches: [{ path: { type: PathPrefix, value: /permanent } }]
                    filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 308 } }]
                """),
            rows: [
                Row(
                    path: "/hostname/x?q=1", headers: ["Host": "web.shop"], status: 302,
                    answered: ["Location": "http://example.org/hostname/x?q=1"]),
                Row(path: "/moved", status: 301, answered: ["Location": "http://example.org/moved"]),
                Row(
                    path: "/see", headers: ["Host": "web.shop"], status: 303,
                    answered: ["Location": "http://web.shop/see"]),
                Row(path: "/temporary", headers: ["Host": "web.shop"], status: 307),
                Row(path: "/permanent", headers: ["Host": "web.shop"], status: 308),
            ]),
        RouteCase(
            name: "MeshHTTPRouteRedirectPathPortAndScheme",
            manifest: route(
                """
                  - matches: [{ path: { type: PathPrefix, value: /prefix } }]
                    filters:
                    - type: RequestRedirect
                      requestRedirect: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /replacement } }
                  - matches: [{ path: { type: PathPrefix, value: /full } }]
                    filters:
                    - type: RequestRedirect
                      requestRedirect: { path: { type: ReplaceFullPath, replaceFullPath: /other } }
                  - matches: [{ path: { type: PathPrefix, value: /port } }]
                    filters: [{ type: RequestRedirect, requestRedirect: { port: 8083 } }]
                  - matches: [{ path: { type: PathPrefix, value: /scheme } }]
                    filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }]
                  - matches: [{ path: { type: PathPrefix, value: /both } }]
                    filters: [{ type: RequestRedirect, requestRedirect: { scheme: https, port: 8443 } }]
                """),
            rows: [
                Row(
                    path: "/prefix/x", headers: ["Host": "web.shop"], status: 302,
                    answered: ["Location": "http://web.shop/replacement/x"]),
                Row(
                    path: "/full/x", headers: ["Host": "web.shop"], status: 302,
                    answered: ["Location": "http://web.shop/other"]),
                Row(
                    path: "/port", headers: ["Host": "web.shop"], status: 302,
                    answered: ["Location": "http://web.shop:8083/port"]),
                Row(
                    path: "/scheme", headers: ["Host": "web.shop"], status: 302,
                    answered: ["Location": "https://web.shop/scheme"]),
                Row(
                    path: "/both", headers: ["Host": "web.shop"], status: 302,
                    answered: ["Location": "https://web.shop:8443/both"]),
            ]),
        RouteCase(
            name: "HTTPRouteCORS",
            manifest: route(
                """
                  - filters:
                    - type: CORS
                      cors:
                        allowOrigins: ["https://www.foo.example", "https://*.bar.example"]
                        allowMethods: [GET, OPTIONS]
                        allowHeaders: [x-header-1]
                        exposeHeaders: [x-header-3]
                        allowCredentials: true
                        maxAge: 3600
                    \(v1)
                """),
            rows: [
                Row(
                    method: "OPTIONS",
                    headers: ["Origin": "https://www.foo.example", "Access-Control-Request-Method": "GET"], status: 204,
                    answered: [
                        "Access-Control-Allow-Origin": "https://www.foo.example",
                        "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "3600", "X-Pod": nil,
                    ]),
                Row(
                    headers: ["Origin": "https://a.bar.example"], pod: "web-v1",
                    answered: [
                        "Access-Control-Allow-Origin": "https://a.bar.example",
                        "Access-Control-Expose-Headers": "x-header-3",
                    ]),
                Row(
                    headers: ["Origin": "https://other.example"], pod: "web-v1",
                    answered: ["Access-Control-Allow-Origin": nil]),
                Row(pod: "web-v1", answered: ["Access-Control-Allow-Origin": nil]),
            ]),
    ]

    /// Backends that are not there, in time or at all.
    static let backends: [RouteCase] = [
        RouteCase(
            name: "HTTPRouteInvalidNonExistentBackendRef",
            manifest: route("  - backendRefs: [{ name: nothing-here, port: 80 }]"),
            rows: [Row(status: 500, reason: "invalid_backend")]),
        RouteCase(
            name: "HTTPRouteInvalidBackendRefUnknownKind",
            manifest: route("  - backendRefs: [{ group: unknown.io, kind: Thing, name: x, port: 80 }]"),
            rows: [Row(status: 500, reason: "invalid_backend")]),
        RouteCase(
            name: "HTTPRouteNoBackendRefs",
            manifest: route("  - matches: [{ path: { type: PathPrefix, value: / } }]"),
            rows: [Row(status: 500)]),
        RouteCase(
            name: "NoEndpoints",
            manifest: Manifest.service("empty", address: "127.96.0.29") + "---\n"
                + route("  - backendRefs: [{ name: empty, port: 80 }]"),
            rows: [Row(status: 503, reason: "no_healthy_upstream")]),
        RouteCase(
            name: "HTTPRouteTimeoutRequest",
            manifest: route(
                """
                  - timeouts: { request: 300ms }
                    \(v1)
                """),
            rows: [
                Row(pod: "web-v1"), Row(path: "/?delay=2000", status: 504, reason: "response_timeout"),
            ]),
        RouteCase(
            name: "HTTPRouteTimeoutBackendRequest",
            manifest: route(
                """
                  - timeouts: { backendRequest: 300ms }
                    \(v1)
                """),
            rows: [Row(pod: "web-v1"), Row(path: "/?delay=2000", status: 504)]),
        RouteCase(
            name: "TimeoutZeroIsNone",
            manifest: route(
                """
                  - timeouts: { request: 0s }
                    \(v1)
                """),
            rows: [Row(path: "/?delay=700", pod: "web-v1")]),
        RouteCase(
            name: "HTTPRouteRetry",
            manifest: route(
                """
                  - retry: { codes: [503], attempts: 3, backoff: 10ms }
                    \(v1)
                """),
            rows: [
                Row(path: "/retry-two?fail=2", pod: "web-v1"), Row(path: "/retry-four?fail=5", status: 503),
                Row(path: "/retry-other?status=500", status: 500),
            ]),
    ]
}
