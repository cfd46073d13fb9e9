import KernelPlane
import WeftABI

/// Whether the installed data plane works: its pins, its hook, its maps, its agent.
struct NodeChecks {
    let pins: PinOptions
    let agent: AdminClient

    func all() -> [CheckItem] {
        var items: [CheckItem] = []
        do {
            let maps = try pins.open()
            items.append(CheckItem("pinned maps", .ok, pins.directory.path))
            items += check { try sizes(maps) }
            items += check { try [hook(maps)] }
            items += check { try losses(maps) }
        } catch {
            // A node on which nothing is installed yet can be a good one.
            let isThere = pins.directory.isInstalled
            items.append(
                CheckItem("pinned maps", isThere ? .fail : .warn, "\(error)", advice: isThere ? "run as root" : ""))
        }
        items.append(agentItem())
        return items
    }

    private func check(_ items: () throws -> [CheckItem]) -> [CheckItem] {
        do { return try items() } catch {
            return [
                CheckItem(
                    "map layout", .fail, "\(error)",
                    advice: "maps of another version are pinned: start weftd of that version, or 'weft uninstall'")
            ]
        }
    }

    private func sizes(_ maps: NodeMaps) throws -> [CheckItem] {
        let sizes = try MapTable.all.map { ($0.name, try $0.size(maps)) }
        let layout = CheckItem(
            "map layout", .ok, "\(sizes.count + UnkeyedMap.allCases.count) maps of layout \(WEFT_LAYOUT)")
        for unkeyed in UnkeyedMap.allCases { _ = try unkeyed.size(in: pins.directory) }
        let full = sizes.compactMap { name, size -> (String, Double)? in
            // These two are caches, which the kernel keeps full; arrays always are.
            guard let entries = size.entries, !size.type.contains("lru"), !size.type.contains("array") else {
                return nil
            }
            return (name, Double(entries) / Double(max(1, size.maxEntries)))
        }.sorted { $0.1 > $1.1 }
        guard let fullest = full.first else { return [layout] }
        let state: CheckItem.State = fullest.1 >= 0.99 ? .fail : fullest.1 >= 0.8 ? .warn : .ok
        return [
            layout,
            CheckItem(
                "map pressure", state, "\(fullest.0) is the fullest with \(formatShare(fullest.1))",
                advice: "give weftd a larger limit for map \(fullest.0)"),
        ]
    }

    /// Tries it with a connection in a cgroup made for it below the attached one.
    private func hook(_ maps: NodeMaps) throws -> CheckItem {
        let name = "hook"
        let advice = "restart weftd: it attaches its programs again"
        guard let settings = try maps.settings.get(0), settings.attached_cgroup != 0 else {
            return CheckItem(name, .fail, "no program has been attached", advice: "start weftd")
        }
        guard let root = CgroupRoot.find(), let path = CgroupPaths.shared.path(of: settings.attached_cgroup) else {
            return CheckItem(name, .fail, "the cgroup that the programs were attached to is gone", advice: advice)
        }
        switch HookCheck.run(cgroup: path == "/" ? root : root + path) {
        case .called: return CheckItem(name, .ok, "connections in cgroup \(path) reach it")
        case .notCalled:
            return CheckItem(name, .fail, "a connection in cgroup \(path) was not seen by it", advice: advice)
        case .unknown(let reason):
            return CheckItem(name, .fail, "it could not be tried: \(reason)", advice: "run as root")
        }
    }

    private func losses(_ maps: NodeMaps) throws -> [CheckItem] {
        let counts = try maps.nodeCounters.entries().filter { $0.value > 0 }
            .map { "\(Terms.nodeCounter($0.key)) \($0.value)" }.sorted()
        guard !counts.isEmpty else { return [CheckItem("losses", .ok, "none")] }
        return [
            CheckItem(
                "losses", .warn, counts.joined(separator: ", "),
                advice: "counted since the maps were made; 'weft map watch node_counters' shows whether they still grow"
            )
        ]
    }

    private func agentItem() -> CheckItem {
        do {
            let status = try agent.get("/v1/status", as: AgentStatus.self)
            let finding =
                "weftd \(status.agent.version), process \(status.agent.pid), generation \(status.agent.generation)"
            guard status.errors.isEmpty else {
                return CheckItem(
                    "agent", .warn, "\(finding), \(status.errors.count) configuration errors",
                    advice: "see 'weft status'")
            }
            return CheckItem("agent", .ok, finding)
        } catch {
            return CheckItem(
                "agent", .warn, "\(error)",
                advice: "what is programmed goes on working; configuration changes are not taken")
        }
    }
}
