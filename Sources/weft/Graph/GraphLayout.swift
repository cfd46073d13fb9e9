/// Places for the nodes of a directed graph, in layers from left to right: callers left of who they call.
///
/// Layers by the longest way from a source, in the order of the fewest crossings that some sweeps of the barycentre
/// heuristic find (Sugiyama, Tagawa, Toda 1981). The same graph always has the same places.
struct GraphLayout {
    struct Point: Equatable {
        var x: Double
        var y: Double
    }

    struct Box {
        /// Of its upper left corner.
        var origin: Point
        var width: Double
        var height: Double
        var centre: Double { origin.y + height / 2 }
    }

    /// Of the nodes, in the order in which they were given.
    private(set) var boxes: [Box] = []
    /// Of the edges, in the order in which they were given: from the right side of the one to the left side of the other,
    /// or the other way round for an edge that goes back.
    private(set) var routes: [[Point]] = []
    private(set) var width = 0.0
    private(set) var height = 0.0

    private static let gapX = 150.0
    private static let gapY = 36.0
    private static let margin = 24.0
    private static let sweeps = 12

    /// A node, or the place at which a long edge passes through a layer.
    private struct Item {
        var node: Int?
        var layer: Int
        var width: Double
        var height: Double
        var before: [Int] = []
        var after: [Int] = []
        var y = 0.0
    }

    /// - Parameters:
    ///   - sizes: widths and heights of the nodes.
    ///   - edges: pairs of nodes' numbers; one from a node to itself is drawn as a loop.
    init(sizes: [(width: Double, height: Double)], edges: [(from: Int, to: Int)]) {
        let forward = Self.withoutCycles(count: sizes.count, edges)
        let layers = Self.layers(count: sizes.count, forward)
        var items = sizes.indices.map {
            Item(node: $0, layer: layers[$0], width: sizes[$0].width, height: sizes[$0].height)
        }
        var chains: [[Int]] = []
        for edge in forward { chains.append(Self.chain(edge, &items)) }
        var rows = [[Int]](repeating: [], count: (layers.max() ?? -1) + 1)
        for (number, item) in items.enumerated() { rows[item.layer].append(number) }
        Self.order(&rows, items)
        Self.place(&items, rows)

        var lefts: [Double] = []
        var widths: [Double] = []
        var x = Self.margin
        for row in rows {
            lefts.append(x)
            widths.append(row.map { items[$0].width }.max() ?? 0)
            x += (widths.last ?? 0) + Self.gapX
        }
        width = max(x - Self.gapX + Self.margin, 2 * Self.margin)
        boxes = sizes.indices.map { number in
            let item = items[number]
            return Box(
                origin: Point(x: lefts[item.layer] + (widths[item.layer] - item.width) / 2, y: item.y),
                width: item.width, height: item.height)
        }
        height = (items.map { $0.y + $0.height }.max() ?? 0) + Self.margin
        routes = zip(edges, zip(forward, chains)).map { edge, way in
            route(edge, isTurned: edge != way.0, way.1.map { items[$0] }, lefts, widths)
        }
        spread(edges)
    }

    /// Lines that end at the same side of a box end beside each other, in the order in which they come.
    private mutating func spread(_ edges: [(from: Int, to: Int)]) {
        struct Side: Hashable {
            var node: Int
            var isRight: Bool
        }
        var ends: [Side: [(route: Int, isFirst: Bool, next: Double)]] = [:]
        for (number, edge) in edges.enumerated() where edge.from != edge.to {
            let route = routes[number]
            let goesRight = route[0].x < route[route.count - 1].x
            ends[Side(node: edge.from, isRight: goesRight), default: []].append((number, true, route[1].y))
            ends[Side(node: edge.to, isRight: !goesRight), default: []]
                .append((number, false, route[route.count - 2].y))
        }
        for (side, lines) in ends {
            let box = boxes[side.node]
            let step = min(10, (box.height - 12) / Double(lines.count))
            let sorted = lines.sorted { ($0.next, $0.route) < ($1.next, $1.route) }
            for (place, line) in sorted.enumerated() {
                let y = box.centre + (Double(place) - Double(lines.count - 1) / 2) * step
                routes[line.route][line.isFirst ? 0 : routes[line.route].count - 1].y = y
            }
        }
    }

