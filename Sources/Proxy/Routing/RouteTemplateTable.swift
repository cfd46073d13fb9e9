import Mesh
import WeftABI

/// The route templates of services, for requests that a worker reads itself: what bpf/template.h does for the kernel's.
public final class RouteTemplateTable: Sendable {
    private struct Place: Hashable {
        var table: UInt64
        var state: UInt32
        var symbol: UInt64
    }

    /// Of services, by their identifiers in the kernel's maps: a hash of the templates.
    private let tables: [UInt64: UInt64]
    private let steps: [Place: RouteAutomaton.Step]

    init(_ snapshot: MeshSnapshot, _ identifiers: RouteIdentifiers) {
        var tables: [UInt64: UInt64] = [:]
        var steps: [Place: RouteAutomaton.Step] = [:]
        for service in snapshot.services.values where !service.templates.isEmpty {
            let table = Self.hash(service.templates)
            for port in service.ports where port.transport == .tcp {
                let key = RouteIdentifiers.ServicePort(service: service.name, port: port.port)
                for id in identifiers.services[key] ?? [] { tables[id] = table }
            }
            for step in RouteAutomaton(service.templates)?.steps ?? [] {
                let symbol = step.symbol.map { Self.symbol(Array($0.utf8)) } ?? WEFT_SYMBOL_ANY
                steps[Place(table: table, state: step.from, symbol: symbol)] = step
            }
        }
        self.tables = tables
        self.steps = steps
    }

    /// What the templates of a service are called; 0: it has none.
    /// No service has templates.
    var isEmpty: Bool { tables.isEmpty }

    func table(_ service: UInt64) -> UInt64 { tables.isEmpty ? 0 : tables[service] ?? 0 }

    /// The template that the beginning of a request's line meets, from 1 on; 0: none.
    func match(line: RawSpan, _ table: UInt64) -> UInt8 {
        var space = 0
        while space < line.byteCount, line[space] != UInt8(ascii: " ") { space += 1 }
        let path = line.extracting(min(space + 1, line.byteCount)..<line.byteCount)
        return match(method: line.extracting(0..<space), path: path, isWhole: false, table)
    }

    /// - Parameter isWhole: whether the path ends with its bytes, and not only with a space or a question mark.
    func match(method: RawSpan, path: RawSpan, isWhole: Bool = true, _ table: UInt64) -> UInt8 {
        guard path.byteCount > 0, path[0] == UInt8(ascii: "/"), let first = step(table, 0, method) else { return 0 }
        var state = first.to
        var rest = first.rest
        var place = 1
        for _ in 1..<Int(WEFT_ROUTE_SYMBOLS) where state != 0 {
            var end = place
            while end < path.byteCount, !Self.isEnd(path[end]) { end += 1 }
            guard end < path.byteCount || isWhole, let step = step(table, state, path.extracting(place..<end)) else {
                return rest
            }
            guard end < path.byteCount, path[end] == UInt8(ascii: "/") else {
                return step.route != 0 ? step.route : rest
            }
            if step.rest != 0 { rest = step.rest }
            state = step.to
            place = end + 1
        }
        return rest
    }

    private static func isEnd(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: " ")
    }

    private func step(_ table: UInt64, _ state: UInt32, _ text: RawSpan) -> RouteAutomaton.Step? {
        let symbol = unsafe text.withUnsafeBytes { bytes in
            unsafe weft_symbol_of(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(bytes.count))
        }
        guard symbol != 0 else { return nil }
        if let step = steps[Place(table: table, state: state, symbol: symbol)] { return step }
        return text.byteCount == 0 ? nil : steps[Place(table: table, state: state, symbol: WEFT_SYMBOL_ANY)]
    }

    /// Never 0, which is "none".
    private static func hash(_ templates: [RouteTemplate]) -> UInt64 {
        var hash: UInt64 = 1
        for template in templates {
            for byte in template.description.utf8 { hash = weft_symbol_mix(hash, UInt64(byte)) }
            hash = weft_symbol_mix(hash, UInt64(UInt8(ascii: "\n")))
        }
        return hash == 0 ? 1 : hash
    }

    private static func symbol(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBufferPointer { unsafe weft_symbol_of($0.baseAddress, UInt32($0.count)) }
    }
}
