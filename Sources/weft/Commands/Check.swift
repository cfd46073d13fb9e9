import ArgumentParser

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check what the data plane needs, and whether it works here.",
        discussion: """
            Each line is ok, warn or fail, with what to do about it. Exit status 1 if one that is needed fails. The \
            hook is tried with a connection from a temporary cgroup of its own; nothing is sent.

            The last section says whether the accelerated lane is on, and what this kernel does with connections whose \
            bytes go past TCP: each probe passes, works with the guard, or fails, and with one that fails the lane stays \
            off. What is known of the running kernel is kept; --probes finds it out anew, on connections of its own.

            --cost measures instead what Weft costs this node: it lets the kernel time its programs for a few seconds, \
            which itself costs every run some 20 ns, and divides by the connections and requests that it saw in them.

            EXAMPLES
              weft check
              weft check --cost --time 10s
              weft check --probes
              weft check -o json | jq '.[] | select(.state != "ok")'
            """)

    @Flag(help: "Measure what Weft costs this node, by connection and by request.")
    var cost = false

    @Flag(help: "Make the probes of the accelerated lane anew.")
    var probes = false

    @Option(help: ArgumentHelp("How long --cost measures.", valueName: "duration"))
    var time = "5s"

    @OptionGroup var pins: PinOptions
    @OptionGroup var runtime: RunOptions
    @OptionGroup var format: OutputOptions

    func validate() throws {
        guard let time = parseDuration(time), (0.1...600).contains(time.seconds) else {
            throw ValidationError("'\(time)' is not a duration between 100ms and 10m, such as 5s.")
        }
    }

    func run() throws {
        guard !cost else { return try measure() }
        let node =
            SystemChecks.all(pins.directory)
            + NodeChecks(pins: pins, agent: AdminClient(runDirectory: runtime.directory)).all()
        let lane = LaneChecks(pins: pins, runDirectory: runtime.directory, isAnew: probes).all()
        let items = node + lane
        format.print(.array(items.map(\.value))) { terminal in
            var page = Page(terminal)
            Self.list(node, on: &page)
            page.blank()
            Self.list(lane, on: &page)
            return page.text
        }
        if items.contains(where: { $0.state == .fail }) { throw end(with: .no) }
    }

    private static func list(_ items: [CheckItem], on page: inout Page) {
        let width = items.map { displayWidth($0.name) }.max() ?? 0
        for item in items {
            let padding = String(repeating: " ", count: width - displayWidth(item.name) + 2)
            page.marked(item.state.rawValue.uppercased(), item.state.style, " \(item.name)\(padding)\(item.finding)")
            if !item.advice.isEmpty { page.line("      → \(item.advice)") }
        }
    }

    private func measure() throws {
        let probe = CostProbe(pins: pins.directory, agent: AdminClient(runDirectory: runtime.directory))
        let report = try probe.report(over: parseDuration(time) ?? .seconds(5))
        format.print(report.value) { report.page($0) }
    }
}
