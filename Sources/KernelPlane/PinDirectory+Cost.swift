public import BPF

extension PinDirectory {
    /// The kernel's descriptions of the maps that are pinned here, by name.
    public func mapInfos() throws(BPFError) -> [(name: String, info: AnyMapInfo)] {
        var infos: [(name: String, info: AnyMapInfo)] = []
        for name in FileSystem.entries(of: "\(path)/maps") {
            infos.append((name, try AnyMap.openPinned(map(name), name: name).info))
        }
        return infos
    }

    /// The programs that work on the maps that are pinned here: what every connection meets, and what the agent runs.
    /// One that is attached in several places is one; those that were loaded again beside their predecessors are several.
    public func programs() throws(BPFError) -> [ProgramStatistics] {
        try ProgramDirectory.using(anyOf: Set(try mapInfos().map(\.info.id)))
    }
}
