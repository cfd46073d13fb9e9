import KernelPlane
import WeftABI

/// A backend with its load.
struct Backend {
    var id: UInt64
    var entry: weft_backend
    var load: weft_backend_load

    var endpoint: Endpoint { Endpoint(entry.address, entry.port, entry.protocol) }

    var isDraining: Bool { UInt32(entry.state) == WEFT_BACKEND_DRAINING.rawValue }

    /// Open connections; a count that is off because of lost events is never shown below 0.
    var open: UInt64 { UInt64(max(0, load.active)) }

    /// Seconds until connections that are still open are ended; nil without a deadline, 0 once it has passed.
    var secondsLeft: Double? {
        guard isDraining, entry.drain_deadline_ns > 0 else { return nil }
        let now = monotonicNanoseconds()
        return entry.drain_deadline_ns > now ? Double(entry.drain_deadline_ns - now) / 1e9 : 0
    }
}

extension NodeMaps {
    /// All backends with their loads, by service id, in the order of their addresses.
    func backendsByService() throws -> [UInt64: [Backend]] {
        let loads = Dictionary(try backendLoad.entries().map { ($0.key, $0.value) }) { first, _ in first }
        let all = try backends.entries().map { Backend(id: $0.key, entry: $0.value, load: loads[$0.key] ?? .init()) }
        return Dictionary(grouping: all) { $0.entry.service }
            .mapValues { $0.sorted { naturally($0.endpoint.host, $1.endpoint.host) } }
    }

    /// The workload of an address, as bpf/identity.h looks for it: by address and port, then by the whole address, with
    /// what is only valid in one network namespace first.
    func workload(of endpoint: Endpoint, seenFrom source: Source) throws -> UInt64? {
        let whole = Endpoint(address: endpoint.address, port: 0, transport: 0)
        let scope = source.netnsCookie ?? 0
        for key in [
            weft_endpoint_key(endpoint, scope: scope), weft_endpoint_key(endpoint), weft_endpoint_key(whole),
            weft_endpoint_key(whole, scope: scope),
        ] {
            if let workload = try addresses.get(key) { return workload }
        }
        return nil
    }

    /// The part of new connections that each backend gets, by backend id: exact for weights and tables, the present
    /// chance for least connections.
    func shares(of service: weft_service) throws -> [UInt64: Double] {
        switch UInt32(service.algorithm) {
        case WEFT_ALGORITHM_MAGLEV.rawValue:
            return Selection.shares(ofTable: try maglev.get(service.id) ?? [])
        case WEFT_ALGORITHM_LEAST_CONNECTIONS.rawValue:
            let candidates = try selectionSlots(of: service).map { slot in
                Selection.Candidate(
                    backend: slot.backend, active: try backendLoad.get(slot.backend)?.active ?? 0,
                    weight: UInt32(try backends.get(slot.backend)?.weight ?? 1))
            }
            return Selection.sharesByLoad(candidates)
        default:
            let isEqual = UInt32(service.flags) & WEFT_SERVICE_EQUAL_WEIGHTS.rawValue != 0
            return Selection.shares(ofSlots: try selectionSlots(of: service), equal: isEqual)
        }
    }

    private func selectionSlots(of service: weft_service) throws -> [weft_slot] {
        try (0..<service.backend_count).compactMap {
            try slots.get(weft_slot_key(service: service.id, slot: $0, reserved: 0))
        }
    }
}
