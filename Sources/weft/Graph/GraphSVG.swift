/// A service graph as an SVG document that stands alone: no script, no font and no picture from elsewhere, light and
/// dark as the viewer prefers.
struct GraphSVG {
    private let graph: GraphAnswer
    private let numbers: [String: Int]

    init(_ graph: GraphAnswer) {
        self.graph = graph
        numbers = Dictionary(graph.nodes.enumerated().map { ($1.id, $0) }) { first, _ in first }
    }

    private static let letter = 7.3
    private static let boxHeight = 46.0
    private static let longestName = 34

    private static let style = """
        :root { color-scheme: light dark; }
        svg { --ground: #ffffff; --text: #1b1f24; --faint: #5b6570; --box: #f4f6f8;
          --good: #1a7f37; --warning: #9a6700; --bad: #cf222e; --idle: #8c959f;
          background: var(--ground); font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
        @media (prefers-color-scheme: dark) {
          svg { --ground: #0d1117; --text: #e6edf3; --faint: #9198a1; --box: #161b22;
            --good: #3fb950; --warning: #d29922; --bad: #f85149; --idle: #6e7681; } }
        text { fill: var(--text); } .faint { fill: var(--faint); font-size: 11px; }
        .label { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round;
          font-size: 11px; }
        rect { fill: var(--box); stroke-width: 1.5; } .service rect, .outside rect { stroke-dasharray: 5 3; }
        path { fill: none; stroke-width: 1.5; }
        .mutual_tls path { stroke-width: 2.5; } .none path { stroke-dasharray: 6 4; }
        .good { --health: var(--good); } .warning { --health: var(--warning); } .bad { --health: var(--bad); }
        .idle { --health: var(--idle); } rect, path { stroke: var(--health); }
        .head { fill: var(--health); stroke: none; }
        """

