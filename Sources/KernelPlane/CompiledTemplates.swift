import Mesh
import WeftABI

/// The route templates of the mesh's services as `routes` has them: steps by a hash of the templates, which services share
/// that have the same ones, and a root for each port of a service.
struct CompiledTemplates: Sendable {
    struct Entry: Sendable {
        var key: weft_route_key
        var value: weft_route_step
    }

    /// By what they are found by; steps before the roots that lead to them.
    private(set) var steps: [ABIBytes<weft_route_key>: Entry] = [:]
    private(set) var roots: [ABIBytes<weft_route_key>: Entry] = [:]

    func has(_ key: weft_route_key) -> Bool { steps[ABIBytes(key)] != nil || roots[ABIBytes(key)] != nil }

    init(_ services: some Sequence<MeshService>) {
        for service in services where !service.templates.isEmpty {
            let table = Self.table(service.templates)
            addSteps(service.templates, table)
            for port in service.ports where port.transport == .tcp {
                for isIPv4 in [true, false] where service.addresses.contains(where: { $0.isIPv4 == isIPv4 }) {
                    let id = Identifier.service(
                        service.name, port: port.port, transport: port.transport, isIPv4: isIPv4)
                    let key = weft_route_key(table: id, symbol: WEFT_SYMBOL_ROOT, state: 0, reserved: 0)
                    var root = weft_route_step()
                    root.table = table
                    roots[ABIBytes(key)] = Entry(key: key, value: root)
                }
            }
        }
    }

    private mutating func addSteps(_ templates: [RouteTemplate], _ table: UInt64) {
        for step in RouteAutomaton(templates)?.steps ?? [] {
            let symbol = step.symbol.map(Self.symbol) ?? WEFT_SYMBOL_ANY
            let key = weft_route_key(table: table, symbol: symbol, state: step.from, reserved: 0)
            var value = weft_route_step()
            value.state = step.to
            value.route = step.route
            value.rest = step.rest
            steps[ABIBytes(key)] = Entry(key: key, value: value)
        }
    }

    /// Never 0, which is "none".
    static func table(_ templates: [RouteTemplate]) -> UInt64 {
        let hash = Identifier.of(WEFT_NAME_RULE, templates.map(\.description).joined(separator: "\n"))
        return hash == 0 ? 1 : hash
    }

    private static func symbol(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { bytes in unsafe weft_symbol_of(bytes.baseAddress, UInt32(bytes.count)) }
    }
}
