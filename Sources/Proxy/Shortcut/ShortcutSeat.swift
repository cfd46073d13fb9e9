import CLinux
import Synchronization

/// What the engine and its workers have in common of shortcuts.
final class ShortcutSeat: Sendable {
    private let place = Mutex<ShortcutTables?>(nil)
    /// Of the configuration that was published last: workers that have not taken it in offer nothing.
    let serial = Atomic<UInt64>(0)

    private let standby = Mutex<StandbyLine?>(nil)
    /// Whether a worker has sockets for a standby process, and there is none.
    let needsStandby = Atomic<Bool>(false)

    /// nil: the programs decide nothing.
    var tables: ShortcutTables? { place.withLock { $0 } }

    /// Before the workers start.
    ///
    /// - Parameter inherits: whether there are connections of an earlier process, which go on by its rules until others are
    ///   in force.
    func use(_ memory: ShortcutMemory, inherits: Bool) {
        if !inherits { memory.advance() }
        place.withLock {
            $0 = ShortcutTables(memory, from: MonotonicClock.now() + (inherits ? ShortcutTables.grace : 0))
        }
        ShortcutRecall.use(memory)
    }

    func use(_ line: StandbyLine) {
        standby.withLock { $0 = line }
        needsStandby.store(false, ordering: .relaxed)
    }

    /// The standby process; nil: there is none, and one is asked for.
    var line: StandbyLine? {
        if let line = standby.withLock({ $0 }), !line.isBroken { return line }
        needsStandby.store(true, ordering: .relaxed)
        return nil
    }
}

/// Takes back what programs decide whenever anything changes that they decide by, be it far from any request: an endpoint
/// that is drained, ejected or healthy again.
enum ShortcutRecall {
    private static let memory = Mutex<ShortcutMemory?>(nil)

    static func use(_ memory: ShortcutMemory) { Self.memory.withLock { $0 = memory } }

    /// Each connection is the workers' again with its next request.
    static func all() { memory.withLock { $0 }?.advance() }
}
