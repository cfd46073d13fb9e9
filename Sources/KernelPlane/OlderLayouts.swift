import BPF
import WeftABI

/// The programs and maps of earlier layouts, which an upgrade of the agent leaves beside its own: `v<N>` in the same directory.
///
/// Both layouts' programs run while both are attached: the earlier ones see a connection first, and translate and decide it;
/// the later ones, whose maps are empty, let it be. So nothing is unguarded before the first snapshot is programmed, and
/// nothing is counted twice, because nobody reads the earlier maps any more.
public enum OlderLayouts {
    /// What was removed, or why it was not.
    public struct Removal: Sendable {
        public var path: String
        public var removed: [String] = []
        /// Why the layout is still there; nil if it is not.
        public var problem: String?
    }

    /// Takes the programs of earlier layouts off their hooks and removes their pins. To be called when everything that this
    /// agent programs is in force.
    ///
    /// A layout that another agent runs on, or whose programs are attached to another cgroup, is left alone.
    ///
    /// - Parameters:
    ///   - pins: this agent's; earlier layouts are beside it if its last component is `v<WEFT_LAYOUT>`.
    ///   - cgroup: the id of the cgroup that this agent's programs are attached to.
    static func remove(beside pins: PinDirectory, cgroup: UInt64) -> [Removal] {
        guard let slash = pins.path.lastIndex(of: "/"), pins.path[slash...] == "/v\(WEFT_LAYOUT)" else { return [] }
        let parent = pins.path[..<slash]
        return (1..<UInt32(WEFT_LAYOUT)).compactMap { layout in
            let older = PinDirectory(path: "\(parent)/v\(layout)")
            guard FileSystem.exists(older.path) else { return nil }
            var removal = Removal(path: older.path)
            do throws(BPFError) {
                let lock = try older.lock()
                if let link = try foreignLink(in: older, cgroup: cgroup) {
                    removal.problem = "\(link) is attached to another cgroup"
                } else {
                    // What makes translations goes before what undoes them.
                    let order = Loader.connectionPrograms.reversed().map { older.link($0.program) }
                    for path in order where FileSystem.exists(path) {
                        try Link.openPinned(path).detach()
                        try Link.unpin(path)
                        removal.removed.append(path)
                    }
                    removal.removed += try older.uninstall()
                }
                _ = consume lock
            } catch {
                removal.problem = "\(error)"
            }
            return removal
        }
    }

    /// A link that is attached to a cgroup which is there and is not this one.
    private static func foreignLink(in pins: PinDirectory, cgroup: UInt64) throws(BPFError) -> String? {
        for name in FileSystem.entries(of: "\(pins.path)/links") {
            let path = pins.link(name)
            if let attached = try Link.openPinned(path).information.cgroupID, attached != 0, attached != cgroup {
                return path
            }
        }
        return nil
    }
}
