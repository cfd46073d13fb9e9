import ArgumentParser
import Mesh

extension PolicyCommand {
    struct Backtest: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Replay recorded flows against other policies, and show what would change.",
            discussion: """
                FILE has what 'weft flows -o json' prints, one record a line. Connections are decided about as the \
                policies of the configuration directory would have it; nothing is sent or changed. One that the proxy \
                has carried is allowed if all workloads allow it that its requests may go to; the requests themselves \
                are in no flow record, and not replayed. Exit status 0 if \
                every connection would be decided as it was, 1 if not.

                EXAMPLES
                  weft flows --follow -o json > flows.json
                  weft policy backtest flows.json --config ./mesh.d
                """)

        @Argument(help: ArgumentHelp("The recorded flows.", valueName: "file"))
        var file: String

        @Option(help: ArgumentHelp("The configuration with the policies to try.", valueName: "dir"))
        var config: String

        @OptionGroup var format: OutputOptions

        func run() throws {
            var backtest = FlowBacktest(try ProxySource.snapshot(of: config))
            guard let text = readText(file) else { throw Failure.unknown("cannot read \(file)") }
            for (number, line) in text.utf8.split(separator: UInt8(ascii: "\n")).enumerated() {
                do throws(Failure) {
                    backtest.add(try FlowLine(Array(line)))
                } catch {
                    throw Failure.usage("\(file):\(number + 1): this is no flow record: \(error)")
                }
            }
            let changes = try backtest.changes()
            format.print(changes.map(\.record), empty: "nothing would change")
            if format.output == .table {
                Console.error(backtest.summary)
            }
            if !changes.isEmpty { throw end(with: .no) }
        }
    }
}
