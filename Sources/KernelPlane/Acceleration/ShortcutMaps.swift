// Unsafe code of this file: maps as memory. A map's size is checked against its type before it is mapped.

public import BPF
import CLinux
import Glibc
public import WeftABI

/// Maps of the kernel as memory of this process, which stays until the process ends: what bpf/abi_shortcut.h describes.
@unsafe public struct ShortcutMaps {
    public let shortcuts: UnsafeMutablePointer<weft_shortcut>
    public let legs: UnsafeMutablePointer<weft_shortcut_leg>
    public let tables: UnsafeMutablePointer<weft_shortcut_table>
    public let node: UnsafeMutablePointer<weft_shortcut_node>

    /// Maps what the engine and the programs share of shortcuts.
    public init(_ pins: PinDirectory) throws(BPFError) {
        unsafe shortcuts = try Self.memory("shortcuts", pins)
        unsafe legs = try Self.memory("shortcut_legs", pins)
        unsafe tables = try Self.memory("shortcut_tables", pins)
        unsafe node = try Self.memory("shortcut_node", pins)
    }

    private static func memory<Value: BitwiseCopyable>(
        _ name: String, _ pins: PinDirectory
    ) throws(BPFError) -> UnsafeMutablePointer<Value> {
        let map: Map<UInt32, Value> = try Map.openPinned(pins.map(name), name: name)
        // The kernel rounds values up to words, as C does with these.
        let size = MemoryLayout<Value>.stride * map.maxEntries
        let start = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, 0)
        guard let start = unsafe start, unsafe start != UnsafeMutableRawPointer(bitPattern: -1) else {
            throw BPFError(operation: "map the memory of", subject: name, errno: weft_errno())
        }
        return unsafe start.bindMemory(to: Value.self, capacity: map.maxEntries)
    }
}
