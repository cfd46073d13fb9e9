import ArgumentParser

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check what the data plane needs, and whether it works here.",
        discussion: """
            Each line is ok, warn or fail, with what to do about it. Exit status 1 if one that is needed fails. The \
            hook is tried with a connection from a temporary cgroup of its own; nothing is sent.

            EXAMPLES
              weft check
              weft check -o json | jq '.[] | select(.state != "ok")'
            """)

    @OptionGroup var pins: PinOptions
    @OptionGroup var runtime: RunOptions
    @OptionGroup var format: OutputOptions

    func run() throws {
        let items =
            SystemChecks.all(pins.directory)
            + NodeChecks(pins: pins, agent: AdminClient(runDirectory: runtime.directory)).all()
        format.print(.array(items.map(\.value))) { terminal in
            var page = Page(terminal)
            let width = items.map { displayWidth($0.name) }.max() ?? 0
            for item in items {
                let padding = String(repeating: " ", count: width - displayWidth(item.name) + 2)
                page.marked(
                    item.state.rawValue.uppercased(), item.state.style, " \(item.name)\(padding)\(item.finding)")
                if !item.advice.isEmpty { page.line("      → \(item.advice)") }
            }
            return page.text
        }
        if items.contains(where: { $0.state == .fail }) { throw end(with: .no) }
    }
}
