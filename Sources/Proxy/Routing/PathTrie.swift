/// A node of a radix tree of paths. Its children stand together, in the order of their labels' first bytes.
struct PathNode: BitwiseCopyable {
    /// What it adds to its parent's path.
    var label = RouteText.empty
    /// -1: the root.
    var parent: Int32 = -1
    /// Bytes of the whole path to it.
    var depth: UInt32 = 0
    var firstChild: UInt32 = 0
    var childCount: UInt32 = 0
    /// Candidates for exactly this path, for it as a prefix of elements, and for it as a prefix of characters; each in the
    /// order of their ranks.
    var exact = RouteRun.empty
    var element = RouteRun.empty
    var text = RouteRun.empty
}

extension RouteTable {
    /// The deepest node whose path is a prefix of `path`.
    @inline(__always)
    func deepestNode(_ path: RawSpan, root: UInt32) -> UInt32 {
        var index = root
        var position = 0
        while position < path.byteCount {
            let node = nodes[index]
            let child = self.child(of: node, path[position])
            guard child >= 0 else { break }
            let label = nodes[child].label
            guard ByteText.contains(path, at: position, text(label)) else { break }
            position &+= Int(label.count)
            index = UInt32(truncatingIfNeeded: child)
        }
        return index
    }

    /// -1: none.
    @inline(__always)
    private func child(of node: PathNode, _ byte: UInt8) -> Int {
        var low = Int(node.firstChild)
        var high = low &+ Int(node.childCount)
        while high &- low > 8 {
            let middle = (low &+ high) / 2
            if firstBytes[middle] <= byte { low = middle } else { high = middle }
        }
        while low < high {
            if firstBytes[low] == byte { return low }
            low &+= 1
        }
        return -1
    }

    /// The candidate of the lowest rank that matches the request; -1: none does.
    func bestCandidate(in table: RouteHostTable, _ view: borrowing RequestView) -> Int {
        var best = UInt32.max
        var found = -1
        let path = view.path
        var index = deepestNode(path, root: table.root)
        // From the longest path to the shortest, which is the order of precedence, so that the rest is seldom looked at.
        while true {
            let node = nodes[index]
            let depth = Int(node.depth)
            if depth == path.byteCount { consider(node.exact, view, &best, &found) }
            if depth == path.byteCount || depth == 0 || path[depth] == UInt8(ascii: "/") {
                consider(node.element, view, &best, &found)
            }
            consider(node.text, view, &best, &found)
            guard node.parent >= 0 else { break }
            index = UInt32(truncatingIfNeeded: node.parent)
        }
        consider(table.others, view, &best, &found)
        return found
    }

    @inline(__always)
    private func consider(
        _ run: RouteRun, _ view: borrowing RequestView, _ best: inout UInt32, _ found: inout Int
    ) {
        for index in run.indices {
            let candidate = candidates[index]
            if candidate.rank >= best { return }
            if holds(all: candidate.conditions, of: view) {
                best = candidate.rank
                found = index
                return
            }
        }
    }
}
