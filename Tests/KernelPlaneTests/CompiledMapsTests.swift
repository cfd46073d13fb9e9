import Mesh
import Testing
import WeftABI

@testable import KernelPlane

struct CompiledMapsTests {
    private func service(_ name: String, endpoints: [String], weight: UInt16 = 1) throws -> MeshService {
        MeshService(
            name: ObjectName(namespace: "shop", name: name), addresses: [try #require(IPAddress("127.96.0.1"))],
            ports: [
                MeshServicePort(
                    name: "", port: 80, transport: .tcp,
                    endpoints: try endpoints.map {
                        MeshEndpoint(address: try #require(IPAddress($0)), port: 8080, weight: weight)
                    })
            ], balancing: Balancing())
    }

    private func snapshot(_ services: MeshService...) -> MeshSnapshot {
        MeshSnapshot(services: Dictionary(uniqueKeysWithValues: services.map { ($0.name, $0) }))
    }

    @Test func unchangedServicesAreTakenFromThePreviousResult() throws {
        let a = try service("a", endpoints: ["10.0.0.1"])
        let first = CompiledMaps(snapshot(a, try service("b", endpoints: ["10.0.0.2"])))
        let second = CompiledMaps(snapshot(a, try service("b", endpoints: ["10.0.0.3"])), previous: first)
        #expect(first.services[a.name] === second.services[a.name])
        let b = ObjectName(namespace: "shop", name: "b")
        #expect(first.services[b] !== second.services[b])
    }

    @Test func identifiersDependOnNamesAlone() throws {
        let one = CompiledMaps(snapshot(try service("a", endpoints: ["10.0.0.1"])))
        let two = CompiledMaps(snapshot(try service("a", endpoints: ["10.0.0.1", "10.0.0.2"], weight: 7)))
        let name = ObjectName(namespace: "shop", name: "a")
        let frontends = try [one, two].map { try #require($0.services[name]?.frontends.first) }
        #expect(frontends[0].header.id == frontends[1].header.id)
        #expect(frontends[1].backends.map(\.id).contains(frontends[0].backends[0].id))
    }

    @Test func drainingAndWeightlessEndpointsAreKnownButNotSelected() throws {
        var mesh = try service("a", endpoints: ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        mesh.ports[0].endpoints[0].isDraining = true
        mesh.ports[0].endpoints[1].weight = 0
        let frontend = try #require(CompiledMaps(snapshot(mesh)).services[mesh.name]?.frontends.first)
        #expect(frontend.backends.count == 3)
        #expect(frontend.header.backend_count == 1)
        #expect(frontend.slots.map(\.backend) == [frontend.backends[2].id])
        #expect(UInt32(frontend.backends[0].value.state) == WEFT_BACKEND_DRAINING.rawValue)
    }

    @Test func anOrderedDrainTakesTheEndpointOutOfSelection() throws {
        let mesh = try service("a", endpoints: ["10.0.0.1", "10.0.0.2"])
        let before = try #require(CompiledMaps(snapshot(mesh)).services[mesh.name]?.frontends.first)
        let drained = before.backends[0].id
        let after = CompiledMaps(snapshot(mesh), drains: [drained: 42])
        let frontend = try #require(after.services[mesh.name]?.frontends.first)
        #expect(frontend.slots.map(\.backend) == [before.backends[1].id])
        #expect(frontend.backends[0].value.drain_deadline_ns == 42)
    }

    /// An IPv4 socket cannot reach an IPv6 backend, so each family of the service has the backends that it can reach.
    @Test func familiesAreKeptApart() throws {
        var mesh = try service("a", endpoints: ["10.0.0.1", "fd00::1"])
        mesh.addresses.append(try #require(IPAddress("fd00::10")))
        let frontends = try #require(CompiledMaps(snapshot(mesh)).services[mesh.name]?.frontends)
        #expect(frontends.count == 2)
        #expect(frontends[0].header.id != frontends[1].header.id)
        #expect(frontends.map { IPAddress($0.backends[0].value.address).isIPv4 } == [true, false])
    }

    @Test func addressesOfOneWorkloadAreItsAtEveryPortAndSharedOnesByPort() throws {
        func workload(_ name: String, _ address: String, _ port: UInt16) throws -> MeshWorkload {
            MeshWorkload(
                name: ObjectName(namespace: "shop", name: name), serviceAccount: name,
                addresses: [try #require(IPAddress(address))],
                ports: [MeshWorkloadPort(name: "", port: port, transport: .tcp)])
        }
        let workloads = [
            try workload("a", "10.0.0.1", 80), try workload("b", "10.0.0.2", 80), try workload("c", "10.0.0.2", 81),
        ]
        let compiled = CompiledMaps(
            MeshSnapshot(workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) })))
        func ports(_ name: String) -> [UInt16] {
            compiled.workloads[ObjectName(namespace: "shop", name: name)]?.endpoints.map { UInt16(bigEndian: $0.port) }
                ?? []
        }
        #expect(ports("a") == [80, 0])
        #expect(ports("b") == [80])
        #expect(ports("c") == [81])
    }

    @Test func namesThatAreTooLongAreCutAtACharacter() {
        let name = CompiledName(1, WEFT_NAME_RULE, String(repeating: "ä", count: 200))
        #expect(name.abi.string == String(repeating: "ä", count: 127))
    }
}
