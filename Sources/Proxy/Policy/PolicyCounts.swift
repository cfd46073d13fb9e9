import Mesh
import Synchronization

/// How often rules have decided, by their names: counters go on from one configuration to the next. Workers count, anyone
/// reads.
public final class PolicyCounts: Sendable {
    public enum Verdict: String, Sendable { case allow, deny, audit }
    public enum Mode: String, Sendable { case enforce, shadow }

    public struct Key: Hashable, Sendable {
        /// As in `AuthorizationTable.ruleTitles`.
        public var rule: String
        public var verdict: Verdict
        public var mode: Mode
    }

    typealias Cell = SharedCell<Atomic<UInt64>>

    private let cells: [Key: Cell]
    /// Two for each rule of the table: what counts when it allows (or is only reported), and when it denies.
    private let places: FlatArray<SharedReference<Atomic<UInt64>>>

    init(_ table: AuthorizationTable, previous: PolicyCounts?) {
        var cells: [Key: Cell] = [:]
        var places: [SharedReference<Atomic<UInt64>>] = []
        for (rule, title) in table.ruleTitles.enumerated() {
            let mode: Mode = table.shadowRules[rule] ? .shadow : .enforce
            for verdict in [table.actions[rule] == .audit ? Verdict.audit : .allow, .deny] {
                let key = Key(rule: title, verdict: verdict, mode: mode)
                let cell = cells[key] ?? previous?.cells[key] ?? SharedCell(Atomic(0))
                cells[key] = cell
                places.append(cell.reference)
            }
        }
        self.cells = cells
        self.places = FlatArray(places)
    }

    /// Counts what a decision says of enforced, shadow and AUDIT rules. One that waits for somebody else does not count.
    func add(_ decision: AuthorizationDecision) {
        if decision.rule >= 0, decision.verdict != .external { add(decision.rule, denies: decision.verdict == .denied) }
        if decision.shadowRule >= 0 { add(decision.shadowRule, denies: decision.shadowVerdict == .denied) }
        if decision.auditRule >= 0 { add(decision.auditRule, denies: false) }
    }

    func add(_ rule: Int32, denies: Bool) {
        places[Int(rule) * 2 + (denies ? 1 : 0)].value.wrappingAdd(1, ordering: .relaxed)
    }

    /// Counts requests that a rule has allowed elsewhere.
    func add(_ rule: Int32, allowed count: UInt64) {
        guard count > 0 else { return }
        places[Int(rule) * 2].value.wrappingAdd(count, ordering: .relaxed)
    }

    /// What has been counted of rules that have decided at least once.
    public var readings: [(key: Key, count: UInt64)] {
        cells.compactMap { key, cell in
            let count = cell.reference.value.load(ordering: .relaxed)
            return count == 0 ? nil : (key, count)
        }
    }
}
