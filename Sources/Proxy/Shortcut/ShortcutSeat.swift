import CLinux
import Synchronization

/// What the engine and its workers have in common of shortcuts.
final class ShortcutSeat: Sendable {
    private let place = Mutex<ShortcutTables?>(nil)
    /// Of the configuration that was published last: workers that have not taken it in offer nothing.
    let serial = Atomic<UInt64>(0)

    /// nil: the programs decide nothing.
    var tables: ShortcutTables? { place.withLock { $0 } }

    /// Before the workers start.
    func use(_ memory: ShortcutMemory) {
        memory.advance()
        place.withLock { $0 = ShortcutTables(memory) }
        ShortcutRecall.use(memory)
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
