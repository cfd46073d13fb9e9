import Foundation
import Testing

extension NodeTests {
    /// The Gateway API's behaviours of mesh routes, through a captured connection of a plain client.
    @Suite("HTTPRoutes of services")
    struct RouteTests {
        @Test("Which rule a request takes")
        func matching() throws { try check(RouteCase.matching) }

        @Test("What rules do to requests and answers")
        func filters() throws { try check(RouteCase.filters) }

        @Test("Backends that are not there, and time")
        func backends() throws { try check(RouteCase.backends) }

        /// One agent for all cases: each is a change of the configuration.
        private func check(_ cases: [RouteCase]) throws {
            try HTTPMesh.run { mesh in
                for route in cases { try route.check(in: mesh) }
            }
        }

        @Test("MeshHTTPRouteWeight: shares lie within 3 sigma")
        func weight() throws {
            let route = RouteCase.route(
                """
                  - backendRefs:
                    - { name: web-v1, port: 80, weight: 70 }
                    - { name: web-v2, port: 80, weight: 30 }
                    - { name: nothing, port: 80, weight: 0 }
                """)
            try HTTPMesh.run(route) { mesh in
                let count = 2000
                let pods = try mesh.pods("/", count: count)
                let sigma = (Double(count) * 0.7 * 0.3).squareRoot()
                #expect(abs(Double(pods["web-v1"] ?? 0) - 0.7 * Double(count)) <= 3 * sigma, "\(pods)")
                #expect((pods["web-v1"] ?? 0) + (pods["web-v2"] ?? 0) == count, "\(pods)")
            }
        }

        @Test("An invalid backend's share gets 500, the other's requests work")
        func partlyInvalid() throws {
            let route = RouteCase.route(
                """
                  - backendRefs:
                    - { name: web-v1, port: 80, weight: 50 }
                    - { name: nothing-here, port: 80, weight: 50 }
                """)
            try HTTPMesh.run(route) { mesh in
                let answer = try mesh.http(
                    "table",
                    [
                        "address": HTTPMesh.web, "port": 80,
                        "requests": [["path": "/", "count": 400] as [String: Any]],
                    ])
                let statuses = answer[0]["statuses"].object.compactMapValues(\.int)
                #expect(Set(statuses.keys) == ["200", "500"], "\(statuses)")
                #expect(abs((statuses["500"] ?? 0) - 200) <= 30, "\(statuses)")
                // Not everything is well with it: 1.
                let status = try mesh.node.weft("status", "HTTPRoute/web", "-o", "json")
                #expect(status.status == 1 && status.output.contains("BackendNotFound"), "\(status.output)")
            }
        }

        @Test("HTTPRouteRequestMultipleMirrors: copies arrive, answers to them do not")
        func mirrors() throws {
            let route = RouteCase.route(
                """
                  - filters:
                    - type: RequestMirror
                      requestMirror: { backendRef: { name: web-v2, port: 80 } }
                    - type: RequestMirror
                      requestMirror: { backendRef: { name: web-v2, port: 80 }, percent: 50 }
                    \(RouteCase.v1)
                """)
            try HTTPMesh.run(route) { mesh in
                let count = 200
                #expect(try mesh.pods("/mirrored", count: count) == ["web-v1": count])
                var copies = 0
                try eventually("the copies arrive") {
                    copies = try mesh.get("/count", to: HTTPMesh.webV2).echo?["/mirrored"].int ?? 0
                    return copies >= count + 60
                }
                usleep(200_000)
                copies = try mesh.get("/count", to: HTTPMesh.webV2).echo?["/mirrored"].int ?? 0
                #expect(copies <= count + 140, "\(copies)")
            }
        }

        @Test("Session persistence keeps a client on one backend, by cookie and by header")
        func persistence() throws {
            for kind in ["Cookie", "Header"] {
                let route = RouteCase.route(
                    """
                      - sessionPersistence: { sessionName: x-session, type: \(kind) }
                        backendRefs: [{ name: web, port: 80 }]
                    """)
                try HTTPMesh.run(route) { mesh in
                    let first = try mesh.get("/")
                    let pod = try #require(first.pod)
                    let headers: [String: String]
                    if kind == "Cookie" {
                        let cookie = try #require(first.header("Set-Cookie"))
                        headers = ["Cookie": String(cookie.prefix { $0 != ";" })]
                    } else {
                        headers = ["x-session": try #require(first.header("x-session"))]
                    }
                    #expect(try mesh.pods("/", count: 100, headers: headers) == [pod: 100])
                }
            }
        }
    }
}
