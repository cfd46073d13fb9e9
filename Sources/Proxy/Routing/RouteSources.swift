import Mesh

/// What rules ask of the calling workload, answered for every workload of the snapshot in advance.
struct RouteSources: ~Copyable, Sendable {
    /// A condition: the workloads that have these labels, of this namespace.
    struct Condition: Hashable, Sendable {
        var labels: [String: String]
        var namespace: String?

        func holds(for workload: MeshWorkload) -> Bool {
            (namespace == nil || namespace == workload.name.namespace)
                && labels.allSatisfy { workload.labels[$0.key] == $0.value }
        }
    }

    private let index: KeyIndex
    private let identities: FlatArray<UInt64>
    /// Places of the namespaces that have rules of their own somewhere; -1: none.
    private let namespaces: FlatArray<Int32>
    /// One row of bits for each condition.
    private let rows: FlatArray<UInt64>
    private let wordsPerRow: Int

    init(
        _ snapshot: MeshSnapshot, _ identifiers: RouteIdentifiers, sets: [Condition],
        namespaces: [String: Int32]
    ) {
        let workloads = snapshot.workloads.values.filter { identifiers.workloads[$0.name] != nil }
        index = KeyIndex(
            workloads.enumerated().map { (key: identifiers.workloads[$1.name] ?? 0, value: $0) })
        identities = FlatArray(workloads.map { Self.identity($0.name.namespace, $0.serviceAccount) })
        self.namespaces = FlatArray(workloads.map { namespaces[$0.name.namespace] ?? -1 })
        wordsPerRow = (workloads.count + 63) / 64
        var rows = [UInt64](repeating: 0, count: wordsPerRow * sets.count)
        for (row, condition) in sets.enumerated() {
            for (place, workload) in workloads.enumerated() where condition.holds(for: workload) {
                rows[row * wordsPerRow + place / 64] |= 1 << UInt64(place % 64)
            }
        }
        self.rows = FlatArray(rows)
    }

    /// Whether the workload is in the set; an unknown one is in none.
    func contains(_ workload: UInt64, in set: UInt32) -> Bool {
        let place = index.find(workload)
        guard place >= 0 else { return false }
        return rows[Int(set) * wordsPerRow + place / 64] & (1 << UInt64(place % 64)) != 0
    }

    /// The place of the workload's namespace; -1 if it has no rules of its own.
    func namespace(of workload: UInt64) -> Int32 {
        let place = index.find(workload)
        return place < 0 ? -1 : namespaces[place]
    }

    func identity(of workload: UInt64) -> UInt64 {
        let place = index.find(workload)
        return place < 0 ? 0 : identities[place]
    }

    /// FNV-1a of `namespace/service account`, never 0.
    private static func identity(_ namespace: String, _ serviceAccount: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "\(namespace)/\(serviceAccount)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return max(hash, 1)
    }
}