    private func route(
        _ edge: (from: Int, to: Int), isTurned: Bool, _ chain: [Item], _ lefts: [Double], _ widths: [Double]
    ) -> [Point] {
        guard edge.from != edge.to else {
            let box = boxes[edge.from]
            let right = box.origin.x + box.width
            return [Point(x: right, y: box.centre - 8), Point(x: right, y: box.centre + 8)]
        }
        let (first, last) = isTurned ? (boxes[edge.to], boxes[edge.from]) : (boxes[edge.from], boxes[edge.to])
        var points = [Point(x: first.origin.x + first.width, y: first.centre)]
        for item in chain {
            let y = item.y + item.height / 2
            points.append(Point(x: lefts[item.layer], y: y))
            points.append(Point(x: lefts[item.layer] + widths[item.layer], y: y))
        }
        points.append(Point(x: last.origin.x, y: last.centre))
        return isTurned ? points.reversed() : points
    }

    // MARK: Layers

    /// The edges with those turned round that lead back to where a walk has come from.
    private static func withoutCycles(count: Int, _ edges: [(from: Int, to: Int)]) -> [(from: Int, to: Int)] {
        var leaving = [[Int]](repeating: [], count: count)
        var entering = [Int](repeating: 0, count: count)
        for (number, edge) in edges.enumerated() where edge.from != edge.to {
            leaving[edge.from].append(number)
            entering[edge.to] += 1
        }
        var turned = Set<Int>()
        // 1: on the way; 2: done.
        var state = [UInt8](repeating: 0, count: count)
        let starts = (0..<count).sorted { (entering[$0] == 0 ? 0 : 1, $0) < (entering[$1] == 0 ? 0 : 1, $1) }
        for start in starts where state[start] == 0 {
            // With a stack of its own: a chain of services may be longer than a thread's.
            var stack = [(node: start, next: 0)]
            state[start] = 1
            while let (node, next) = stack.last {
                guard next < leaving[node].count else {
                    state[node] = 2
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let edge = leaving[node][next]
                let to = edges[edge].to
                if state[to] == 1 {
                    turned.insert(edge)
                } else if state[to] == 0 {
                    state[to] = 1
                    stack.append((to, 0))
                }
            }
        }
        return edges.enumerated().map { turned.contains($0.offset) ? ($0.element.to, $0.element.from) : $0.element }
    }

    private static func layers(count: Int, _ edges: [(from: Int, to: Int)]) -> [Int] {
        var leaving = [[Int]](repeating: [], count: count)
        var entering = [Int](repeating: 0, count: count)
        for edge in edges where edge.from != edge.to {
            leaving[edge.from].append(edge.to)
            entering[edge.to] += 1
        }
        var layers = [Int](repeating: 0, count: count)
        var ready = (0..<count).filter { entering[$0] == 0 }
        while let node = ready.popLast() {
            for next in leaving[node] {
                layers[next] = max(layers[next], layers[node] + 1)
                entering[next] -= 1
                if entering[next] == 0 { ready.append(next) }
            }
        }
        return layers
    }

    /// The places between an edge's ends.
    private static func chain(_ edge: (from: Int, to: Int), _ items: inout [Item]) -> [Int] {
        guard edge.from != edge.to else { return [] }
        var chain: [Int] = []
        var last = edge.from
        for layer in items[edge.from].layer + 1..<max(items[edge.to].layer, items[edge.from].layer + 1) {
            items.append(Item(node: nil, layer: layer, width: 0, height: 0, before: [last]))
            items[last].after.append(items.count - 1)
            last = items.count - 1
            chain.append(last)
        }
        items[last].after.append(edge.to)
        items[edge.to].before.append(last)
        return chain
    }

    // MARK: Order

    private static func order(_ rows: inout [[Int]], _ items: [Item]) {
        var positions = [Int](repeating: 0, count: items.count)
        func number(_ row: [Int]) { for (position, item) in row.enumerated() { positions[item] = position } }
        for row in rows { number(row) }
        var best = rows
        var fewest = crossings(rows, items, positions)
        for sweep in 0..<sweeps where fewest > 0 {
            let isForward = sweep % 2 == 0
            for layer in isForward ? Array(rows.indices) : rows.indices.reversed() {
                let means = rows[layer].map { item -> Double in
                    let neighbours = isForward ? items[item].before : items[item].after
                    guard !neighbours.isEmpty else { return Double(positions[item]) }
                    return neighbours.reduce(0) { $0 + Double(positions[$1]) } / Double(neighbours.count)
                }
                rows[layer] = zip(rows[layer], means).sorted { ($0.1, positions[$0.0]) < ($1.1, positions[$1.0]) }
                    .map(\.0)
                number(rows[layer])
            }
            let now = crossings(rows, items, positions)
            if now < fewest {
                fewest = now
                best = rows
            }
        }
        rows = best
    }

    private static func crossings(_ rows: [[Int]], _ items: [Item], _ positions: [Int]) -> Int {
        var count = 0
        for row in rows {
            // Of the edges that begin here, in the order of their beginnings, pairs whose ends are the other way round.
            var ends: [Int] = []
            for item in row {
                let own = items[item].after.map { positions[$0] }.sorted()
                for end in own { count += ends.count { $0 > end } }
                ends += own
            }
        }
        return count
    }

    // MARK: Places

    /// Puts every item as near to its neighbours as the order and the gaps let it.
    private static func place(_ items: inout [Item], _ rows: [[Int]]) {
        for row in rows {
            var y = margin
            for item in row {
                items[item].y = y
                y += items[item].height + gapY
            }
        }
        for sweep in 0..<sweeps {
            for layer in sweep % 2 == 0 ? Array(rows.indices) : rows.indices.reversed() {
                let wanted = rows[layer].map { item -> Double in
                    let neighbours = items[item].before + items[item].after
                    guard !neighbours.isEmpty else { return items[item].y }
                    let mean =
                        neighbours.reduce(0) { $0 + items[$1].y + items[$1].height / 2 } / Double(neighbours.count)
                    return mean - items[item].height / 2
                }
                for (item, y) in zip(rows[layer], settled(wanted, rows[layer].map { items[$0].height })) {
                    items[item].y = y
                }
            }
        }
        let top = items.map(\.y).min() ?? margin
        for item in items.indices { items[item].y += margin - top }
    }

    /// Positions as near to the wanted ones as possible, in the same order and without overlap: neighbours that want the
    /// same place share it around its middle.
    private static func settled(_ wanted: [Double], _ heights: [Double]) -> [Double] {
        struct Block {
            var members: Range<Int>
            /// Of the wanted places of its members, were the first one at 0.
            var sum: Double
            var length: Double
            var start: Double { sum / Double(members.count) }
        }
        var blocks: [Block] = []
        for index in wanted.indices {
            var block = Block(members: index..<index + 1, sum: wanted[index], length: heights[index] + gapY)
            while let last = blocks.last, last.start + last.length > block.start {
                blocks.removeLast()
                block = Block(
                    members: last.members.lowerBound..<block.members.upperBound,
                    sum: last.sum + block.sum - Double(block.members.count) * last.length,
                    length: last.length + block.length)
            }
            blocks.append(block)
        }
        var places: [Double] = []
        for block in blocks {
            var y = block.start
            for index in block.members {
                places.append(y)
                y += heights[index] + gapY
            }
        }
        return places
    }
}
