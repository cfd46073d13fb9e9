/// A service graph in Graphviz's language.
/// Source: https://graphviz.org/doc/info/lang.html
enum GraphDOT {
    /// Ends with a line feed.
    static func text(_ graph: GraphAnswer) -> String {
        var dot = """
            digraph weft {
              rankdir=LR;
              node [shape=box, style=rounded, fontname="monospace"];
              edge [fontname="monospace", fontsize=10];

            """
        for node in graph.nodes {
            var lines = [node.name, node.namespace.isEmpty ? node.kind : node.namespace]
            if let success = node.success, let rps = node.rps {
                lines.append("\(fixed(rps, decimals: 1)) rps, \(formatShare(success))")
            }
            let style = node.kind == "workload" ? "" : ", style=\"rounded,dashed\""
            dot += "  \(quoted(node.id)) [label=\(quoted(lines)), color=\(colour(node.health))\(style)];\n"
        }
        for edge in graph.edges {
            var lines = edge.service.map { [$0] } ?? []
            if edge.requests > 0, let rps = edge.rps {
                let p95 = edge.p95.map { ", p95 \(formatSeconds($0 / 1000))" } ?? ""
                lines.append("\(fixed(rps, decimals: 1)) rps\(p95)")
            } else if let opened = edge.openedPerSecond {
                lines.append("tcp \(fixed(opened, decimals: 1))/s")
            }
            let style = edge.secured == "none" ? ", style=dashed" : edge.secured == "mutual_tls" ? ", penwidth=2" : ""
            dot += "  \(quoted(edge.from)) -> \(quoted(edge.to)) "
            dot += "[label=\(quoted(lines)), color=\(colour(edge.health))\(style)];\n"
        }
        return dot + "}\n"
    }

    private static func colour(_ health: String) -> String {
        switch health {
        case "good": "darkgreen"
        case "warning": "orange"
        case "bad": "red"
        default: "gray"
        }
    }

    private static func quoted(_ lines: [String]) -> String {
        "\"" + lines.map(escaped).joined(separator: "\\n") + "\""
    }

    private static func quoted(_ text: String) -> String { quoted([text]) }

    /// A double-quoted string knows one escape, of the quote; labels know others, so that a backslash is doubled.
    private static func escaped(_ text: String) -> String {
        printable(text).reduce(into: "") { escaped, letter in
            if letter == "\"" || letter == "\\" { escaped.append("\\") }
            escaped.append(letter)
        }
    }
}
