import Mesh
import Testing
import WeftABI

@testable import KernelPlane

struct CompiledCaptureTests {
    private let web = ObjectName(namespace: "shop", name: "web")
    private let other = ObjectName(namespace: "shop", name: "other")

    /// `web` sends some of its requests to `other`; each has one workload.
    private func mesh(_ policies: [AuthorizationPolicy] = []) -> MeshSnapshot {
        var services: [ObjectName: MeshService] = [:]
        var workloads: [ObjectName: MeshWorkload] = [:]
        for (index, name) in [web, other].enumerated() {
            let address = IPAddress(v4: 10, 0, 0, UInt8(index + 1))
            workloads[name] = MeshWorkload(
                name: name, serviceAccount: name.name, labels: ["app": name.name], addresses: [address])
            let port = MeshServicePort(
                name: "", port: 80, transport: .tcp,
                endpoints: [MeshEndpoint(address: address, port: 8080, workload: name)])
            services[name] = MeshService(
                name: name, addresses: [IPAddress(v4: 127, 96, 0, UInt8(index + 1))], ports: [port],
                balancing: Balancing())
        }
        let targets = [web, other].map { HTTPBackend(target: .service($0, port: 80, subset: nil)) }
        services[web]?.ports[0].http = HTTPRouting(rules: [
            HTTPRule(origin: ObjectKey(.service, web), index: 0, action: .forward(targets))
        ])
        services[web]?.ports[0].proxyReasons = ["HTTPRoute shop/a", "HTTPRoute shop/b"]
        return MeshSnapshot(
            services: services, workloads: workloads,
            policies: Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) }))
    }

    private func lanes(_ compiled: CompiledMaps) -> [ObjectName: [UInt32]] {
        compiled.services.mapValues { $0.frontends.map { UInt32($0.header.lane) } }
    }

    private func denial(of app: String, ports: [UInt16] = []) -> AuthorizationPolicy {
        var operation = AuthorizationPolicy.Operation()
        operation.ports = ports
        return AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "deny-\(app)-\(ports)"), action: .deny, selector: ["app": app],
            rules: [.init(operations: ports.isEmpty ? [] : [operation])])
    }

    @Test func servicesWithRulesAreCapturedIfSomebodyTakesThem() {
        let compiled = CompiledMaps(mesh(), isCapturing: true)
        #expect(lanes(compiled) == [web: [WEFT_LANE_PROXY.rawValue], other: [WEFT_LANE_KERNEL.rawValue]])
        let id = Identifier.service(web, port: 80, transport: .tcp, isIPv4: true)
        #expect(Array(compiled.captures.keys) == [id])
        #expect(compiled.captures[id]?.reason == "HTTPRoute shop/a, HTTPRoute shop/b")
        #expect(compiled.captures[id]?.value.flags == 0)
        #expect(compiled.captures[id]?.value.guard_count == 0)

        let without = CompiledMaps(mesh())
        #expect(lanes(without).values.allSatisfy { $0 == [WEFT_LANE_KERNEL.rawValue] })
        #expect(without.captures.isEmpty)
    }

    /// An earlier result of an agent without a proxy must not keep services in the kernel lane.
    @Test func thePreviousResultIsNotTakenAcrossLanes() {
        let before = CompiledMaps(mesh())
        #expect(
            lanes(CompiledMaps(mesh(), isCapturing: true, previous: before))[web] == [WEFT_LANE_PROXY.rawValue])
    }

    /// Connections that were captured before are still the sweep's to end.
    @Test func whatHasLeftTheLaneStaysGuardedAndIsNotCaptured() throws {
        let before = CompiledMaps(mesh(), isCapturing: true)
        var without = mesh([denial(of: "web")])
        without.services[web]?.ports[0].http = nil
        let after = CompiledMaps(without, isCapturing: true, previous: before)
        #expect(lanes(after)[web] == [WEFT_LANE_KERNEL.rawValue])
        let id = Identifier.service(web, port: 80, transport: .tcp, isIPv4: true)
        #expect(after.captures[id]?.value.guards.0.workload == Identifier.workload(web))
        #expect(CompiledMaps(without, isCapturing: true, previous: after).captures.keys.contains(id))
        #expect(CompiledMaps(without, isCapturing: true).captures.isEmpty)
        without.services[web] = nil
        #expect(CompiledMaps(without, isCapturing: true, previous: after).captures.isEmpty)
    }

    @Test func failureModeIsAFlag() {
        var mesh = mesh()
        mesh.services[web]?.failureMode = .open
        let compiled = CompiledMaps(mesh, isCapturing: true)
        #expect(compiled.captures.values.map(\.value.flags) == [WEFT_CAPTURE_FAIL_OPEN.rawValue])
    }

    @Test func everyPlaceThatRequestsMayGoToIsGuarded() throws {
        let compiled = CompiledMaps(mesh([denial(of: "other")]), isCapturing: true)
        let capture = try #require(compiled.captures.values.first?.value)
        #expect(capture.guard_count == 1)
        #expect(capture.guards.0.workload == Identifier.workload(other))
        #expect(capture.guards.0.port == UInt16(8080).bigEndian)
    }

    @Test func aFallbackIsGuardedToo() throws {
        var mesh = mesh([denial(of: "other")])
        mesh.services[web]?.ports[0].http = HTTPRouting(rules: [
            HTTPRule(
                origin: ObjectKey(.service, web), index: 0,
                action: .forward([HTTPBackend(target: .service(web, port: 80, subset: nil))]))
        ])
        let without = try #require(CompiledMaps(mesh, isCapturing: true).captures.values.first?.value)
        #expect(without.guard_count == 0)
        mesh.services[web]?.traffic.fallback = .service(other, port: 80, subset: nil)
        let capture = try #require(CompiledMaps(mesh, isCapturing: true).captures.values.first?.value)
        #expect(capture.guard_count == 1)
        #expect(capture.guards.0.workload == Identifier.workload(other))
    }

    /// Endpoints under the same policies are one guard, unless the policies tell their ports apart.
    @Test(arguments: [([], 1), ([8080], 3)] as [([UInt16], Int)])
    func guardsAreAsManyAsOutcomes(ports: [UInt16], count: Int) throws {
        var mesh = mesh([denial(of: "web", ports: ports)])
        for port in [8081, 8082] as [UInt16] {
            mesh.services[web]?.ports[0].endpoints.append(
                MeshEndpoint(address: IPAddress(v4: 10, 0, 0, 1), port: port, workload: web))
        }
        let capture = try #require(CompiledMaps(mesh, isCapturing: true).captures.values.first?.value)
        #expect(capture.guard_count == UInt32(count))
    }

    @Test func whatTheKernelCannotGuardIsRefused() {
        var mesh = mesh([denial(of: "web", ports: [8080])])
        for port in 9000..<9000 + UInt16(WEFT_CAPTURE_GUARDS) {
            mesh.services[web]?.ports[0].endpoints.append(
                MeshEndpoint(address: IPAddress(v4: 10, 0, 0, 1), port: port, workload: web))
        }
        let compiled = CompiledMaps(mesh, isCapturing: true)
        #expect(compiled.captures.isEmpty)
        #expect(compiled.captureFailures == [web])
        #expect(lanes(compiled)[web] == [WEFT_LANE_PROXY.rawValue])
    }

    @Test func inboundPortsAreThoseOfLocalWorkloads() throws {
        var mesh = mesh()
        mesh.workloads[web]?.inboundHTTP = [8080: web]
        let compiled = CompiledMaps(mesh, isCapturing: true)
        let entry = try #require(compiled.inboundPorts.first)
        #expect(entry.key.workload == Identifier.workload(web))
        #expect(entry.key.port == UInt16(8080).bigEndian)
        #expect(entry.value.service == Identifier.service(web, port: 80, transport: .tcp, isIPv4: true))
        let flags = try #require(compiled.workloads[web]?.value.flags)
        #expect(flags == WEFT_WORKLOAD_LOCAL.rawValue | WEFT_WORKLOAD_INBOUND.rawValue)

        mesh.workloads[web]?.isLocal = false
        #expect(CompiledMaps(mesh, isCapturing: true).inboundPorts.isEmpty)
    }

    @Test func anOutboundListenerIsOnePlaceInEachFamily() throws {
        let inbound = ProxyAddresses.Place(address: IPAddress(v4: 0), port: 15006)
        let addresses = try ProxyAddresses(
            outbound: .init(address: IPAddress(v4: 127, 0, 0, 5), port: 15001), inbound: inbound,
            tunnel: .init(address: IPAddress(v4: 0), port: 15008))
        #expect(addresses.outbound4.address == IPAddress(v4: 127, 0, 0, 5))
        #expect(addresses.outbound6.address == IPAddress("::1"))
        #expect(addresses.outbound6.port == 15001)
        let keys = addresses.endpoints(own: 7, namespaces: [7, 8])
        #expect(Set(keys.filter { $0.scope == 7 }.map { UInt16(bigEndian: $0.port) }) == [15001, 15006, 15008])
        #expect(
            keys.filter { $0.scope == 8 }.map { UInt16(bigEndian: $0.port) }
                == [15001, 15001, 15008, 15008, 15006, 15006])
        #expect(throws: ProxyAddresses.Invalid.self) {
            try ProxyAddresses(
                outbound: .init(address: IPAddress(v4: 0), port: 15001), inbound: inbound, tunnel: inbound)
        }
    }
}
