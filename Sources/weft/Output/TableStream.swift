/// A table whose rows come one by one: a column keeps the largest width that it has needed so far.
struct TableStream {
    private let terminal: Terminal
    private var widths: [Int]
    private let dispensable: [String]
    private var isFirst = true

    /// - Parameters:
    ///   - leastWidths: room that the columns have from the start.
    ///   - dispensable: columns that a narrow terminal does without, the first first.
    init(_ terminal: Terminal, leastWidths: [Int] = [], dispensable: [String] = []) {
        self.terminal = terminal
        self.dispensable = dispensable
        widths = leastWidths
    }

    /// The line of a row; before the first one, the headings.
    mutating func line(_ record: Record) -> String {
        defer { isFirst = false }
        var table = Table([record])
        widths = table.widths(atLeast: widths)
        var shown = widths
        if let width = terminal.width { table.drop(dispensable, toFit: width, &shown) }
        return table.text(
            width: terminal.width, colours: terminal.hasColours, headings: isFirst, atLeast: shown)
    }
}
