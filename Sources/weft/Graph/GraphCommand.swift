import ArgumentParser

struct GraphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph", abstract: "The service graph as a picture, for Graphviz, or as JSON.",
        discussion: """
            The picture stands alone, in light and dark, with callers left of who they call: boxes and lines are green \
            while at least 99% of the requests succeed, red below 95%. Thick lines are mTLS tunnels, dashed ones are not \
            secured. The same graph is always drawn in the same way.

            \(SignalOptions.success)

            \(SignalOptions.absence)

            Exit status: 0 printed; 3 neither an agent nor its maps are there.

            EXAMPLES
              weft graph > mesh.svg
              weft graph --format dot --window 15m | dot -Tpdf > mesh.pdf
              weft graph --format json | jq '.edges[] | select(.health != "good")'
              weft graph -n shop > shop.svg
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case svg, dot, json
    }

    @Option(help: "An SVG document, Graphviz's language, or JSON.")
    var format: Format = .svg

    @Option(name: .shortAndLong, help: "Only edges from or to this namespace.")
    var namespace: String?

    @OptionGroup var options: SignalOptions

    func run() throws {
        let graph = try options.graph().selecting(namespace: namespace)
        switch format {
        case .svg: Console.write(GraphSVG(graph).text)
        case .dot: Console.write(GraphDOT.text(graph))
        case .json: Console.line(graph.value.json(indented: true))
        }
    }
}

extension GraphAnswer {
    /// As the agent gives it.
    var value: Value {
        func number(_ value: Double?) -> Value { value.map(Value.number) ?? .null }
        return [
            "window": number(window),
            "nodes": .array(
                nodes.map {
                    [
                        "id": .string($0.id), "kind": .string($0.kind), "namespace": .string($0.namespace),
                        "name": .string($0.name), "local": .bool($0.local), "rps": number($0.rps),
                        "success": number($0.success), "p95": number($0.p95), "health": .string($0.health),
                    ]
                }),
            "edges": .array(edges.map(\.value)),
        ]
    }
}

extension GraphAnswer.Edge {
    fileprivate var value: Value {
        func number(_ value: Double?) -> Value { value.map(Value.number) ?? .null }
        return [
            "from": .string(from), "to": .string(to), "service": .optional(service),
            "lanes": .array(lanes.map(Value.string)), "requests": Value(requests), "rps": number(rps),
            "success": number(success), "p50": number(p50), "p95": number(p95), "p99": number(p99),
            "openedPerSecond": number(openedPerSecond), "bytesPerSecond": number(bytesPerSecond),
            "deniedPerSecond": number(deniedPerSecond), "failedPerSecond": number(failedPerSecond),
            "open": open.map { Value($0) } ?? .null, "secured": .string(secured), "health": .string(health),
        ]
    }
}
