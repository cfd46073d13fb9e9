/// A service's route templates as steps from state to state, one for each symbol of a request: whoever follows them looks
/// at each symbol once, however many templates there are.
///
/// Where several templates stand for a request, it is the most particular one: the first symbol in which they differ is literal in
/// it. Those that end with `*` come after all others, and of them the longest.
public struct RouteAutomaton: Sendable, Equatable {
    public struct Step: Sendable, Equatable {
        /// The first one is 0.
        public var from: UInt32
        /// nil: every symbol that has no step of its own from there; never an empty segment.
        public var symbol: String?
        /// 0: no template goes on.
        public var to: UInt32
        /// The template that may end here, and the one that takes whatever follows: numbers from 1 on, 0 for none.
        public var route: UInt8
        public var rest: UInt8
    }

    public private(set) var steps: [Step] = []

    /// More steps than that are not made.
    public static let limit = 4096

    /// How far a template has been followed.
    private struct Item: Hashable {
        var template: Int
        var position: Int
    }

    /// nil: there would be more than `limit` steps.
    public init?(_ templates: [RouteTemplate]) {
        // Numbers of templates in the order of their ranks.
        let order = templates.indices.sorted { Self.isBefore(templates[$0], templates[$1], $0 < $1) }
        var ranks = [Int](repeating: 0, count: templates.count)
        for (rank, template) in order.enumerated() { ranks[template] = rank }
        func best(_ items: [Item], where condition: (Item) -> Bool) -> UInt8 {
            let found = items.filter(condition).min { ranks[$0.template] < ranks[$1.template] }
            return found.map { UInt8($0.template + 1) } ?? 0
        }

        var states: [Set<Item>: UInt32] = [:]
        var waiting = [(state: UInt32(0), items: templates.indices.map { Item(template: $0, position: 0) })]
        while let (state, items) = waiting.popLast() {
            var literals: Set<String> = []
            for item in items {
                if case .literal(let text) = templates[item.template].symbols[item.position] { literals.insert(text) }
            }
            for symbol in literals.sorted().map(Optional.some) + [nil] {
                let next = items.compactMap { item -> Item? in
                    let isMet =
                        switch templates[item.template].symbols[item.position] {
                        case .literal(let text): text == symbol
                        case .any: symbol != ""
                        case .rest: false
                        }
                    return isMet ? Item(template: item.template, position: item.position + 1) : nil
                }
                guard !next.isEmpty else { continue }
                let going = next.filter { item in
                    let symbols = templates[item.template].symbols
                    return item.position < symbols.count && symbols[item.position] != .rest
                }
                var target: UInt32 = 0
                if !going.isEmpty {
                    let key = Set(going)
                    target = states[key] ?? UInt32(states.count + 1)
                    if states.updateValue(target, forKey: key) == nil { waiting.append((target, going)) }
                }
                steps.append(
                    Step(
                        from: state, symbol: symbol, to: target,
                        route: best(next) { $0.position == templates[$0.template].symbols.count },
                        rest: best(next) { item in
                            let symbols = templates[item.template].symbols
                            return item.position < symbols.count && symbols[item.position] == .rest
                        }))
                guard steps.count <= Self.limit else { return nil }
            }
        }
    }

    private static func isBefore(_ a: RouteTemplate, _ b: RouteTemplate, _ isFirst: Bool) -> Bool {
        func weight(_ symbol: RouteTemplate.Symbol) -> Int {
            switch symbol {
            case .literal: 0
            case .any: 1
            case .rest: 2
            }
        }
        for (one, other) in zip(a.symbols, b.symbols) where weight(one) != weight(other) {
            return weight(one) < weight(other)
        }
        return isFirst
    }
}
