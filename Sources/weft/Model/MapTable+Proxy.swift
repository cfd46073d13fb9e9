import KernelPlane
import Mesh
import WeftABI

extension MapTable {
    static var proxyTables: [MapTable] { [captures, proxy, routes, inboundPorts, listeners, origins] }

    private static let captures = MapTable(
        "captures", "Services whose connections go through the proxy", keyForm: "shop/web:80",
        reader: { $0.captures },
        parse: { text, _ in parseIdentifier(text) },
        key: { id, resolver in resolver.serviceName(id) },
        fields: { id, capture, resolver in
            let guards = capture.guarded.map {
                "\(resolver.name($0.workload)):\(UInt16(bigEndian: $0.port))"
            }
            return [
                resolver.serviceField(id),
                Field("reason", .string(resolver.name(Identifier.reason(service: id)))),
                Field("failureMode", .string(capture.isOpen ? "Open" : "Closed"), title: "FAILURE MODE"),
                Field(
                    "guards", .array(guards.map(Value.string)), title: "POLICIES OF",
                    text: guards.isEmpty ? "-" : guards.joined(separator: ",")),
            ]
        })

    private static let proxy = MapTable(
        "proxy", "Where captured connections go", keyForm: "0",
        reader: { $0.proxy },
        parse: { text, _ in UInt32(text) },
        key: { key, _ in "\(key)" },
        fields: { _, proxy, _ in
            let isThere = proxy.outbound_port != 0
            func place(_ address: weft_address) -> Value {
                isThere ? .string(Endpoint(address, proxy.outbound_port, UInt8(6)).host) : .null
            }
            return [Field("ipv4", place(proxy.outbound4)), Field("ipv6", place(proxy.outbound6))]
        })

    private static let routes = MapTable(
        "routes", "How route templates are recognised in requests, symbol by symbol",
        keyForm: "shop/web:80, or TABLE/STATE/SYMBOL (as 'map dump' shows it)",
        reader: { $0.routes },
        parse: { text, resolver in
            // A root: where a service's requests begin.
            let ids = (try? resolver.serviceIDs(text)) ?? []
            return ids.first.map { weft_route_key(table: $0, symbol: WEFT_SYMBOL_ROOT, state: 0, reserved: 0) }
        },
        key: { key, resolver in
            key.isRoot
                ? resolver.serviceName(key.table)
                : "\(hexadecimal(key.table))/\(key.state)/\(symbol(key.symbol))"
        },
        fields: { key, step, resolver in
            [
                // Services with the same templates have the same table.
                Field("table", .string(hexadecimal(key.isRoot ? step.table : key.table))),
                Field("state", key.isRoot ? .null : Value(key.state)),
                Field("symbol", key.isRoot ? .null : .string(symbol(key.symbol))),
                Field("next", step.state == 0 ? .null : Value(step.state)),
                Field("template", step.route == 0 ? .null : Value(step.route)),
                Field("restTemplate", step.rest == 0 ? .null : Value(step.rest), title: "TEMPLATE OF THE REST"),
                Field(
                    "service", key.isRoot ? resolver.value(key.table) : .null,
                    text: key.isRoot ? resolver.serviceName(key.table) : "-"),
            ]
        })

    /// Texts are in the map as hashes: of methods it is known which; a segment of a path stays one.
    private static func symbol(_ hash: UInt64) -> String {
        hash == WEFT_SYMBOL_ANY ? "any" : methods[hash] ?? hexadecimal(hash)
    }

    private static let methods = Dictionary(
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"].map { method in
            var text = method
            return (text.withUTF8 { unsafe weft_symbol_of($0.baseAddress, UInt32($0.count)) }, method)
        }, uniquingKeysWith: { first, _ in first })

    private static let inboundPorts = MapTable(
        "inbound_ports", "Ports with rules of their own for connections from outside of the mesh, or to it",
        keyForm: "shop/web-1#8080",
        reader: { $0.inboundPorts },
        parse: { text, resolver in
            guard let hash = text.lastIndex(of: "#"), let port = UInt16(text[text.index(after: hash)...])
            else { return nil }
            let workload = try resolver.id(String(text[..<hash]), .workload)
            return weft_inbound_key(workload: workload, port: port.bigEndian, reserved: (0, 0, 0, 0, 0, 0))
        },
        key: { key, resolver in "\(resolver.name(key.workload))#\(UInt16(bigEndian: key.port))" },
        fields: { key, port, resolver in
            let modes = ["inherited", "strict", "optional", "none"]
            return [
                Field("workload", resolver.value(key.workload)),
                Field("port", Value(UInt16(bigEndian: key.port))),
                resolver.serviceField(port.service),
                Field("mutualTLS", .string(Int(port.tls) < modes.count ? modes[Int(port.tls)] : "?"), title: "MTLS"),
            ]
        })

    private static let listeners = MapTable(
        "listeners", "Where processes of local workloads listen",
        keyForm: "ADDRESS:PORT%NETNS#SLOT (as 'map dump' shows it)",
        reader: { $0.listeners },
        parse: { _, _ in nil },
        key: { key, _ in
            let place = Endpoint(key.address, key.port, 6).host
            return "\(place)%\(key.netns_cookie)#\(key.slot)"
        },
        fields: { key, listener, resolver in
            let families = [(WEFT_LISTENER_IPV4, "IPv4"), (WEFT_LISTENER_IPV6, "IPv6")].filter {
                listener.families & $0.0.rawValue != 0
            }
            return [
                Field("address", .string(Endpoint(key.address, key.port, 6).host)),
                Field("netnsCookie", Value(key.netns_cookie), title: "NETNS"),
                Field(
                    "families", .array(families.map { .string($0.1) }),
                    text: families.map(\.1).joined(separator: ",")),
                Field("workload", resolver.value(listener.workload)),
            ]
        })

    private static let origins = MapTable(
        "origins", "Captured connections that the agent has not got yet",
        keyForm: "CLIENT>AGENT/tcp (as 'map watch' shows it)",
        reader: { $0.origins },
        parse: { _, _ in nil },
        key: { key, _ in
            let client = Endpoint(key.client_address, key.client_port, key.protocol)
            return "\(client.host)>\(Endpoint(key.server_address, key.server_port, key.protocol))%\(key.scope)"
        },
        fields: { key, origin, resolver in
            [
                Field("client", .string(Endpoint(key.client_address, key.client_port, key.protocol).host)),
                Field("address", .string(Endpoint(origin.address, origin.port, key.protocol).host)),
                Field("netnsCookie", Value(key.scope), title: "NETNS"),
                Field("source", resolver.value(origin.source), text: resolver.name(origin.source, none: "unknown")),
                resolver.serviceField(origin.service),
                Field("lane", .string(Terms.lane(origin.lane))),
                Field(
                    "destination", resolver.value(origin.destination),
                    text: resolver.name(origin.destination, none: "-")),
            ]
        })
}

extension weft_route_key {
    /// Whether it is where a service's requests begin, and no step.
    fileprivate var isRoot: Bool { symbol == WEFT_SYMBOL_ROOT }
}

extension weft_capture {
    var isOpen: Bool { flags & WEFT_CAPTURE_FAIL_OPEN.rawValue != 0 }

    /// The destinations whose policies decide.
    var guarded: [weft_capture_guard] {
        unsafe withUnsafeBytes(of: guards) { bytes in
            let all = unsafe bytes.assumingMemoryBound(to: weft_capture_guard.self)
            return (0..<min(Int(guard_count), Int(WEFT_CAPTURE_GUARDS))).map { unsafe all[$0] }
        }
    }
}
