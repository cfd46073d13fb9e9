/// A table whose rows come one by one: a column keeps the largest width that it has needed so far.
struct TableStream {
    private let terminal: Terminal
    private var widths: [Int] = []

    init(_ terminal: Terminal) { self.terminal = terminal }

    /// The line of a row; before the first one, the headings.
    mutating func line(_ record: Record) -> String {
        let isFirst = widths.isEmpty
        let table = Table([record])
        widths = table.widths(atLeast: widths)
        return table.text(
            width: terminal.width, colours: terminal.hasColours, headings: isFirst, atLeast: widths)
    }
}
