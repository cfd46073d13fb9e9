import ArgumentParser

extension MapCommand {
    struct Watch: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the changes of a map as they happen.",
            discussion: """
                One line for each change: '+' a new entry, '~' a field with its old and new value, '-' an entry that is \
                gone. With -o json each line is an object. Ends with Ctrl-C, or when the reader of its output ends.

                EXAMPLES
                  weft map watch rule_counters
                  weft map watch backends --interval 200ms
                  weft map watch traffic -o json | jq -c 'select(.change == "added")'
                """)

        @Argument(help: ArgumentHelp("The map's name, as 'weft map list' shows it.", valueName: "map"))
        var map: String

        @Option(help: "Time between two looks: 200ms, 1s, 1m.")
        var interval = "1s"

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func validate() throws {
            guard let interval = parseDuration(interval), interval >= .milliseconds(10) else {
                throw ValidationError("'\(interval)' is not an interval of at least 10ms, such as 200ms or 1s.")
            }
        }

        func run() throws {
            let table = try MapTable.selected(map)
            let maps = try pins.open()
            let interval = parseDuration(interval) ?? .seconds(1)
            func look() throws -> [MapEntry] { try table.dump(maps, Resolver(maps)) }

            var known = try look()
            if format.output == .table {
                Console.error("\(map): \(known.count) entries; changes every \(self.interval), Ctrl-C ends")
            }
            while true {
                pause(interval)
                let current = try look()
                for change in MapChange.changes(from: known, to: current) { show(change) }
                known = current
            }
        }

        private func show(_ change: MapChange) {
            switch format.output {
            case .json: Console.line(change.value(at: clockTime()).json(indented: false))
            case .yaml: Console.write("---\n" + change.value(at: clockTime()).yaml())
            case .table:
                let terminal = Terminal.standardOutput
                for line in change.lines {
                    let text = printable("\(clockTime()) \(line)")
                    let shown = terminal.width.map { cut(text, to: $0) } ?? text
                    Console.line(terminal.hasColours ? change.style.apply(to: shown) : shown)
                }
            }
        }
    }
}