    /// The document; ends with a line feed.
    var text: String {
        // Several services between the same two ends are one line.
        let lines = Self.joined(graph.edges)
        let names = graph.nodes.map { cut($0.name, to: Self.longestName) }
        let notes = graph.nodes.map(note)
        let sizes = graph.nodes.indices.map { index -> (width: Double, height: Double) in
            let letters = max(displayWidth(names[index]), displayWidth(notes[index]), 8)
            return (Double(letters) * Self.letter + 28, Self.boxHeight)
        }
        let layout = GraphLayout(
            sizes: sizes,
            edges: lines.compactMap { line in
                guard let from = numbers[line.from], let to = numbers[line.to] else { return nil }
                return (from, to)
            })
        let width = number(layout.width)
        let height = number(layout.height + 28)
        var svg = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" \
            viewBox="0 0 \(width) \(height)" role="img" aria-labelledby="title">
            <title id="title">\(Self.escaped(title))</title>
            <style>
            \(Self.style)
            </style>

            """
        for (line, route) in zip(lines, layout.routes) { svg += draw(line, route) }
        for (line, route) in zip(lines, layout.routes) { svg += drawLabel(line, route) }
        for index in graph.nodes.indices {
            svg += draw(graph.nodes[index], layout.boxes[index], names[index], notes[index])
        }
        svg += "<text class=\"faint\" x=\"24\" y=\"\(number(layout.height + 14))\">\(Self.escaped(title))</text>\n"
        return svg + "</svg>\n"
    }

    private var title: String {
        let window = graph.window.map { " in \(formatSeconds($0))" } ?? " since the maps were made"
        return "Service graph: \(graph.nodes.count) nodes, \(graph.edges.count) edges\(window)"
    }

    /// What is between two ends.
    private struct Line {
        var from: String
        var to: String
        var edges: [GraphAnswer.Edge]

        /// The worst.
        var health: String {
            ["bad", "warning", "good"].first { health in edges.contains { $0.health == health } } ?? "idle"
        }

        /// The weakest.
        var security: String {
            ["none", "kernel"].first { security in edges.contains { $0.secured == security } } ?? "mutual_tls"
        }
    }

    private static func joined(_ edges: [GraphAnswer.Edge]) -> [Line] {
        var lines: [Line] = []
        for edge in edges {
            if let last = lines.last, last.from == edge.from, last.to == edge.to {
                lines[lines.count - 1].edges.append(edge)
            } else {
                lines.append(Line(from: edge.from, to: edge.to, edges: [edge]))
            }
        }
        return lines
    }

    // MARK: Drawing

    private func note(_ node: GraphAnswer.Node) -> String {
        let place = node.namespace.isEmpty ? (node.kind == "outside" ? "outside of the mesh" : "") : node.namespace
        guard let rps = node.rps, let success = node.success else { return place }
        return "\(place) · \(fixed(rps, decimals: 1)) rps · \(formatShare(success))"
    }

    private func draw(_ node: GraphAnswer.Node, _ box: GraphLayout.Box, _ name: String, _ note: String) -> String {
        let x = box.origin.x
        let y = box.origin.y
        return """
            <g class="node \(Self.word(node.kind)) \(Self.word(node.health))"><title>\(Self.escaped(node.id))</title>
            <rect x="\(number(x))" y="\(number(y))" width="\(number(box.width))" height="\(number(box.height))" rx="6"/>
            <text x="\(number(x + 14))" y="\(number(y + 20))">\(Self.escaped(name))</text>
            <text class="faint" x="\(number(x + 14))" y="\(number(y + 36))">\(Self.escaped(note))</text>
            </g>

            """
    }

    private func draw(_ line: Line, _ points: [GraphLayout.Point]) -> String {
        guard let first = points.first, let last = points.last else { return "" }
        var path = "M\(number(first.x)) \(number(first.y))"
        let isBack = last.x <= first.x
        for (from, to) in zip(points, points.dropFirst()) {
            if line.from == line.to {
                path +=
                    " C\(number(from.x + 40)) \(number(from.y - 14)) \(number(to.x + 40)) \(number(to.y + 14))"
                    + " \(number(to.x)) \(number(to.y))"
            } else if from.y == to.y {
                path += " L\(number(to.x)) \(number(to.y))"
            } else {
                let middle = (from.x + to.x) / 2
                path +=
                    " C\(number(middle)) \(number(from.y)) \(number(middle)) \(number(to.y)) \(number(to.x))"
                    + " \(number(to.y))"
            }
        }
        // The head points to where the line ends.
        let side = isBack ? 8.0 : -8.0
        let head =
            "M\(number(last.x)) \(number(last.y)) l\(number(side)) -4.5 l0 9 z"
        return """
            <g class="edge \(Self.word(line.health)) \(Self.word(line.security))">
            <title>\(Self.escaped(description(line)))</title>
            <path d="\(path)"/><path class="head" d="\(head)"/>
            </g>

            """
    }

    /// Beside the caller's end, where lines are still apart.
    private func drawLabel(_ line: Line, _ points: [GraphLayout.Point]) -> String {
        guard points.count > 1 else { return "" }
        let x = number((points[0].x + points[1].x) / 2)
        let y = number((points[0].y + points[1].y) / 2 - 5)
        return
            "<text class=\"label\" text-anchor=\"middle\" x=\"\(x)\" y=\"\(y)\">\(Self.escaped(label(line)))</text>\n"
    }

    private func label(_ line: Line) -> String {
        let requests = line.edges.reduce(0) { $0 + ($1.rps ?? 0) }
        guard line.edges.contains(where: { $0.requests > 0 }) else {
            let opened = line.edges.compactMap(\.openedPerSecond)
            let denied = line.edges.reduce(0) { $0 + ($1.deniedPerSecond ?? 0) }
            if denied > 0, opened.reduce(0, +) == 0 { return "denied" }
            return opened.isEmpty ? "tcp" : "tcp \(fixed(opened.reduce(0, +), decimals: 1))/s"
        }
        let slowest = line.edges.compactMap(\.p95).max().map { " · \(formatSeconds($0 / 1000))" } ?? ""
        return "\(fixed(requests, decimals: 1)) rps\(slowest)"
    }

    /// Everything that is known of it, for who points at it.
    private func description(_ line: Line) -> String {
        line.edges.map { edge in
            var parts = ["\(edge.from) → \(edge.to)"]
            if let service = edge.service { parts.append("service \(service)") }
            parts.append("lane \(edge.lanes.isEmpty ? "-" : edge.lanes.joined(separator: ", "))")
            parts.append("secured \(edge.secured)")
            if edge.requests > 0, let rps = edge.rps { parts.append("\(fixed(rps, decimals: 1)) rps") }
            if let success = edge.success { parts.append("success \(formatShare(success))") }
            for (name, value) in [("p50", edge.p50), ("p95", edge.p95), ("p99", edge.p99)] {
                if let value { parts.append("\(name) \(formatSeconds(value / 1000))") }
            }
            if let denied = edge.deniedPerSecond, denied > 0 { parts.append("\(fixed(denied, decimals: 1)) denied/s") }
            return parts.joined(separator: ", ")
        }.joined(separator: "\n")
    }

    // MARK: Text

    /// With one decimal, and `-` for what is negative.
    private func number(_ value: Double) -> String {
        let tenths = Int((abs(value) * 10).rounded())
        let text = tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
        return value < 0 && tenths > 0 ? "-" + text : text
    }

    /// For content and attributes (XML 1.0 §2.4); what XML cannot hold (§2.2) is replaced.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\n": escaped += "&#10;"
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || scalar.value & 0xfffe == 0xfffe:
                escaped.unicodeScalars.append("\u{fffd}")
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// A word of the agent's as the name of a class.
    private static func word(_ text: String) -> String {
        String(text.unicodeScalars.filter { $0 == "_" || ("a"..."z").contains($0) })
    }
}
