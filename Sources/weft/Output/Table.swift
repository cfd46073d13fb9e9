/// Columns for people: aligned with two spaces between them, numbers to the right.
struct Table {
    var titles: [String]
    var rows: [[Cell]]
    private var isNumeric: [Bool]
    private var isWhole: [Bool]

    struct Cell: Equatable {
        var text: String
        var style: Style = .plain
    }

    /// The columns are those of the first record; every record of one answer has the same.
    init(_ records: [Record]) {
        let shown = records.first?.fields.filter { $0.title != nil } ?? []
        titles = shown.compactMap(\.title)
        isNumeric = shown.indices.map { column in
            records.contains { $0.shownField(column)?.isNumeric == true }
        }
        isWhole = shown.map(\.isWhole)
        rows = records.map { record in
            shown.indices.map { column in
                guard let field = record.shownField(column) else { return Cell(text: "-") }
                return Cell(text: printable(field.text), style: field.style)
            }
        }
    }

    /// What each column needs.
    func widths(atLeast least: [Int] = []) -> [Int] {
        var widths = titles.map(displayWidth)
        for (column, width) in least.enumerated() where column < widths.count {
            widths[column] = max(widths[column], width)
        }
        for row in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], displayWidth(cell.text)) }
        }
        return widths
    }

    /// The text; ends with a line feed unless the table has no columns.
    ///
    /// - Parameters:
    ///   - width: the columns of the terminal: cells are cut so that no line is longer, if that is possible with at least
    ///     `shortest` letters of each. nil shows everything, which is what a pipe gets.
    ///   - least: widths that the columns have at least.
    func text(width: Int?, colours: Bool, headings: Bool = true, atLeast least: [Int] = []) -> String {
        guard !titles.isEmpty else { return "" }
        var widths = widths(atLeast: least)
        if let width { shrink(&widths, to: width) }

        var text = ""
        if headings {
            text += line(titles.map { Cell(text: $0, style: .heading) }, widths: widths, colours: colours)
        }
        for row in rows { text += line(row, widths: widths, colours: colours) }
        return text
    }

    /// To this length a column of words is cut; numbers and short columns are not.
    private static let shortest = 8

    /// Takes from the widest column of words until the line fits.
    private func shrink(_ widths: inout [Int], to width: Int) {
        var excess = Self.total(widths) - width
        let words = widths.indices.filter { !isNumeric[$0] && !isWhole[$0] }
        while excess > 0 {
            guard let widest = words.max(by: { widths[$0] < widths[$1] }), widths[widest] > Self.shortest else {
                return
            }
            widths[widest] -= 1
            excess -= 1
        }
    }

    private static func total(_ widths: [Int]) -> Int { widths.reduce(0, +) + 2 * (widths.count - 1) }

    /// Leaves out columns, in the order given, until the others fit with their words cut.
    ///
    /// - Parameter widths: what the columns need; those of columns that are left out go too.
    mutating func drop(_ columns: [String], toFit width: Int, _ widths: inout [Int]) {
        for title in columns {
            var shrunk = widths
            shrink(&shrunk, to: width)
            guard Self.total(shrunk) > width, let column = titles.firstIndex(of: title) else { continue }
            titles.remove(at: column)
            isNumeric.remove(at: column)
            isWhole.remove(at: column)
            widths.remove(at: column)
            for row in rows.indices { rows[row].remove(at: column) }
        }
    }

    private func line(_ cells: [Cell], widths: [Int], colours: Bool) -> String {
        var line = ""
        var trailing = 0
        for (column, cell) in cells.enumerated() {
            let text = cut(cell.text, to: widths[column])
            let padding = widths[column] - displayWidth(text)
            if column > 0 { trailing += 2 }
            if isNumeric[column] { trailing += padding }
            if !text.isEmpty {
                line += String(repeating: " ", count: trailing) + (colours ? cell.style.apply(to: text) : text)
                trailing = 0
            }
            if !isNumeric[column] { trailing += padding }
        }
        return line + "\n"
    }
}

extension Record {
    fileprivate func shownField(_ column: Int) -> Field? {
        var left = column
        for field in fields where field.title != nil {
            if left == 0 { return field }
            left -= 1
        }
        return nil
    }
}
