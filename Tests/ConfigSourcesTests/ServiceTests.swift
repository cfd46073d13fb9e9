import Foundation
import Mesh
import Testing

@testable import ConfigSources

@Suite("Service and EndpointSlice")
struct ServiceTests {
    private static func service(_ name: String, _ address: String, _ rest: String = "") -> String {
        """
        apiVersion: v1
        kind: Service
        metadata: { name: \(name), namespace: shop\(rest) }
        spec: { clusterIP: \(address), ports: [{ name: http, port: 80 }] }
        ---

        """
    }

    private static func slice(
        _ name: String, of service: String, _ addresses: String..., ports: String = "{ name: http, port: 8080 }",
        annotations: String = "{}"
    ) -> String {
        """
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata:
          name: \(name)
          namespace: shop
          labels: { kubernetes.io/service-name: \(service) }
          annotations: \(annotations)
        addressType: IPv4
        ports: [\(ports)]
        endpoints: [\(addresses.map { "{ addresses: [\($0)] }" }.joined(separator: ", "))]
        ---

        """
    }

    @Test("endpoints of several slices are one sorted set, weighted by their slices")
    func weights() throws {
        let text =
            Self.service("web", "127.96.0.10")
            + Self.slice("v2", of: "web", "10.0.0.9", annotations: "{ weft.dev/weight: \"10\" }")
            + Self.slice(
                "v1", of: "web", "10.0.0.10", "10.0.0.2", "10.0.0.9", annotations: "{ weft.dev/weight: \"90\" }")
        let port = try #require(snapshot(text).service("shop", "web").ports.first)
        #expect(places(port.endpoints) == ["10.0.0.2:8080", "10.0.0.9:8080", "10.0.0.10:8080"])
        // The slice first in name speaks for an address that two have.
        #expect(port.endpoints.map(\.weight) == [90, 90, 90])
    }

    @Test("ports are matched by name")
    func ports() throws {
        let text =
            Self.service("web", "127.96.0.10")
            + Self.slice(
                "a", of: "web", "10.0.0.1", ports: "{ name: metrics, port: 9100 }, { name: http, port: 8080 }")
        #expect(places(try #require(snapshot(text).service("shop", "web").ports.first).endpoints) == ["10.0.0.1:8080"])
        let other = try load(
            Self.service("web", "127.96.0.10")
                + Self.slice("a", of: "web", "10.0.0.1", ports: "{ name: grpc, port: 1 }"))
        #expect(other.status(.endpointSlice, "shop", "a")?[.resolvedRefs]?.reason == "PortNotFound")
    }

