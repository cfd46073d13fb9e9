/// Builds the radix tree of one host table.
struct PathTrieBuilder {
    struct Entry {
        var path: [UInt8]
        /// Exact, element or text.
        var kind: RouteDecision.PathKind
        /// In its host table.
        var rank: UInt32
        var candidate: RouteCandidate
    }

    private var entries: [Entry]

    init(_ entries: [Entry]) {
        self.entries = entries.sorted { a, b in
            if a.path != b.path { return a.path.lexicographicallyPrecedes(b.path) }
            return a.rank < b.rank
        }
    }

    /// Appends the nodes and the candidates, and returns the place of the root.
    func build(into table: inout RouteTableBuilder) -> UInt32 {
        let root = table.nodes.count
        table.appendNode(PathNode(), firstByte: 0)
        // Breadth first, so that children stand together. Entries that share a path's beginning are consecutive.
        var work = [(node: root, range: 0..<entries.count)]
        var next = 0
        while next < work.count {
            let (node, range) = work[next]
            next += 1
            let depth = Int(table.nodes[node].depth)
            var rest = range.lowerBound
            while rest < range.upperBound, entries[rest].path.count == depth { rest += 1 }
            let here = entries[range.lowerBound..<rest]
            table.nodes[node].exact = append(here, .exact, &table)
            table.nodes[node].element = append(here, .element, &table)
            table.nodes[node].text = append(here, .text, &table)

            table.nodes[node].firstChild = UInt32(table.nodes.count)
            while rest < range.upperBound {
                let first = entries[rest].path
                var end = rest + 1
                while end < range.upperBound, entries[end].path[depth] == first[depth] { end += 1 }
                let last = entries[end - 1].path
                var length = depth + 1
                while length < first.count, length < last.count, first[length] == last[length] {
                    length += 1
                }
                var child = PathNode()
                child.label = table.bytes(first[depth..<length])
                child.parent = Int32(node)
                child.depth = UInt32(length)
                work.append((node: table.nodes.count, range: rest..<end))
                table.appendNode(child, firstByte: first[depth])
                table.nodes[node].childCount += 1
                rest = end
            }
        }
        return UInt32(root)
    }

    private func append(
        _ entries: ArraySlice<Entry>, _ kind: RouteDecision.PathKind, _ table: inout RouteTableBuilder
    ) -> RouteRun {
        table.append(candidates: entries.lazy.filter { $0.kind == kind }.map(\.candidate))
    }
}
