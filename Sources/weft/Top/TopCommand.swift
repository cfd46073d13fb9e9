import ArgumentParser
import Glibc

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Services, workloads or routes with their requests, as it happens.",
        discussion: """
            On a terminal the screen is redrawn until q or Ctrl-C: keys change what it is sorted by. Elsewhere a table is \
            printed at every interval, until --count of them or the end of the reader.

            \(SignalOptions.success) \(SignalOptions.percentiles)

            Exit status: 0 when it is told to stop, or after --count; 3 no agent answers.

            EXAMPLES
              weft top                               services by requests per second, over the last 10s
              weft top workloads -n shop --sort p99
              weft top routes --window 60s --interval 5s
              weft top --count 3 --interval 10s | tee load.txt
              weft top -o json --count 60 | jq -c 'map({name, rps})'
            """)

    @Argument(help: "What is looked at: services, workloads or routes.")
    var subject: String = "services"

    @Option(name: .shortAndLong, help: "Only of this namespace.")
    var namespace: String?

    @Option(help: "What it is sorted by at first.")
    var sort: TopView.Order = .rps

    @Option(help: "Time between two looks: 500ms, 1s, 1m.")
    var interval = "1s"

    @Option(help: ArgumentHelp("End after so many looks.", valueName: "number"))
    var count: Int?

    @Option(help: ArgumentHelp("The time that the numbers stand for: 10s, 5m; at most 15m.", valueName: "duration"))
    var window = "10s"

    @Option(name: .shortAndLong, help: "Print a table, a wide one, or everything as JSON or YAML.")
    var output: SignalFormat = .table

    @OptionGroup var runtime: RunOptions

    func validate() throws {
        guard StatCommand.Subject(named: subject) != nil else {
            throw ValidationError("'\(subject)' is not services, workloads or routes.")
        }
        guard let interval = parseDuration(interval), interval >= .milliseconds(100) else {
            throw ValidationError("'\(interval)' is not an interval of at least 100ms, such as 500ms or 1s.")
        }
        guard let window = parseDuration(window), (1.0...900).contains(window.seconds) else {
            throw ValidationError("'\(window)' is not a window between 1s and 15m, such as 10s or 5m.")
        }
        if let count, count < 1 { throw ValidationError("--count is at least 1.") }
    }

    func run() throws {
        let agent = AdminClient(runDirectory: runtime.directory)
        let request = StatRequest(
            subject: StatCommand.Subject(named: subject) ?? .service, namespace: namespace, name: nil,
            seconds: parseDuration(window)?.seconds ?? 10)
        func look() throws(Failure) -> StatAnswer { try agent.get(request.target, as: StatAnswer.self) }
        // Whoever cannot be asked at all is no reason to take the screen.
        let first = try look()
        var view = TopView(order: sort, isWide: output == .wide)
        let interval = parseDuration(interval) ?? .seconds(1)
        if output.format == .table, let screen = Screen() {
            show(on: screen, &view, first, interval, look)
        } else {
            try print(view, first, interval, look)
        }
    }

    // MARK: Without a terminal

    private func print(
        _ view: TopView, _ first: StatAnswer, _ interval: Duration, _ look: () throws(Failure) -> StatAnswer
    ) throws {
        var answer = first
        var printed = 0
        while true {
            let records = view.sorted(answer.rows).map { $0.record(isWide: view.isWide) }
            switch output.format {
            // One document in a line for each look: a stream that programs can read as it comes.
            case .json: Console.line(Value.array(records.map(\.value)).json(indented: false))
            case .yaml: Console.write("---\n" + Value.array(records.map(\.value)).yaml())
            case .table:
                let window = answer.window.map { " over \(formatSeconds($0))" } ?? ""
                Console.write((printed == 0 ? "" : "\n") + "\(clockTime()) \(subject)\(window)\n")
                let terminal = Terminal.standardOutput
                Console.write(Table(records).text(width: terminal.width, colours: terminal.hasColours))
            }
            printed += 1
            if printed == count { return }
            pause(interval)
            answer = try look()
        }
    }

    // MARK: On a terminal

    private func show(
        on screen: Screen, _ view: inout TopView, _ first: StatAnswer, _ interval: Duration,
        _ look: () throws(Failure) -> StatAnswer
    ) {
        defer { screen.giveBack() }
        let title = "weft top \(subject)" + (namespace.map { " -n \($0)" } ?? "")
        let hasColours = Terminal.standardOutput.hasColours
        var answer = first
        var problem: String?
        var looks = 1
        var next = monotonicSeconds() + interval.seconds
        while !screen.isEnded {
            let size = screen.size
            screen.draw(
                view.lines(
                    answer, title: title, problem: problem, width: size.width, height: size.height,
                    colours: hasColours))
            var isDue = !view.isPaused && monotonicSeconds() >= next
            for key in screen.keys(within: isDue ? 0 : view.isPaused ? 3600 : next - monotonicSeconds()) {
                switch view.press(key, page: size.height - 4) {
                case .quit: return
                case .suspend: screen.suspend()
                case .refresh: isDue = true
                case .redraw, .nothing: break
                }
            }
            guard isDue || !view.isPaused && monotonicSeconds() >= next else { continue }
            if looks == count { return }
            looks += 1
            next = max(next + interval.seconds, monotonicSeconds())
            do throws(Failure) {
                answer = try look()
                problem = nil
            } catch {
                problem = error.description
            }
        }
    }
}

extension TopView.Order: ExpressibleByArgument {}

/// CLOCK_MONOTONIC.
private func monotonicSeconds() -> Double { Double(monotonicNanoseconds()) / 1e9 }
