import Foundation
import FoundationXML
import Testing

@testable import weft

@Suite("Drawing the service graph") struct GraphTests {
    private static func node(_ name: String, kind: String = "workload", namespace: String = "shop") -> GraphAnswer.Node
    {
        .init(
            id: "\(kind)/\(namespace)/\(name)", kind: kind, namespace: namespace, name: name, local: true, rps: 3,
            success: 0.998, p95: 0.8, health: "good")
    }

    private static func edge(
        _ from: GraphAnswer.Node, _ to: GraphAnswer.Node, health: String = "good", secured: String = "kernel"
    ) -> GraphAnswer.Edge {
        .init(
            from: from.id, to: to.id, service: "shop/\(to.name)", lanes: ["kernel"], requests: 180, rps: 3,
            success: 0.998, p50: 0.2, p95: 0.8, p99: 2.1, openedPerSecond: 0.1, bytesPerSecond: 900, deniedPerSecond: 0,
            failedPerSecond: 0, open: 2, secured: secured, health: health)
    }

    /// A shop whose services call each other as many do.
    static var shop: GraphAnswer {
        let outside = GraphAnswer.Node(
            id: "outside", kind: "outside", namespace: "", name: "outside", local: false, rps: 0, success: nil,
            p95: nil,
            health: "idle")
        let front = node("front-1")
        let cart = node("cart-1")
        let orders = node("orders-1")
        let catalogue = node("catalogue", kind: "service")
        let database = node("postgres-0", namespace: "data")
        let mail = node("mail-1", namespace: "ops")
        return GraphAnswer(
            window: 60, nodes: [outside, database, mail, cart, catalogue, front, orders],
            edges: [
                edge(outside, front, secured: "none"), edge(front, cart), edge(front, orders, health: "warning"),
                edge(front, catalogue), edge(cart, catalogue), edge(cart, orders, secured: "mutual_tls"),
                edge(orders, database, health: "bad"), edge(catalogue, database), edge(orders, mail),
                // Back to where it came from, and to itself.
                edge(mail, front), edge(database, database),
            ])
    }

    private static func random(nodes count: Int, edges: Int, seed: UInt64) -> (
        sizes: [(width: Double, height: Double)], edges: [(from: Int, to: Int)]
    ) {
        var state = seed
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        return (
            (0..<count).map { _ in (Double(60 + next(120)), 46) },
            (0..<edges).map { _ in (next(count), next(count)) }
        )
    }

    @Test("Boxes do not overlap, callers are left of who they call, and the same graph has the same places")
    func layout() {
        for seed in 1...20 as ClosedRange<UInt64> {
            let (sizes, all) = Self.random(nodes: 3 + Int(seed) * 5, edges: Int(seed) * 8, seed: seed)
            // Without cycles: from lower to higher numbers.
            let edges = all.filter { $0.from < $0.to }
            let layout = GraphLayout(sizes: sizes, edges: edges)
            for (number, box) in layout.boxes.enumerated() {
                #expect(box.origin.x >= 0 && box.origin.y >= 0)
                #expect(box.origin.x + box.width <= layout.width && box.origin.y + box.height <= layout.height)
                for other in layout.boxes[..<number] {
                    let isBeside =
                        box.origin.x + box.width <= other.origin.x || other.origin.x + other.width <= box.origin.x
                    let isBelow =
                        box.origin.y + box.height <= other.origin.y || other.origin.y + other.height <= box.origin.y
                    #expect(isBeside || isBelow)
                }
            }
            for (edge, route) in zip(edges, layout.routes) {
                let from = layout.boxes[edge.from]
                let to = layout.boxes[edge.to]
                #expect(from.origin.x + from.width < to.origin.x)
                #expect(route.first?.x == from.origin.x + from.width)
                #expect(abs((route.first?.y ?? 0) - from.centre) < from.height / 2)
                #expect(route.last?.x == to.origin.x)
                #expect(abs((route.last?.y ?? 0) - to.centre) < to.height / 2)
                #expect(zip(route, route.dropFirst()).allSatisfy { $0.x <= $1.x })
            }
            let again = GraphLayout(sizes: sizes, edges: edges)
            #expect(again.routes == layout.routes)
            #expect(again.boxes.map(\.origin) == layout.boxes.map(\.origin))
        }
    }

