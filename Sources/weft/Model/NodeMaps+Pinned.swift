import BPF
import CLinux
import Glibc
import KernelPlane
import WeftABI

extension NodeMaps {
    /// The maps that are pinned in a directory. Each is opened when it is first read, so that a command needs only
    /// the maps that it speaks of.
    init(_ directory: PinDirectory) throws(Failure) {
        guard directory.isInstalled else { throw .noMaps(at: directory.path, error: weft_errno()) }
        services = pinned("services", in: directory)
        slots = pinned("slots", in: directory)
        backends = pinned("backends", in: directory)
        maglev = pinnedTables("maglev", in: directory)
        captures = pinned("captures", in: directory)
        proxy = pinned("proxy", in: directory)
        routes = pinned("routes", in: directory)
        inboundPorts = pinned("inbound_ports", in: directory)
        listeners = pinned("listeners", in: directory)
        workloads = pinned("workloads", in: directory)
        addresses = pinned("addresses", in: directory)
        cgroups = pinned("cgroups", in: directory)
        policies = pinned("policies", in: directory)
        policyIdentities = pinned("policy_ids", in: directory)
        policyPorts = pinned("policy_ports", in: directory)
        policyPrefixes = pinned("policy_prefixes", in: directory)
        policyRanges = pinned("policy_ranges", in: directory)
        policyRules = pinned("policy_rules", in: directory)
        names = pinned("names", in: directory)
        settings = pinned("settings", in: directory)
        backendLoad = pinned("backend_load", in: directory)
        serviceState = pinned("service_state", in: directory)
        affinity = pinned("affinity", in: directory)
        cgroupCache = pinned("cgroup_cache", in: directory)
        pairs = inUse(pinned("pairs", in: directory))
        conduct = pinned("conduct", in: directory)
        acceleration = pinnedCounters("acceleration", in: directory)
        traffic = pinnedCounters("traffic", in: directory)
        ruleCounters = pinnedCounters("rule_counters", in: directory)
        nodeCounters = pinnedCounters("node_counters", in: directory)
        tuples = withPlaces(pinned("tuples", in: directory), pinned("tuple_places", in: directory))
        origins = pinned("origins", in: directory)
    }
}

extension PinOptions {
    func open() throws(Failure) -> NodeMaps { try NodeMaps(directory) }
}

extension Failure {
    /// Nothing is pinned at a directory, or it is not to be seen.
    static func noMaps(at directory: String, error: CInt) -> Failure {
        switch error {
        case EACCES, EPERM: .unknown("no permission for \(directory): reading the node's maps needs root")
        case ENOENT:
            .unknown(
                "no Weft maps at \(directory): weftd has never run here ('weftd run'), or it pins elsewhere "
                    + "(--pin-dir or WEFT_PIN_DIR)")
        default: .unknown("cannot look into \(directory): \(errorText(error))")
        }
    }

    init(_ error: BPFError) {
        let isForbidden = error.errno == EPERM || error.errno == EACCES
        self = .unknown(isForbidden ? "\(error) (this needs root)" : "\(error)")
        isLocked = error.errno == EWOULDBLOCK
    }
}

extension MapSize {
    init(_ info: AnyMapInfo, entries: Int?) {
        self.init(
            id: info.id, type: "\(info.type)", entries: entries, maxEntries: info.maxEntries, keySize: info.keySize,
            valueSize: info.valueSize, memoryBytes: info.memoryBytes)
    }
}

/// A map that is opened when it is first read.
private final class Opened<Content: ~Copyable> {
    private let open: () throws(BPFError) -> Content
    private var box: Box?

    final class Box {
        let content: Content
        init(_ content: consuming Content) { self.content = content }
    }

    init(_ open: @escaping () throws(BPFError) -> Content) { self.open = open }

    func read<Result>(_ body: (borrowing Content) throws(BPFError) -> Result) throws(Failure) -> Result {
        do throws(BPFError) {
            if let box { return try body(box.content) }
            let opened = Box(try open())
            box = opened
            return try body(opened.content)
        } catch {
            throw Failure(error)
        }
    }
}

private func pinned<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ name: String, in directory: PinDirectory
) -> MapReader<Key, Value> {
    let map = Opened<Map<Key, Value>> { () throws(BPFError) in try .openPinned(directory.map(name), name: name) }
    return MapReader(
        get: { key in try map.read { map throws(BPFError) in try map.get(key) } },
        entries: { try map.read { map throws(BPFError) in try map.entries() } },
        size: { try map.read { map throws(BPFError) in MapSize(map.info, entries: try map.count()) } })
}

/// The tuples that have a place of their own, before those that have none.
private func withPlaces(
    _ tuples: MapReader<weft_tuple_key, weft_tuple>, _ places: MapReader<UInt32, weft_tuple_place>
) -> MapReader<weft_tuple_key, weft_tuple> {
    MapReader(
        get: tuples.get,
        entries: {
            let placed = try places.entries().filter { $0.value.owner != 0 && $0.value.owner != .max }
            return placed.map { ($0.value.key, $0.value.tuple) } + (try tuples.entries())
        },
        size: tuples.size)
}

/// The pairs that are connections: every place of the array is there from the start.
private func inUse(_ pairs: MapReader<UInt32, weft_pair>) -> MapReader<UInt32, weft_pair> {
    @Sendable func isUsed(_ pair: weft_pair) -> Bool { pair.client != 0 && pair.client != .max }
    return MapReader(
        get: { place in try pairs.get(place).flatMap { isUsed($0) ? $0 : nil } },
        entries: { try pairs.entries().filter { isUsed($0.value) } },
        size: {
            var size = try pairs.size()
            size.entries = try pairs.entries().count { isUsed($0.value) }
            return size
        })
}

private func pinnedCounters<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ name: String, in directory: PinDirectory
) -> MapReader<Key, Value> {
    let map = Opened<PerCPUMap<Key, Value>> { () throws(BPFError) in try .openPinned(directory.map(name), name: name) }
    return MapReader(
        get: { key in try map.read { map throws(BPFError) in try map.summedCounters(key) } },
        entries: { try map.read { map throws(BPFError) in try map.summedCounters().map { ($0.key, $0.sum) } } },
        size: { try map.read { map throws(BPFError) in MapSize(map.info, entries: try map.count()) } })
}

private func pinnedTables(_ name: String, in directory: PinDirectory) -> MapReader<UInt64, [UInt64]> {
    let map = Opened<MapOfMaps<UInt64>> { () throws(BPFError) in try .openPinned(directory.map(name), name: name) }
    /// Element 0 is the length.
    func backends(_ table: [UInt64]) -> [UInt64] {
        table.first.map { Array(table.dropFirst().prefix(Int(clamping: $0))) } ?? []
    }
    return MapReader(
        get: { key in try map.read { map throws(BPFError) in try map.table(key).map(backends) } },
        entries: {
            try map.read { map throws(BPFError) in
                var tables: [(key: UInt64, value: [UInt64])] = []
                for key in try map.keys() {
                    if let table = try map.table(key) { tables.append((key, backends(table))) }
                }
                return tables
            }
        },
        size: { try map.read { map throws(BPFError) in MapSize(map.info, entries: try map.count()) } })
}
