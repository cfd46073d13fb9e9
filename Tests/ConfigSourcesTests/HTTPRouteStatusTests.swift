import Foundation
import Mesh
import Testing

@testable import ConfigSources

/// The conditions that the Gateway API's specification gives routes.
@Suite("HTTPRoute conditions")
struct HTTPRouteStatusTests {
    private func status(_ text: String, name: String = "web") throws -> (ObjectStatus, MeshSnapshot) {
        let outcome = try load(HTTPMesh.services + text)
        #expect(outcome.errors.map(\.description) == [])
        return (try #require(outcome.status(.httpRoute, "shop", name)), try #require(outcome.snapshot))
    }

    private static let rule = "{ backendRefs: [{ name: web-v1, port: 80 }] }"

    @Test("of a good route: Accepted and ResolvedRefs for each parent, in the specification's shape")
    func good() throws {
        let parents = """
            parentRefs: [{ group: "", kind: Service, name: web, port: 80 },
                         { group: "", kind: Service, name: web-v2, sectionName: none }]
            """
        let (status, _) = try status(HTTPMesh.route(Self.rule, parents: parents))
        #expect(status.conditions == [])
        #expect(status.parents.map(\.controllerName) == ["weft.dev/gateway-controller", "weft.dev/gateway-controller"])
        #expect(status.parents[0].conditions.map(\.type) == [.accepted, .resolvedRefs])
        #expect(status.parents[0].conditions.map(\.status) == [.yes, .yes])
        #expect(status.parents[1].conditions.map(\.status) == [.no, .yes])
        #expect(status.parents[1].conditions[0].reason == "NoMatchingParent")

        let json = try JSONSerialization.jsonObject(with: try JSONEncoder().encode(status)) as? [String: Any]
        let parent = ((json?["status"] as? [String: Any])?["parents"] as? [[String: Any]])?.first
        #expect((json?["status"] as? [String: Any])?.keys.sorted() == ["parents"])
        #expect(parent?.keys.sorted() == ["conditions", "controllerName", "parentRef"])
        let reference = parent?["parentRef"] as? [String: Any]
        #expect(reference?["group"] as? String == "")
        #expect(reference?["kind"] as? String == "Service")
        #expect(reference?["port"] as? Int == 80)
        #expect(try JSONDecoder().decode(ObjectStatus.self, from: try JSONEncoder().encode(status)) == status)
    }

    @Test(
        "of a parent that it cannot have: Accepted False",
        arguments: [
            ("{ group: \"\", kind: Service, name: lost }", "NoMatchingParent", "Service shop/lost does not exist"),
            (
                "{ group: \"\", kind: Service, name: web, port: 81 }", "NoMatchingParent",
                "Service web has no port with port 81"
            ),
            (
                "{ group: \"\", kind: Service, name: web, sectionName: http, port: 8080 }", "NoMatchingParent",
                "Service web has no port with port 8080 and the name \"http\""
            ),
            ("{ name: gateway }", "NoMatchingParent", "gateways are not supported: name a Service"),
            (
                "{ kind: Service, name: web }", "InvalidKind",
                "Service.gateway.networking.k8s.io cannot be a parent: write group: \"\""
            ),
            (
                "{ group: networking.istio.io, kind: ServiceEntry, name: web }", "InvalidKind",
                "ServiceEntry.networking.istio.io cannot be a parent: only Service can"
            ),
            (
                "{ group: \"\", kind: Service, name: db }", "UnsupportedProtocol",
                "port 3306 of Service db speaks no HTTP"
            ),
            (
                "{ group: \"\", kind: Service, name: db, port: 53 }", "UnsupportedProtocol",
                "port 53 of Service db speaks UDP"
            ),
            (
                "{ group: \"\", kind: Service, name: rpc }", "UnsupportedProtocol",
                "port 80 of Service rpc speaks HTTP/2"
            ),
            (
                "{ group: \"\", kind: Service, name: secure }", "UnsupportedProtocol",
                "port 443 of Service secure speaks TLS"
            ),
            (
                "{ group: \"\", kind: Service, name: headless }", "UnsupportedValue",
                "Service headless is headless: clients connect to its endpoints, not to it"
            ),
        ])
    func parents(_ parent: String, _ reason: String, _ message: String) throws {
        let headless = HTTPMesh.object("v1", "Service", "headless", "{ clusterIP: None, ports: [{ port: 80 }] }")
        let (status, snapshot) = try status(headless + HTTPMesh.route(Self.rule, parents: "parentRefs: [\(parent)]"))
        let accepted = try #require(status[.accepted])
        #expect(accepted.status == .no)
        #expect(accepted.reason == reason)
        #expect(accepted.message == message)
        #expect(snapshot.services.values.allSatisfy { $0.ports.allSatisfy { $0.http == nil } })
    }

    @Test(
        "of a backend that it cannot have: ResolvedRefs False, its share gets 500, the others work",
        arguments: [
            ("{ name: lost, port: 80 }", "BackendNotFound", "Service shop/lost does not exist"),
            ("{ name: web-v1, namespace: other, port: 80 }", "BackendNotFound", "Service other/web-v1 does not exist"),
            ("{ name: web-v1, port: 81 }", "BackendNotFound", "Service shop/web-v1 has no port 81"),
            (
                "{ group: example.com, kind: Bucket, name: a }", "InvalidKind",
                "Bucket.example.com cannot be a backend: only Service can"
            ),
            ("{ name: rpc, port: 80 }", "UnsupportedProtocol", "port 80 of Service shop/rpc speaks HTTP/2"),
            ("{ name: secure, port: 443 }", "UnsupportedProtocol", "port 443 of Service shop/secure speaks TLS"),
            ("{ name: db, port: 53 }", "UnsupportedProtocol", "port 53 of Service shop/db speaks UDP"),
        ])
    func backends(_ backend: String, _ reason: String, _ message: String) throws {
        let (status, snapshot) = try status(
            HTTPMesh.route("{ backendRefs: [\(backend), { name: web-v2, port: 80, weight: 3 }] }"))
        #expect(status[.accepted]?.status == .yes)
        let resolved = try #require(status[.resolvedRefs])
        #expect(resolved.status == .no)
        #expect(resolved.reason == reason)
        #expect(resolved.message == message)
        #expect(
            try snapshot.routing().rules.map(\.action) == [
                .forward([HTTPBackend(target: .invalid(message)), HTTPMesh.backend("web-v2", weight: 3)])
            ])
    }

