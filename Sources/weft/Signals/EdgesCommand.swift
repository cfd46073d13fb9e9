import ArgumentParser

struct EdgesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edges", abstract: "Who talks to whom, and how it is secured.",
        discussion: """
            SECURED is mutual_tls through the tunnel between two nodes, kernel for what never leaves this node and whose \
            client the kernel knows, else none. A service stands in place of a workload as DST where no request says \
            which endpoint has served, or where that is no workload.

            \(SignalOptions.success) \(SignalOptions.percentiles)

            \(SignalOptions.absence)

            Exit status: 0 printed; 3 neither an agent nor its maps are there.

            EXAMPLES
              weft edges                       of the last minute
              weft edges -n shop --window 15m
              weft edges --from shop/front -o wide
              weft edges -o json | jq '.[] | select(.secured == "none")'
            """)

    @Option(name: .shortAndLong, help: "Only edges from or to this namespace.")
    var namespace: String?

    @Option(help: ArgumentHelp("Only from this workload.", valueName: "namespace/name"))
    var from: String?

    @Option(help: ArgumentHelp("Only to this workload or service.", valueName: "namespace/name"))
    var to: String?

    @Option(name: .shortAndLong, help: "Print a table, a wide one, or everything as JSON or YAML.")
    var output: SignalFormat = .table

    @OptionGroup var options: SignalOptions

    func run() throws {
        let graph = try options.graph().selecting(namespace: namespace, from: from, to: to)
        OutputOptions.print(
            graph.records(isWide: output == .wide), as: output.format,
            empty: "nobody has talked to anybody in \(options.window)")
    }
}

extension GraphAnswer {
    /// The edges that are asked for, and their ends.
    func selecting(namespace: String? = nil, from: String? = nil, to: String? = nil) -> GraphAnswer {
        let byID = Dictionary(nodes.map { ($0.id, $0) }) { first, _ in first }
        func fullName(_ id: String) -> String? { byID[id].map { "\($0.namespace)/\($0.name)" } }
        var selected = self
        selected.edges = edges.filter { edge in
            if let namespace, ![edge.from, edge.to].contains(where: { byID[$0]?.namespace == namespace }) {
                return false
            }
            if let from, fullName(edge.from) != from { return false }
            if let to, fullName(edge.to) != to, edge.service != to { return false }
            return true
        }
        let shown = Set(selected.edges.flatMap { [$0.from, $0.to] })
        selected.nodes = nodes.filter { shown.contains($0.id) }
        return selected
    }
}
