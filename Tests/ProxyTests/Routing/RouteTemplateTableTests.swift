import Mesh
import Testing

@testable import Proxy

/// Which route template a request meets.
@Suite struct RouteTemplateTableTests {
    private func table(_ templates: String) throws -> RouteTemplateTable {
        let name = ObjectName(namespace: "shop", name: "users")
        var snapshot = MeshSnapshot()
        var service = MeshService(
            name: name, addresses: [],
            ports: [MeshServicePort(name: "", port: 80, transport: .tcp, endpoints: [])],
            balancing: Balancing())
        service.templates = try RouteTemplate.list(templates)
        snapshot.services[name] = service
        let port = RouteIdentifiers.ServicePort(service: name, port: 80)
        return RouteTemplateTable(snapshot, RouteIdentifiers(services: [port: [70, 71]]))
    }

    @Test func requestsMeetTheMostParticularOne() throws {
        let table = try table("GET /users/{id}, /users/{id}, /users/me, /users/*, /, /a/, /{x}/{y}/z")
        let id = table.table(70)
        #expect(id != 0 && table.table(71) == id && table.table(72) == 0)
        for (method, path, expected) in [
            ("GET", "/users/1", 1), ("PUT", "/users/1", 2), ("GET", "/users/me", 1),
            ("PUT", "/users/me", 3),
            ("PUT", "/users/", 4), ("PUT", "/users/1/2", 4), ("GET", "/users", 0), ("GET", "/", 5),
            ("GET", "/a/", 6),
            ("GET", "/a", 0), ("GET", "/a/b/z", 7), ("GET", "/a//z", 0), ("GET", "/users/b/z", 7),
            ("GET", "*", 0),
            ("GET", "http://users/users/1", 0), ("GET", "", 0),
            ("GET", "/users/\(String(repeating: "x", count: 64))", 4),
            ("GET", "/users/" + (0..<20).map { "\($0)" }.joined(separator: "/"), 4),
        ] {
            let (method, path) = (Array(method.utf8), Array(path.utf8))
            let found = unsafe table.match(method: method.span.bytes, path: path.span.bytes, id)
            #expect(Int(found) == expected, "\(String(decoding: path, as: UTF8.self))")
            let line = Array(
                "\(String(decoding: method, as: UTF8.self)) \(String(decoding: path, as: UTF8.self))?q=/ HTTP/1.1"
                    .utf8)
            #expect(unsafe Int(table.match(line: line.span.bytes, id)) == expected)
        }
        // Of a line that is cut nothing is known but what was whole.
        for (line, expected) in [
            ("GET /users/12", 4), ("GET /a/b/z", 0), ("GET", 0), ("", 0), ("GET /users/1 ", 1),
        ] {
            let bytes = Array(line.utf8)
            #expect(unsafe Int(table.match(line: bytes.span.bytes, id)) == expected, "\(line)")
        }
        let none = Array("GET /users/1 HTTP/1.1".utf8)
        #expect(unsafe table.match(line: none.span.bytes, 1) == 0)
    }
}