    @Test("a backend of another namespace needs no ReferenceGrant in a mesh")
    func otherNamespace() throws {
        let other = HTTPMesh.service("web", ip: 90, namespace: "other")
        let (status, snapshot) = try status(
            other + HTTPMesh.route("{ backendRefs: [{ name: web, namespace: other, port: 80 }] }"))
        #expect(status[.resolvedRefs]?.status == .yes)
        #expect(
            try snapshot.routing().rules.map(\.action) == [
                .forward([HTTPBackend(target: .service(HTTPMesh.name("web", "other"), port: 80, subset: nil))])
            ])
    }

    @Test(
        "a filter that is not supported answers 500 for its rule: PartiallyInvalid, or Accepted False if no rule is left"
    )
    func unsupportedFilter() throws {
        let filter = """
            { filters: [{ type: ExternalAuth, externalAuth: { protocol: HTTP, http: {}, backendRef: { name: a, port: 1 } } }],
              backendRefs: [{ name: web-v1, port: 80 }] }
            """
        let message = "rule 1: the filter ExternalAuth is not supported (requests get 500)"
        let (some, snapshot) = try status(HTTPMesh.route("\(Self.rule), \(filter)"))
        #expect(some[.accepted]?.status == .yes)
        #expect(some[.partiallyInvalid]?.status == .yes)
        #expect(some[.partiallyInvalid]?.reason == "UnsupportedValue")
        #expect(some[.partiallyInvalid]?.message == message)
        #expect(
            try snapshot.routing().rules[1].action
                == .forward([HTTPBackend(target: .invalid("the filter ExternalAuth is not supported"))]))
        let (all, _) = try status(HTTPMesh.route(filter))
        #expect(all[.accepted]?.status == .no)
        #expect(all[.accepted]?.reason == "UnsupportedValue")
    }

    @Test("filters that exclude each other answer 500: IncompatibleFilters")
    func incompatibleFilters() throws {
        let (status, snapshot) = try status(
            HTTPMesh.route(
                """
                { filters: [{ type: URLRewrite, urlRewrite: { hostname: a.example.com } }],
                  backendRefs: [{ name: web-v1, port: 80,
                                  filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }] }] }
                """))
        #expect(status[.accepted]?.status == .no)
        #expect(status[.accepted]?.reason == "IncompatibleFilters")
        guard case .forward(let backends) = try snapshot.routing().rules[0].action, case .invalid = backends[0].target
        else {
            Issue.record("the rule forwards")
            return
        }
    }

    @Test("an ExtensionRef is never skipped: ResolvedRefs False, its requests get 500")
    func extensionRef() throws {
        let (status, snapshot) = try status(
            HTTPMesh.route(
                """
                { filters: [{ type: ExtensionRef, extensionRef: { group: example.com, kind: Wasm, name: a } }],
                  backendRefs: [{ name: web-v1, port: 80 }] }
                """))
        #expect(status[.resolvedRefs]?.reason == "InvalidKind")
        #expect(status[.resolvedRefs]?.message == "rule 0: there is no filter of the kind Wasm (requests get 500)")
        #expect(
            try snapshot.routing().rules[0].action
                == .forward([HTTPBackend(target: .invalid("there is no filter of the kind Wasm"))]))
    }

    @Test("follow the services that the route names, without a change of the route")
    func services() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("route.yaml", HTTPMesh.route("{ backendRefs: [{ name: late, port: 80 }] }"))
        func status() -> ObjectStatus? { source.reload().status(.httpRoute, "shop", "web") }
        #expect(status()?[.accepted]?.reason == "NoMatchingParent")
        try directory.write("services.yaml", HTTPMesh.services)
        let found = status()
        #expect(found?[.accepted]?.status == .yes)
        #expect(found?[.resolvedRefs]?.reason == "BackendNotFound")
        try directory.write("late.yaml", HTTPMesh.service("late", ip: 99))
        let outcome = source.reload()
        #expect(outcome.status(.httpRoute, "shop", "web")?[.resolvedRefs]?.status == .yes)
        #expect(try outcome.snapshot?.routing().rules.map(\.action) == [.forward([HTTPMesh.backend("late")])])
        try directory.write("late.yaml", HTTPMesh.service("late", ip: 99, ports: "[{ name: http2, port: 80 }]"))
        #expect(status()?[.resolvedRefs]?.reason == "UnsupportedProtocol")
        try directory.remove("late.yaml")
        #expect(status()?[.resolvedRefs]?.reason == "BackendNotFound")
        try directory.remove("route.yaml")
        #expect(try source.reload().snapshot?.port("web", 80).http == nil)
    }
}
