import Synchronization
import WeftABI

/// Which of the tables that the programs decide by are in use: one for each service, workload and Host whose connections
/// may take shortcuts. All workers share them.
final class ShortcutTables: Sendable {
    struct Key: Hashable {
        var service: UInt64
        var source: UInt64
        var host: [UInt8]
    }

    /// A table as connections are told of it.
    struct Place {
        var number: UInt32
        var generation: UInt32
        /// Places in the configuration of the clusters that its rules lead to, in its order.
        var clusters: [Int]
    }

    private struct Entry {
        var key: Key?
        var generation: UInt32 = 0
        var clusters: [Int] = []
        var allowing: [(place: Int, rule: Int32)] = []
        var counted: [UInt64] = []
        var counts: PolicyCounts?
        /// CLOCK_MONOTONIC; 0: not seen yet.
        var outdatedSince: UInt64 = 0
    }

    private struct State {
        var entries = [Entry](repeating: Entry(), count: Int(WEFT_SHORTCUT_TABLES))
        var places: [Key: Int] = [:]
        /// Those of the present generation that have none, and why.
        var refused: [Key: CompiledShortcuts.Refusal] = [:]
        var generation: UInt32 = 0
    }

    let memory: ShortcutMemory
    private let state = Mutex(State())

    /// How long a program may still look at a table that no new request is decided by, in nanoseconds.
    static let grace: UInt64 = 1_000_000_000

    /// Hosts by which one workload may ask for one service, with a table for each: clients choose their Hosts.
    private static let hosts = 16

    /// Nanoseconds of CLOCK_MONOTONIC; no table is written before: programs may still look at an earlier process's.
    private let start: UInt64

    init(_ memory: ShortcutMemory, from start: UInt64 = 0) {
        self.memory = memory
        self.start = start
    }

    /// The table for a key, made if there is none yet; nil: there can be none.
    ///
    /// - Parameter generation: of the memory, read before what `compile` looks at.
    func place(
        for key: Key, generation: UInt32, now: UInt64, counts: PolicyCounts,
        compile: () throws(CompiledShortcuts.Refusal) -> CompiledShortcuts
    ) -> Place? {
        state.withLock { state in
            if state.generation != generation {
                state.generation = generation
                state.places = [:]
                state.refused = [:]
            }
            if let known = state.places[key] { return Self.place(known, state.entries[known]) }
            if now < start || state.refused[key] != nil { return nil }
            let compiled: CompiledShortcuts
            do throws(CompiledShortcuts.Refusal) {
                compiled = try compile()
            } catch {
                if state.refused.count < Int(WEFT_SHORTCUT_TABLES) { state.refused[key] = error }
                return nil
            }
            let alike = state.places.keys.count { $0.service == key.service && $0.source == key.source }
            guard alike < Self.hosts, let free = freePlace(&state, now: now) else { return nil }
            collect(&state.entries[free], at: free)
            state.entries[free] = Entry(
                key: key, generation: generation, clusters: compiled.clusters, allowing: compiled.allowing,
                counted: [UInt64](repeating: 0, count: compiled.allowing.count), counts: counts)
            memory.write(compiled, generation: generation, at: free)
            state.places[key] = free
            return Self.place(free, state.entries[free])
        }
    }

    /// A table that was found before; nil: it is of an older generation.
    func place(_ number: UInt32, _ generation: UInt32) -> Place? {
        state.withLock { state in
            guard Int(number) < state.entries.count else { return nil }
            let entry = state.entries[Int(number)]
            return entry.key != nil && entry.generation == generation ? Self.place(Int(number), entry) : nil
        }
    }

    /// Adds what the programs have counted of policies' rules since the last time.
    func collect() {
        state.withLock { state in
            for place in state.entries.indices where state.entries[place].key != nil {
                collect(&state.entries[place], at: place)
            }
        }
    }

    private static func place(_ number: Int, _ entry: Entry) -> Place {
        Place(number: UInt32(number), generation: entry.generation, clusters: entry.clusters)
    }

    private func freePlace(_ state: inout State, now: UInt64) -> Int? {
        var found: Int?
        for place in state.entries.indices {
            if state.entries[place].key == nil { return place }
            guard state.entries[place].generation != state.generation else { continue }
            if state.entries[place].outdatedSince == 0 {
                state.entries[place].outdatedSince = now
            } else if now - state.entries[place].outdatedSince > Self.grace {
                found = found ?? place
            }
        }
        return found
    }

    private func collect(_ entry: inout Entry, at place: Int) {
        for (index, allowing) in entry.allowing.enumerated() {
            let hits = memory.hits(allowing.place, at: place)
            entry.counts?.add(allowing.rule, allowed: hits &- entry.counted[index])
            entry.counted[index] = hits
        }
    }
}
