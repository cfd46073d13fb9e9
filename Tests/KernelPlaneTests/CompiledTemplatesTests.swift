import Mesh
import Testing
import WeftABI

@testable import KernelPlane

@Suite("Route templates in the maps")
struct CompiledTemplatesTests {
    private func service(_ name: String, _ last: UInt8, _ templates: String) throws -> MeshService {
        var service = MeshService(
            name: ObjectName(namespace: "shop", name: name), addresses: [IPAddress(v4: 127, 96, 0, last)],
            ports: [80, 81].map { MeshServicePort(name: "", port: $0, transport: .tcp, endpoints: []) },
            balancing: Balancing())
        service.templates = templates.isEmpty ? [] : try RouteTemplate.list(templates)
        return service
    }

    @Test("services with the same ones share their steps, and those without have none")
    func shared() throws {
        let templates = "GET /users/{id}, /users"
        let compiled = CompiledTemplates([
            try service("a", 1, templates), try service("b", 2, templates), try service("c", 3, "/users"),
            try service("d", 4, ""),
        ])
        #expect(compiled.roots.count == 6)
        #expect(Set(compiled.roots.values.map(\.value.table)).count == 2)
        // GET and all others; users after each; an id.
        let table = CompiledTemplates.table(try RouteTemplate.list(templates))
        let steps = compiled.steps.values.filter { $0.key.table == table }
        #expect(steps.count == 5)
        #expect(compiled.steps.count == 7)
        #expect(steps.filter { $0.key.symbol == WEFT_SYMBOL_ANY }.map(\.value.route).sorted() == [0, 1])
        for entry in compiled.roots.values { #expect(compiled.has(entry.key) && entry.key.symbol == WEFT_SYMBOL_ROOT) }
        #expect(CompiledTemplates([]).steps.isEmpty)
    }
}