    @Test("route templates are an annotation, and what is wrong with one is said where it is")
    func routeTemplates() throws {
        func service(_ routes: String) -> String {
            Self.service("web", "127.96.0.10", ", annotations: { weft.dev/routes: \(routes) }")
        }
        let found = try snapshot(service(#""GET /users/{id}, /static/*""#)).service("shop", "web")
        #expect(found.templates.map(\.description) == ["GET /users/{id}", "/static/*"])
        let wrong = try load(service(#""GET /users/{id}, users""#))
        #expect(wrong.errors.map(\.line) == [3])
        #expect(wrong.errors.map(\.message) == ["\"users\": a path begins with a slash"])
        let elsewhere = try load(service("x").replacing("kind: Service", with: "kind: Pod"))
        #expect(elsewhere.errors.contains { $0.message == "unknown annotation of a Pod" })
    }

    @Test("a slice of no Service has ResolvedRefs False, until the Service comes")
    func danglingSlice() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("slice.yaml", Self.slice("a", of: "web", "10.0.0.1"))
        let lost = try #require(source.reload().status(.endpointSlice, "shop", "a")?[.resolvedRefs])
        #expect(lost.status == .no)
        #expect(lost.reason == "BackendNotFound")
        #expect(lost.message == "Service shop/web does not exist")
        try directory.write("service.yaml", Self.service("web", "127.96.0.10"))
        #expect(source.reload().status(.endpointSlice, "shop", "a")?[.resolvedRefs]?.status == .yes)
        try directory.remove("service.yaml")
        #expect(source.reload().status(.endpointSlice, "shop", "a")?[.resolvedRefs]?.status == .no)
    }

    @Test("SCTP ports are left out and named; ExternalName and FQDN have no effect and say so")
    func unsupported() throws {
        let sctp = "{ port: 81, name: s, protocol: SCTP }, { name: http, port: 80 }"
        let text = """
            \(Self.service("a", "127.96.0.1").replacing("{ name: http, port: 80 }", with: sctp))
            apiVersion: v1
            kind: Service
            metadata: { name: b, namespace: shop }
            spec: { type: ExternalName, externalName: example.com }
            ---
            \(Self.slice("c", of: "a", "host.example").replacing("IPv4", with: "FQDN"))
            """
        let outcome = try load(text)
        #expect(outcome.errors.map(\.description) == [])
        #expect(try #require(outcome.snapshot).service("shop", "a").ports.map(\.port) == [80])
        #expect(outcome.status(.service, "shop", "a")?[.partiallyInvalid]?.reason == "UnsupportedProtocol")
        #expect(outcome.snapshot?.services.count == 1)
        #expect(outcome.status(.service, "shop", "b")?[.accepted]?.status == .no)
        #expect(outcome.status(.endpointSlice, "shop", "c")?[.accepted]?.status == .no)
    }

    @Test("two Services with one address and port: the older, then the first in name has it")
    func serviceConflict() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("b.yaml", Self.service("b", "127.96.0.1"))
        try directory.write("a.yaml", Self.service("a", "127.96.0.1"))
        let outcome = source.reload()
        #expect(outcome.snapshot?.services.keys.map(\.name) == ["a"])
        let lost = try #require(outcome.status(.service, "shop", "b")?[.accepted])
        #expect(lost.reason == "Conflicted")
        #expect(lost.message == "127.96.0.1 port 80/TCP belongs to Service shop/a already")

        let old = ", creationTimestamp: \"2020-01-01T00:00:00Z\""
        try directory.write("b.yaml", Self.service("b", "127.96.0.1", old))
        let older = source.reload()
        #expect(older.snapshot?.services.keys.map(\.name) == ["b"])
        #expect(older.status(.service, "shop", "a")?[.accepted]?.reason == "Conflicted")

        try directory.remove("b.yaml")
        let alone = source.reload()
        #expect(alone.snapshot?.services.keys.map(\.name) == ["a"])
        #expect(alone.status(.service, "shop", "a")?[.accepted]?.status == .yes)
    }

    @Test("two Workloads with one address and port, or one cgroup: the first in name has it")
    func workloadConflict() throws {
        func workload(_ name: String, _ spec: String) -> String {
            """
            apiVersion: weft.dev/v1alpha1
            kind: Workload
            metadata: { name: \(name), namespace: shop }
            spec: \(spec)
            ---

            """
        }
        let outcome = try load(
            workload("a", "{ addresses: [10.0.0.1], ports: [{ port: 80 }], match: { cgroup: /x } }")
                + workload("b", "{ addresses: [10.0.0.1], ports: [{ port: 81 }, { port: 80 }] }")
                + workload("c", "{ match: { cgroup: /x/ } }")
                + workload("d", "{ addresses: [10.0.0.1], ports: [{ port: 82 }] }"))
        #expect(outcome.snapshot?.workloads.keys.map(\.name).sorted() == ["a", "d"])
        #expect(
            outcome.status(.workload, "shop", "b")?[.accepted]?.message
                == "10.0.0.1 port 80/TCP belongs to Workload shop/a already")
        #expect(
            outcome.status(.workload, "shop", "c")?[.accepted]?.message
                == "the cgroup /x belongs to Workload shop/a already")
    }

    @Test("a targetPort that a selected workload does not have by name is named")
    func missingTargetPort() throws {
        let outcome = try load(WorkloadTests.shop.replacing("targetPort: http", with: "targetPort: grpc"))
        let resolved = try #require(outcome.status(.service, "shop", "web")?[.resolvedRefs])
        #expect(resolved.reason == "PortNotFound")
        #expect(resolved.message == "Workload shop/web-1 has no TCP port named \"grpc\"")
    }

    @Test("every example is right and works as a whole", arguments: ["", "http-route", "virtual-service", "security"])
    func examples(_ addition: String) throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let directory = try ConfigDirectory()
        for place in Set(["", addition]) {
            let path = "/\(root)/tools/examples/\(place)"
            for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasSuffix(".yaml") {
                try directory.write("\(place)\(name)", String(contentsOfFile: "\(path)/\(name)", encoding: .utf8))
            }
        }
        let outcome = validate(directory: directory.path, options: MeshOptions(node: "node-a"))
        #expect(outcome.errors.map(\.description) == [])
        #expect(outcome.statuses.count >= 6)
        for condition in outcome.statuses.flatMap(\.allConditions) where condition.type != .programmed {
            #expect(condition.status == .yes && condition.type != .partiallyInvalid, "\(condition)")
        }
        let web = try #require(outcome.snapshot).service("shop", "web")
        #expect(web.ports.allSatisfy { ($0.http != nil) == !addition.isEmpty })
    }
}
