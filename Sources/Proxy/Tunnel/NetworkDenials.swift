import Mesh
import Synchronization

/// How often NetworkPolicies have refused what came in through tunnels, by what such a denial is called: counters go on from
/// one configuration to the next. Workers count, anyone reads.
struct NetworkDenials: Sendable {
    private typealias Cell = SharedCell<Atomic<UInt64>>

    private let cells: [String: Cell]
    private let places: [UInt64: SharedReference<Atomic<UInt64>>]

    /// - Parameter titles: by the kernel's identifiers of the workloads that policies select.
    init(_ titles: [UInt64: [UInt8]], previous: NetworkDenials?) {
        var cells: [String: Cell] = [:]
        var places: [UInt64: SharedReference<Atomic<UInt64>>] = [:]
        for (workload, bytes) in titles {
            let title = String(decoding: bytes, as: UTF8.self)
            let cell = cells[title] ?? previous?.cells[title] ?? SharedCell(Atomic(0))
            cells[title] = cell
            places[workload] = cell.reference
        }
        self.cells = cells
        self.places = places
    }

    func add(workload: UInt64) { places[workload]?.value.wrappingAdd(1, ordering: .relaxed) }

    var readings: [(key: PolicyCounts.Key, count: UInt64)] {
        cells.compactMap { title, cell in
            let count = cell.reference.value.load(ordering: .relaxed)
            return count == 0 ? nil : (PolicyCounts.Key(rule: title, verdict: .deny, mode: .enforce), count)
        }
    }
}
