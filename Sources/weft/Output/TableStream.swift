/// A table whose rows come one by one: a column keeps the largest width that it has needed so far.
struct TableStream {
    private let terminal: Terminal
    private var widths: [Int]
    private var isFirst = true

    init(_ terminal: Terminal, leastWidths: [Int] = []) {
        self.terminal = terminal
        widths = leastWidths
    }

    /// The line of a row; before the first one, the headings.
    mutating func line(_ record: Record) -> String {
        defer { isFirst = false }
        let table = Table([record])
        widths = table.widths(atLeast: widths)
        return table.text(
            width: terminal.width, colours: terminal.hasColours, headings: isFirst, atLeast: widths)
    }
}
