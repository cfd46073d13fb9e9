/// What `weft top` shows: rows in an order that keys change, as many as the screen has lines.
struct TopView {
    /// What rows are sorted by.
    enum Order: String, CaseIterable {
        case name, rps, success, p50, p95, p99, connections

        /// The key that chooses it, and how the bottom line names it.
        var key: Character {
            switch self {
            case .name: "n"
            case .rps: "r"
            case .success: "s"
            case .p50: "5"
            case .p95: "l"
            case .p99: "9"
            case .connections: "c"
            }
        }

        /// Whether the most interesting rows have the largest values.
        fileprivate var isDescending: Bool { self != .name && self != .success }
    }

    /// What a key asks for beside another order.
    enum Action: Equatable {
        case redraw, refresh, quit, suspend, nothing
    }

    enum Key: Equatable {
        case letter(Character)
        case up, down, pageUp, pageDown, home
    }

    var order = Order.rps
    /// Against the usual direction.
    var isReversed = false
    var isWide = false
    private(set) var isPaused = false
    private var offset = 0

    init(order: Order = .rps, isWide: Bool = false) {
        self.order = order
        self.isWide = isWide
    }

    /// - Parameter page: the rows that fit on the screen.
    mutating func press(_ key: Key, page: Int) -> Action {
        switch key {
        case .letter("q"), .letter("\u{3}"), .letter("\u{1b}"): return .quit
        case .letter("\u{1a}"): return .suspend
        case .letter("R"): isReversed.toggle()
        case .letter("w"): isWide.toggle()
        case .letter(" "), .letter("p"):
            isPaused.toggle()
            return isPaused ? .redraw : .refresh
        case .letter("<"), .letter(","): step(-1)
        case .letter(">"), .letter("."): step(1)
        case .up, .letter("k"): offset = max(0, offset - 1)
        case .down, .letter("j"): offset += 1
        case .pageUp: offset = max(0, offset - max(1, page))
        case .pageDown: offset += max(1, page)
        case .home, .letter("g"): offset = 0
        case .letter(let letter):
            guard let chosen = Order.allCases.first(where: { $0.key == letter }) else { return .nothing }
            // The key of the present order turns it round.
            isReversed = chosen == order && !isReversed
            order = chosen
            offset = 0
        }
        return .redraw
    }

    private mutating func step(_ change: Int) {
        let all = Order.allCases
        guard let index = all.firstIndex(of: order) else { return }
        order = all[(index + change + all.count) % all.count]
        isReversed = false
    }

    /// The rows in the chosen order: what is not known comes last, equals by name.
    func sorted(_ rows: [StatAnswer.Row]) -> [StatAnswer.Row] {
        let isDescending = order.isDescending != isReversed
        return rows.sorted { a, b in
            let names = (a.fullName, a.route ?? "") < (b.fullName, b.route ?? "")
            if order == .name { return names != isDescending }
            switch (value(a), value(b)) {
            case (let left?, let right?) where left != right: return isDescending ? left > right : left < right
            case (.some, nil): return true
            case (nil, .some): return false
            default: return names
            }
        }
    }

    private func value(_ row: StatAnswer.Row) -> Double? {
        switch order {
        case .name: nil
        case .rps: row.requests == 0 ? nil : row.rps
        case .success: row.success
        case .p50: row.latency.p50
        case .p95: row.latency.p95
        case .p99: row.latency.p99
        case .connections: Double(row.tcp.open)
        }
    }

    /// Lines for a screen, as many as it has.
    ///
    /// - Parameter problem: why there are no newer numbers.
    mutating func lines(
        _ answer: StatAnswer, title: String, problem: String? = nil, width: Int, height: Int, colours: Bool
    ) -> [String] {
        let page = max(0, height - 4)
        offset = max(0, min(offset, answer.rows.count - page))
        let rows = sorted(answer.rows)
        let direction = order.isDescending != isReversed ? "descending" : "ascending"
        var state = "by \(order.rawValue), \(direction)"
        if isPaused { state += ", paused" }
        if let window = answer.window { state = "last \(formatSeconds(window)), " + state }
        var lines = [cut("\(title): \(rows.count) rows, \(state)", to: width)]
        if let problem {
            let text = cut(printable(problem), to: width)
            lines.append(colours ? Style.bad.apply(to: text) : text)
        } else {
            lines.append("")
        }
        if rows.isEmpty {
            lines.append("nothing yet")
        } else {
            // All rows make the columns, so that they stay where they are while the screen moves.
            let table = Table(rows.map { $0.record(isWide: isWide) }).text(width: width, colours: colours)
            let all = table.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            lines.append(all.first ?? "")
            lines += all.dropFirst().dropLast().dropFirst(offset).prefix(page)
        }
        lines = Array(lines.prefix(max(0, height - 1)))
        while lines.count < height - 1 { lines.append("") }
        let keys = Order.allCases.map { "\($0.key) \($0.rawValue)" }.joined(separator: "  ")
        let help = cut("q quit  R reverse  w wide  space pause  sort: \(keys)", to: width)
        if height > 0 { lines.append(colours ? Style.faint.apply(to: help) : help) }
        return lines
    }
}

/// Takes keys out of what a terminal sends.
struct KeyReader {
    private static let sequences: [(String, TopView.Key)] = [
        ("\u{1b}[A", .up), ("\u{1b}OA", .up), ("\u{1b}[B", .down), ("\u{1b}OB", .down), ("\u{1b}[5~", .pageUp),
        ("\u{1b}[6~", .pageDown), ("\u{1b}[H", .home), ("\u{1b}OH", .home), ("\u{1b}[1~", .home),
    ]

    /// - Parameter bytes: of one read: a terminal sends what one key means at once.
    static func keys(_ bytes: some Sequence<UInt8>) -> [TopView.Key] {
        var rest = String(decoding: Array(bytes), as: UTF8.self)[...]
        var keys: [TopView.Key] = []
        while let first = rest.first {
            if let (sequence, key) = sequences.first(where: { rest.hasPrefix($0.0) }) {
                keys.append(key)
                rest = rest.dropFirst(sequence.count)
            } else if first == "\u{1b}", rest.count > 1 {
                // A key that means nothing here: up to the letter that ends its sequence.
                rest = rest.dropFirst(2).drop { !($0.isLetter || $0 == "~") }.dropFirst()
            } else {
                keys.append(.letter(first))
                rest = rest.dropFirst()
            }
        }
        return keys
    }
}
