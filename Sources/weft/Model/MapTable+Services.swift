import KernelPlane
import Mesh
import WeftABI

extension MapTable {
    static var serviceTables: [MapTable] { [services, slots, backends, maglev] }

    private static let services = MapTable(
        "services", "Addresses that connections are balanced for", keyForm: "127.96.0.10:80/tcp",
        reader: { $0.services },
        parse: { text, _ in Endpoint(text).map(weft_service_key.init) },
        key: { key, _ in Endpoint(key.address, key.port, key.protocol).description },
        fields: { key, service, resolver in
            [
                Field("address", .string(Endpoint(key.address, key.port, key.protocol).description)),
                Field("service", resolver.value(service.id)),
                .hidden("id", .identifier(service.id)),
                Field("lane", .string(Terms.lane(service.lane))),
                Field("algorithm", .string(Terms.algorithm(service.algorithm))),
                Field("backends", Value(service.backend_count)),
                Field(
                    "affinitySeconds", Value(service.affinity_seconds), title: "AFFINITY",
                    text: service.affinity_seconds == 0 ? "-" : formatWholeSeconds(Double(service.affinity_seconds))),
                .hidden("equalWeights", .bool(UInt32(service.flags) & WEFT_SERVICE_EQUAL_WEIGHTS.rawValue != 0)),
                Field("generation", Value(service.generation)),
            ]
        })

    private static let slots = MapTable(
        "slots", "Selection tables of the services", keyForm: "shop/web:80#0",
        reader: { $0.slots },
        parse: { text, _ in
            guard let hash = text.lastIndex(of: "#"), let slot = UInt32(text[text.index(after: hash)...]),
                let service = parseIdentifier(text[..<hash])
            else { return nil }
            return weft_slot_key(service: service, slot: slot, reserved: 0)
        },
        key: { key, resolver in "\(resolver.serviceName(key.service))#\(key.slot)" },
        fields: { key, slot, resolver in
            let share = Double(slot.threshold) / 4_294_967_296
            return [
                resolver.serviceField(key.service),
                Field("slot", Value(key.slot)),
                Field("backend", .string(resolver.backendName(slot.backend))),
                .hidden("backendID", .identifier(slot.backend)),
                Field("share", .number(share), text: formatShare(share)),
                Field("alias", slot.alias == 0 ? .null : .string(resolver.backendName(slot.alias))),
                .hidden("aliasID", .identifier(slot.alias)),
            ]
        })

    private static let backends = MapTable(
        "backends", "Endpoints of the services",
        keyForm: "0x0123456789abcdef, shop/web:80@10.0.0.7:8080, 10.0.0.7:8080",
        reader: { $0.backends },
        parse: { text, _ in parseIdentifier(text) },
        key: { id, resolver in
            guard let endpoint = resolver.endpoint(ofBackend: id) else { return hexadecimal(id) }
            return "\(resolver.service(ofBackend: id))@\(endpoint.host)"
        },
        fields: { id, backend, resolver in
            [
                .hidden("id", .identifier(id)),
                resolver.serviceField(backend.service),
                Field("address", .string(Endpoint(backend.address, backend.port, backend.protocol).description)),
                Field("workload", resolver.value(backend.workload)),
                Field("weight", Value(backend.weight)),
                Field("state", .string(Terms.backendState(backend.state)), style: .backendState(backend.state)),
                .hidden("drainDeadlineNanoseconds", Value(backend.drain_deadline_ns)),
            ]
        })

    private static let maglev = MapTable(
        "maglev", "Consistent-hashing tables of the services", keyForm: "shop/web:80",
        reader: { $0.maglev },
        parse: { text, _ in parseIdentifier(text) },
        key: { id, resolver in resolver.serviceName(id) },
        fields: { id, table, resolver in
            let counts = Dictionary(grouping: table, by: { $0 }).mapValues(\.count)
            let shares = counts.map { (resolver.backendName($0.key), Double($0.value) / Double(table.count)) }
                .sorted { naturally($0.0, $1.0) }
            return [
                resolver.serviceField(id),
                Field("size", Value(table.count)),
                Field("backends", Value(counts.count)),
                Field(
                    "shares", .object(Value.Object(shares.map { ($0.0, .number($0.1)) })),
                    text: shares.map { "\($0.0)=\(formatShare($0.1))" }.joined(separator: " ")),
            ]
        })
}

extension weft_service_key {
    init(_ endpoint: Endpoint) {
        self.init()
        address = weft_address(endpoint.address)
        port = endpoint.port.bigEndian
        `protocol` = endpoint.transport
    }
}

extension Style {
    static func backendState(_ state: UInt8) -> Style {
        UInt32(state) == WEFT_BACKEND_ACTIVE.rawValue ? .good : .caution
    }
}
