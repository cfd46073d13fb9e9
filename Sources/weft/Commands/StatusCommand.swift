import ArgumentParser
import Mesh

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the agent and every configuration object with its conditions.",
        discussion: """
            Exit status 1 if something is wrong: a configuration error, or an object with a condition that says so.

            EXAMPLES
              weft status                         the agent and all objects
              weft status Service                 objects of one kind
              weft status Service/shop/web        one object, with its conditions in full
              weft status -o json | jq '.[] | select(.kind == "HTTPRoute")'
            """)

    @Argument(help: ArgumentHelp("Which objects.", valueName: "kind[/[namespace/]name]"))
    var selection: String?

    @OptionGroup var runtime: RunOptions
    @OptionGroup var format: OutputOptions

    func run() throws {
        let status = try AdminClient(runDirectory: runtime.directory).get("/v1/status", as: AgentStatus.self)
        let list = ObjectList(status.objects.filter(selects))
        if let selection, list.objects.isEmpty { throw Failure.no("no object matches '\(selection)'") }

        format.print(list.value) { terminal in
            var page = Page(terminal)
            if selection == nil { Self.describe(status.agent, &page) }
            if selection != nil, list.objects.count == 1 {
                Self.describe(list.objects[0], &page)
            } else {
                page.table("Objects", list.records)
            }
            return page.text
        }
        let errors = selection == nil ? status.errors : []
        for error in errors { Console.error(error.text) }
        if list.isTroubled || !errors.isEmpty { throw end(with: .no) }
    }

    /// `Kind`, `Kind/name` or `Kind/namespace/name`; the kind in any case.
    private func selects(_ object: ObjectStatus) -> Bool {
        guard let selection else { return true }
        let parts = selection.split(separator: "/", maxSplits: 1).map(String.init)
        guard let kind = parts.first, kind.lowercased() == object.kind.lowercased() else { return false }
        return parts.count == 1 || parts[1] == object.title || parts[1] == object.name.name
    }

    private static func describe(_ agent: AgentStatus.Agent, _ page: inout Page) {
        page.facts([
            ("agent", "weftd \(agent.version), process \(agent.pid), since \(agent.startedAt)"),
            ("node", agent.node),
            ("generation", "\(agent.generation)"),
            ("cgroup", agent.cgroup),
            ("maps", agent.pinDirectory),
        ])
    }

    private static func describe(_ object: ObjectStatus, _ page: inout Page) {
        page.facts([("kind", "\(object.kind) (\(object.apiVersion))"), ("name", object.title)])
        page.table("Conditions", object.conditionRecords)
    }
}