    @Test("Cycles, loops, a chain of thousands, and nothing at all")
    func oddGraphs() {
        let (sizes, edges) = Self.random(nodes: 40, edges: 200, seed: 7)
        let layout = GraphLayout(sizes: sizes, edges: edges)
        #expect(layout.routes.count == edges.count)
        #expect(layout.routes.allSatisfy { $0.count >= 2 })
        let chain = GraphLayout(
            sizes: Array(repeating: (60, 46), count: 3000), edges: (0..<2999).map { ($0, $0 + 1) } + [(2999, 0)])
        #expect(chain.boxes.count == 3000)
        #expect(GraphLayout(sizes: [], edges: []).boxes.isEmpty)
    }

    @Test("A ladder is drawn without crossings")
    func order() {
        // a1 → b1, a2 → b2 and so on, given in an order that would cross.
        let edges = [(0, 7), (1, 6), (2, 5), (3, 4)].map { (from: $0.0, to: $0.1) }
        let layout = GraphLayout(sizes: Array(repeating: (60, 46), count: 8), edges: edges)
        for (a, b) in [(0, 1), (1, 2), (2, 3)] {
            let isAbove = layout.routes[a][0].y < layout.routes[b][0].y
            #expect(isAbove == (layout.routes[a][1].y < layout.routes[b][1].y))
        }
    }

    @Test("The SVG is well-formed, names everything, and loads nothing")
    func svg() throws {
        let svg = GraphSVG(Self.shop).text
        let reader = SVGReader()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = reader
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        for name in ["front-1", "cart-1", "orders-1", "catalogue", "postgres-0", "mail-1", "outside"] {
            #expect(reader.texts.contains(name), "\(name)")
        }
        #expect(reader.texts.contains("3.0 rps · 800µs"))
        #expect(reader.classes.contains("edge bad kernel"))
        #expect(reader.classes.contains("node service good"))
        #expect(svg.contains("prefers-color-scheme: dark"))
        #expect(!svg.contains("href") && !svg.contains("url(") && !svg.contains("@import"))
        #expect(GraphSVG(Self.shop).text == svg)
    }

    @Test("Names from a hostile configuration stay text")
    func escapes() throws {
        let name = "</text><script>alert(1)</script>&\"'\u{1b}[2J\n]]>\u{0}é"
        let bad = Self.node(name, namespace: "<b>")
        var edge = Self.edge(bad, Self.node("web"), health: "good\" onload=\"x", secured: "<i>")
        edge.service = name
        edge.lanes = [name]
        let graph = GraphAnswer(window: nil, nodes: [bad, Self.node("web")], edges: [edge])
        let svg = GraphSVG(graph).text
        let reader = SVGReader()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = reader
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        #expect(!reader.elements.contains("script"))
        #expect(reader.elements.allSatisfy { ["svg", "title", "style", "g", "rect", "text", "path"].contains($0) })
        #expect(!svg.contains("\u{1b}") && !svg.contains("\u{0}"))
        #expect(reader.attributes.allSatisfy { !$0.hasPrefix("on") })

        let dot = GraphDOT.text(graph)
        #expect(!dot.contains("\u{1b}"))
        // Every line is one statement: quotes are closed, and nothing stands outside of them but the language's own words.
        for line in dot.split(separator: "\n").dropFirst().dropLast() {
            var isQuoted = false
            var isEscaped = false
            for letter in line {
                if isEscaped { isEscaped = false; continue }
                if letter == "\\" { isEscaped = isQuoted }
                if letter == "\"" { isQuoted.toggle() }
                if !isQuoted { #expect(!"<>&'".contains(letter) || line.contains("->")) }
            }
            #expect(!isQuoted, "\(line)")
        }
    }

    @Test("Graphviz's language: every node and edge, with what is known of it")
    func dot() {
        let dot = GraphDOT.text(Self.shop)
        #expect(dot.hasPrefix("digraph weft {\n"))
        #expect(dot.hasSuffix("}\n"))
        #expect(
            dot.contains(
                #"  "workload/shop/front-1" [label="front-1\nshop\n3.0 rps, 99.80%", color=darkgreen];"#))
        #expect(
            dot.contains(
                #"  "workload/shop/front-1" -> "workload/shop/cart-1" [label="shop/cart-1\n3.0 rps, p95 800µs", "#
                    + "color=darkgreen];"))
        #expect(dot.contains("color=red"))
        #expect(dot.split(separator: "\n").count { $0.contains(" -> ") } == Self.shop.edges.count)
    }
}

private final class SVGReader: NSObject, XMLParserDelegate {
    var elements: Set<String> = []
    var attributes: Set<String> = []
    var classes: Set<String> = []
    var texts: Set<String> = []
    private var text = ""

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes found: [String: String]
    ) {
        elements.insert(name)
        attributes.formUnion(found.keys)
        if let value = found["class"] { classes.insert(value) }
        text = ""
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
    ) {
        texts.insert(text)
        text = ""
    }
}
