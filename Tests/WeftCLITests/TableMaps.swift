import KernelPlane
import Mesh
import WeftABI

@testable import weft

/// Maps in memory, with the kernel's ways of looking things up.
struct TableMaps {
    var services: [(weft_service_key, weft_service)] = []
    var slots: [(weft_slot_key, weft_slot)] = []
    var backends: [(UInt64, weft_backend)] = []
    var loads: [(UInt64, weft_backend_load)] = []
    var maglev: [(UInt64, [UInt64])] = []
    var captures: [(UInt64, weft_capture)] = []
    var proxy = weft_proxy()
    var settings = weft_settings()
    var workloads: [(UInt64, weft_workload)] = []
    var addresses: [(weft_endpoint_key, UInt64)] = []
    var policies: [(UInt64, weft_policy)] = []
    var policyIdentities: [(weft_policy_identity_key, weft_clauses)] = []
    var policyPorts: [(weft_policy_port_key, weft_clauses)] = []
    var policyPrefixes: [(weft_policy_address_key, weft_clauses)] = []
    var policyRanges: [(weft_policy_range_key, weft_clauses)] = []
    var policyRules: [(weft_policy_rule_key, UInt64)] = []
    var names: [(UInt64, weft_name)] = []
    var affinity: [(weft_affinity_key, weft_affinity)] = []
    var ruleCounters: [(weft_rule_key, UInt64)] = []
    var routes: [(weft_route_key, weft_route_step)] = []
    var pairs: [(UInt32, weft_pair)] = []

    var maps: NodeMaps {
        NodeMaps(
            services: table(services), slots: table(slots), backends: table(backends), maglev: table(maglev),
            captures: table(captures), proxy: table([(0, proxy)]), routes: table(routes), inboundPorts: table([]),
            listeners: table([]),
            workloads: table(workloads), addresses: table(addresses), cgroups: table([]), policies: table(policies),
            policyIdentities: table(policyIdentities), policyPorts: table(policyPorts),
            policyPrefixes: prefixes(policyPrefixes), policyRanges: ranges(policyRanges),
            policyRules: table(policyRules), names: table(names),
            settings: table([(0, settings)]), backendLoad: table(loads), serviceState: table([]),
            affinity: table(affinity),
            cgroupCache: table([]), pairs: table(pairs), conduct: table([]), acceleration: table([]),
            traffic: table([]), ruleCounters: table(ruleCounters), nodeCounters: table([]),
            tuples: table([]), origins: table([]))
    }

    /// Gives a name an identifier, as the agent does.
    mutating func name(_ kind: Resolver.Kind, _ text: String) -> UInt64 {
        let id = identifier(of: text, kind)
        var entry = weft_name()
        entry.kind = kind.rawValue
        unsafe withUnsafeMutableBytes(of: &entry.text) { unsafe $0.copyBytes(from: text.utf8) }
        names.append((id, entry))
        return id
    }

    /// A service with one slot for each backend.
    mutating func service(
        _ name: String, at address: String, algorithm: weft_algorithm = WEFT_ALGORITHM_RANDOM, affinity: UInt32 = 0,
        backends endpoints: [(String, workload: UInt64, state: weft_backend_state)]
    ) throws -> UInt64 {
        let id = self.name(.service, name)
        let active = endpoints.filter { $0.state == WEFT_BACKEND_ACTIVE }
        services.append(
            (
                weft_service_key(try parse(address)),
                weft_service(
                    id: id, backend_count: UInt32(active.count), affinity_seconds: affinity, generation: 1,
                    lane: UInt8(WEFT_LANE_KERNEL.rawValue), algorithm: UInt8(algorithm.rawValue), flags: 0, reserved: 0)
            ))
        for (endpoint, workload, state) in endpoints {
            let parsed = try parse(endpoint)
            var backend = weft_backend()
            backend.address = weft_address(parsed.address)
            backend.port = parsed.port.bigEndian
            backend.protocol = parsed.transport
            backend.service = id
            backend.workload = workload
            backend.weight = 1
            backend.state = UInt8(state.rawValue)
            backends.append((Self.backendID(parsed), backend))
        }
        for (index, (endpoint, _, _)) in active.enumerated() {
            let backend = Self.backendID(try parse(endpoint))
            slots.append(
                (
                    weft_slot_key(service: id, slot: UInt32(index), reserved: 0),
                    weft_slot(backend: backend, alias: backend, threshold: .max, reserved: 0)
                ))
        }
        return id
    }

    static func backendID(_ endpoint: Endpoint) -> UInt64 { identifier(of: endpoint.host, .service) }

    func parse(_ text: String) throws -> Endpoint {
        guard let endpoint = Endpoint(text) else { throw Failure.usage(text) }
        return endpoint
    }
}

private func table<Key: BitwiseCopyable, Value>(_ entries: [(Key, Value)]) -> MapReader<Key, Value> {
    MapReader(
        get: { key in entries.first { bytes($0.0) == bytes(key) }?.1 },
        entries: { entries.map { (key: $0.0, value: $0.1) } },
        size: {
            MapSize(
                id: 1, type: "hash", entries: entries.count, maxEntries: 100, keySize: MemoryLayout<Key>.size,
                valueSize: 8,
                memoryBytes: nil)
        })
}

private func prefixes(
    _ entries: [(weft_policy_address_key, weft_clauses)]
) -> MapReader<weft_policy_address_key, weft_clauses> {
    var reader = table(entries)
    reader.get = { key in longestPrefix(of: key, in: entries) { Int($0.prefix_length) } }
    return reader
}

private func ranges(
    _ entries: [(weft_policy_range_key, weft_clauses)]
) -> MapReader<weft_policy_range_key, weft_clauses> {
    var reader = table(entries)
    reader.get = { key in longestPrefix(of: key, in: entries) { Int($0.prefix_length) } }
    return reader
}

/// The entry with the longest prefix that covers the key; the length is the key's first field.
private func longestPrefix<Key: BitwiseCopyable>(
    of key: Key, in entries: [(Key, weft_clauses)], _ length: (Key) -> Int
) -> weft_clauses? {
    entries.filter { entry, _ in
        let (a, b) = (Array(bytes(entry).dropFirst(4)), Array(bytes(key).dropFirst(4)))
        return (0..<length(entry)).allSatisfy { bit in (a[bit / 8] ^ b[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0 }
    }.max { length($0.0) < length($1.0) }?.1
}

private func bytes<Key: BitwiseCopyable>(_ key: Key) -> [UInt8] { unsafe withUnsafeBytes(of: key) { unsafe Array($0) } }

/// A bitmap with these bits.
func clauses(_ indices: Int...) -> weft_clauses {
    var bits = weft_clauses()
    unsafe withUnsafeMutableBytes(of: &bits) { buffer in
        for index in indices { unsafe buffer[index / 8] |= 1 << UInt8(index % 8) }
    }
    return bits
}
