/// Prints answers in the form that was asked for.
extension OutputOptions {
    /// A list of equal things: a table, or an array.
    ///
    /// - Parameter empty: what people read instead of a table without rows.
    func print(_ records: [Record], empty: String) { Self.print(records, as: output, empty: empty) }

    static func print(_ records: [Record], as format: OutputFormat, empty: String) {
        switch format {
        case .table:
            guard !records.isEmpty else {
                Console.error(empty)
                return
            }
            let terminal = Terminal.standardOutput
            Console.write(Table(records).text(width: terminal.width, colours: terminal.hasColours))
        case .json: Console.line(Value.array(records.map(\.value)).json(indented: true))
        case .yaml: Console.write(Value.array(records.map(\.value)).yaml())
        }
    }

    /// One thing: `text` for people, everything for programs.
    func print(_ value: Value, text: (Terminal) -> String = { _ in "" }) {
        switch output {
        case .table: Console.write(text(.standardOutput))
        case .json: Console.line(value.json(indented: true))
        case .yaml: Console.write(value.yaml())
        }
    }
}

/// `title: text` lines with the texts below each other, and tables below their headings: how one thing is shown.
struct Page {
    private(set) var text = ""
    let terminal: Terminal

    init(_ terminal: Terminal) { self.terminal = terminal }

    mutating func facts(_ facts: [(String, String)]) { self.facts(facts.map { ($0.0, $0.1, .plain) }) }

    mutating func facts(_ facts: [(String, String, Style)]) {
        let width = facts.map { displayWidth($0.0) }.max() ?? 0
        for (title, fact, style) in facts {
            let padding = String(repeating: " ", count: width - displayWidth(title) + 2)
            text += styled(title, .heading) + padding + styled(printable(fact), style) + "\n"
        }
    }

    mutating func table(_ heading: String, _ records: [Record]) {
        guard !records.isEmpty else { return }
        text += "\n" + styled(heading, .heading) + "\n"
        let table = Table(records).text(width: terminal.width.map { $0 - 2 }, colours: terminal.hasColours)
        for line in table.split(separator: "\n") { text += "  \(line)\n" }
    }

    mutating func blank() { text += "\n" }

    mutating func line(_ line: String, _ style: Style = .plain) { text += styled(printable(line), style) + "\n" }

    /// A word in its style, padded to four columns, and a text after it.
    mutating func marked(_ word: String, _ style: Style, _ rest: String) {
        text +=
            styled(word, style) + String(repeating: " ", count: max(0, 4 - displayWidth(word))) + printable(rest) + "\n"
    }

    private func styled(_ text: String, _ style: Style) -> String { terminal.hasColours ? style.apply(to: text) : text }
}
