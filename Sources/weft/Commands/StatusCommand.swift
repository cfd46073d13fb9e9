import ArgumentParser

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
        let objects = status.objects.filter { selects($0) }
            .sorted { naturally("\($0.kind)/\($0.name)", "\($1.kind)/\($1.name)") }
        if let selection, objects.isEmpty { throw Failure.no("no object matches '\(selection)'") }

        format.print(.array(objects.map(\.value))) { terminal in
            var page = Page(terminal)
            if selection == nil { Self.describe(status.agent, &page) }
            if objects.count == 1, selection != nil {
                Self.describe(objects[0], &page)
            } else {
                page.table("Objects", ObjectTable.records(objects))
            }
            return page.text
        }
        for error in status.errors where selection == nil { Console.error(error.text) }
        let isTroubled = objects.contains { $0.status.conditions?.contains { $0.isTrouble } ?? false }
        if isTroubled || (selection == nil && !status.errors.isEmpty) { throw end(with: .no) }
    }

    /// `Kind`, `Kind/name` or `Kind/namespace/name`; the kind in any case.
    private func selects(_ object: AgentStatus.Object) -> Bool {
        guard let selection else { return true }
        let parts = selection.split(separator: "/", maxSplits: 1).map(String.init)
        guard let kind = parts.first, kind.lowercased() == object.kind.lowercased() else { return false }
        return parts.count == 1 || parts[1] == object.name || parts[1] == object.metadata.name
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

    private static func describe(_ object: AgentStatus.Object, _ page: inout Page) {
        page.facts([("kind", "\(object.kind) (\(object.apiVersion))"), ("name", object.name)])
        page.table(
            "Conditions",
            (object.status.conditions ?? []).map { condition in
                Record([
                    Field("type", .string(condition.type)),
                    Field("status", .string(condition.status), style: condition.isTrouble ? .bad : .good),
                    Field("reason", .optional(condition.reason)),
                    Field("since", .optional(condition.lastTransitionTime)),
                    Field("message", .optional(condition.message)),
                ])
            })
    }
}

/// Objects as a list: each with what is wrong, or with what is right.
enum ObjectTable {
    static func records(_ objects: [AgentStatus.Object]) -> [Record] {
        objects.map { object in
            let conditions = object.status.conditions ?? []
            let troubles = conditions.filter(\.isTrouble)
            let shown = troubles.isEmpty ? conditions.filter { $0.status == "True" } : troubles
            return Record([
                Field("kind", .string(object.kind)),
                Field("name", .string(object.name)),
                Field(
                    "conditions", .array(shown.map { .string(text(of: $0)) }), style: troubles.isEmpty ? .good : .bad),
                Field("message", .string(troubles.compactMap(\.message).joined(separator: "; "))),
            ])
        }
    }

    private static func text(of condition: AgentStatus.Condition) -> String {
        guard condition.isTrouble else { return condition.type }
        return "\(condition.type)=\(condition.status)" + (condition.reason.map { "(\($0))" } ?? "")
    }
}
