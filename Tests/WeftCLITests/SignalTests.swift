import ArgumentParser
import Testing

@testable import weft

@Suite("Golden signals on the command line") struct SignalTests {
    static func row(
        _ name: String, requests: UInt64 = 740, rps: Double? = 12.34, success: Double? = 0.998, p99: Double? = 2.1,
        open: Int64 = 3, route: String? = nil, kind: String = "service"
    ) -> StatAnswer.Row {
        .init(
            kind: kind, namespace: "shop", name: name, route: route, meshed: .init(ready: 1, total: 2),
            requests: requests, rps: rps, success: success,
            latency: .init(p50: p99.map { $0 / 10 }, p95: p99.map { $0 / 2 }, p99: p99),
            tcp: .init(
                open: open, openedPerSecond: 1.25, failedPerSecond: 0, deniedPerSecond: 0.5, sentBytesPerSecond: 812,
                receivedBytesPerSecond: 9120, rtt: 0.05, retransmitsPerSecond: 0, windowLimited: 0.5),
            lanes: ["kernel": 0.9, "proxy": 0.1], health: success.map { $0 < 0.95 ? "bad" : "good" } ?? "idle")
    }

    private func table(_ records: [Record]) -> String { Table(records).text(width: nil, colours: false) }

    @Test("stat has Linkerd's columns; what is not known is a dash")
    func stat() {
        let rows = [
            Self.row("web"), Self.row("idle", requests: 0, rps: 0, success: nil, p99: nil, open: 0),
        ]
        #expect(
            table(rows.map { $0.record(isWide: false) }) == """
                NAME       MESHED  SUCCESS      RPS  LATENCY_P50  LATENCY_P95  LATENCY_P99  TCP_CONN
                shop/web   1/2      99.80%  12.3rps        210µs       1.05ms       2.10ms         3
                shop/idle  1/2           -        -            -            -            -         0

                """)
        let wide = table(rows.map { $0.record(isWide: true) }).split(separator: "\n").first.map(String.init)
        let more = "OPENED/S  FAILED/S  DENIED/S  SENT/S  RECEIVED/S     RTT  RETRANS/S  RWND_LIMITED  LANES"
        #expect(wide?.hasPrefix("NAME       MESHED  SUCCESS      RPS  LATENCY_P50") == true)
        #expect(wide?.hasSuffix("TCP_CONN  \(more)") == true, "\(wide ?? "")")
        let row = table([Self.row("web").record(isWide: true)])
        #expect(row.contains("50.0µs        0.0           0.5  kernel 90% proxy 10%"))
        let value = rows[1].record(isWide: false).value
        #expect(value.json(indented: false).contains(#""success":null,"requests":0,"rps":0.0"#))
    }

    @Test("Without a rate there is the number of requests")
    func totals() {
        let text = table([Self.row("web", rps: nil).record(isWide: false)])
        #expect(text.split(separator: "\n").first?.contains("REQUESTS") == true)
        #expect(text.split(separator: "\n").first?.contains("RPS") == false)
        #expect(text.contains("740"))
    }

    @Test("Routes have their service")
    func routes() {
        let rows = [
            Self.row("web", route: "HTTPRoute shop/web rule 0", kind: "route"), Self.row("web", kind: "route"),
        ]
        #expect(
            table(rows.map { $0.record(isWide: false) }) == """
                ROUTE                      SERVICE   SUCCESS      RPS  LATENCY_P50  LATENCY_P95  LATENCY_P99
                HTTPRoute shop/web rule 0  shop/web   99.80%  12.3rps        210µs       1.05ms       2.10ms
                [none]                     shop/web   99.80%  12.3rps        210µs       1.05ms       2.10ms

                """)
    }

    @Test("edges: who talks to whom; selected by either end")
    func edges() {
        let graph = GraphTests.shop
        let text = table(graph.selecting(from: "shop/orders-1").records(isWide: false))
        #expect(
            text == """
                SRC       DST         SRC_NS  DST_NS  SERVICE          LANE    SECURED     RPS  SUCCESS  LATENCY_P95
                orders-1  postgres-0  shop    data    shop/postgres-0  kernel  kernel   3.0rps   99.80%        800µs
                orders-1  mail-1      shop    ops     shop/mail-1      kernel  kernel   3.0rps   99.80%        800µs

                """)
        #expect(graph.selecting(namespace: "ops").edges.count == 2)
        #expect(graph.selecting(to: "shop/catalogue").edges.count == 2)
        #expect(graph.selecting(to: "shop/catalogue").nodes.map(\.name) == ["cart-1", "catalogue", "front-1"])
        #expect(graph.selecting(from: "shop/nobody").nodes.isEmpty)
    }

    @Test("What is asked of the agent, with names that a query cannot hold")
    func targets() {
        let all = StatRequest(subject: .workload, namespace: nil, name: nil, seconds: 60)
        #expect(all.target == "/v1/stat?by=workload&window=60.000")
        let one = StatRequest(subject: .service, namespace: nil, name: "shop/a&b=c é", seconds: 1.5)
        #expect(one.target == "/v1/stat?by=service&window=1.500&namespace=shop&name=a%26b%3Dc%20%C3%A9")
        let plain = StatRequest(subject: .route, namespace: "shop", name: "web", seconds: 5)
        #expect(plain.target == "/v1/stat?by=route&window=5.000&namespace=shop&name=web")
    }

    @Test("Command lines: what is understood, and what is not")
    func commandLines() throws {
        func stat(_ arguments: String...) throws -> StatCommand { try StatCommand.parse(arguments) }
        #expect(try stat().subject == "services")
        #expect(try stat("shop/web").name == "shop/web")
        #expect(try stat("svc", "web", "-n", "shop").name == "web")
        #expect(try stat("routes", "--window", "5m", "-o", "wide").options.seconds == 300)
        #expect(throws: (any Error).self) { try stat("pods") }
        #expect(throws: (any Error).self) { try stat("services", "a/b/c") }
        #expect(throws: (any Error).self) { try stat("services", "shop/web", "-n", "other") }
        #expect(throws: (any Error).self) { try stat("--window", "16m") }
        #expect(throws: (any Error).self) { try stat("--window", "soon") }
        #expect(throws: (any Error).self) { try TopCommand.parse(["--interval", "1ms"]) }
        #expect(throws: (any Error).self) { try TopCommand.parse(["--count", "0"]) }
        #expect(throws: (any Error).self) { try GraphCommand.parse(["--format", "png"]) }
        #expect(try TopCommand.parse(["workloads", "--sort", "p99"]).sort == .p99)
    }
}

@Suite("weft top") struct TopViewTests {
    private let rows = [
        SignalTests.row("a", rps: 5, success: 1, p99: 9, open: 1), SignalTests.row("b", rps: 7, success: 0.9, p99: 1),
        SignalTests.row("c", requests: 0, rps: 0, success: nil, p99: nil, open: 8),
        SignalTests.row("d", rps: 7, success: 0.99, p99: 4, open: 0),
    ]

    private func names(_ view: TopView) -> String { view.sorted(rows).map(\.name).joined() }

    @Test("The largest first, the worst success first, equals by name, and what is not known last")
    func orders() {
        var view = TopView()
        #expect(names(view) == "bdac")
        for (key, expected) in [("s", "bdac"), ("9", "adbc"), ("c", "cbad"), ("n", "abcd"), ("r", "bdac")] {
            #expect(view.press(.letter(Character(key)), page: 10) == .redraw)
            #expect(names(view) == expected, "\(key)")
        }
        // The same key again, or R, turns it round.
        _ = view.press(.letter("r"), page: 10)
        #expect(names(view) == "abdc")
        _ = view.press(.letter("R"), page: 10)
        #expect(names(view) == "bdac")
        _ = view.press(.letter("n"), page: 10)
        _ = view.press(.letter("n"), page: 10)
        #expect(names(view) == "dcba")
        _ = view.press(.letter(">"), page: 10)
        #expect(view.order == .rps)
        _ = view.press(.letter("<"), page: 10)
        _ = view.press(.letter("<"), page: 10)
        #expect(view.order == .connections)
    }

    @Test("Keys that end, stop and hold it, and keys that mean nothing")
    func keys() {
        var view = TopView()
        #expect(view.press(.letter("q"), page: 10) == .quit)
        #expect(view.press(.letter("\u{3}"), page: 10) == .quit)
        #expect(view.press(.letter("\u{1a}"), page: 10) == .suspend)
        #expect(view.press(.letter("z"), page: 10) == .nothing)
        #expect(view.press(.letter(" "), page: 10) == .redraw)
        #expect(view.isPaused)
        #expect(view.press(.letter(" "), page: 10) == .refresh)
        #expect(KeyReader.keys("\u{1b}[A\u{1b}OB\u{1b}[5~q".utf8) == [.up, .down, .pageUp, .letter("q")])
        // A function key, and bytes that are no text.
        #expect(KeyReader.keys("\u{1b}[15~r".utf8) == [.letter("r")])
        #expect(KeyReader.keys([0x1b]) == [.letter("\u{1b}")])
        #expect(KeyReader.keys([0xff, 0x72]).last == .letter("r"))
    }

    @Test(
        "As many lines as the screen has, none longer than it is wide",
        arguments: [(80, 24), (40, 6), (200, 3), (20, 1)])
    func fits(_ size: (width: Int, height: Int)) {
        let many = (0..<50).map { SignalTests.row("service-\($0)", rps: Double($0)) }
        let answer = StatAnswer(window: 10, rows: many)
        var view = TopView()
        let lines = view.lines(answer, title: "weft top", width: size.width, height: size.height, colours: false)
        #expect(lines.count == size.height)
        // Numbers are never cut: the screen does not wrap what is too long for it.
        if size.width >= 80 { #expect(lines.allSatisfy { displayWidth($0) <= size.width + 20 }) }
        #expect(lines.last?.hasPrefix("q quit") == true)
    }

    @Test("The screen moves over the rows, and not beyond them")
    func scrolling() {
        let many = (0..<50).map { SignalTests.row("service-\($0)", rps: Double($0)) }
        let answer = StatAnswer(window: 10, rows: many)
        var view = TopView()
        func first() -> String {
            view.lines(answer, title: "t", width: 120, height: 14, colours: false)[3].prefix { $0 != " " }.description
        }
        #expect(first() == "shop/service-49")
        _ = view.press(.down, page: 10)
        #expect(first() == "shop/service-48")
        _ = view.press(.pageDown, page: 10)
        #expect(first() == "shop/service-38")
        for _ in 0..<20 { _ = view.press(.pageDown, page: 10) }
        #expect(first() == "shop/service-9")
        _ = view.press(.home, page: 10)
        #expect(first() == "shop/service-49")
    }

    @Test("Why there are no newer numbers is on the screen, and its controls are not")
    func problems() {
        var view = TopView()
        let lines = view.lines(
            StatAnswer(window: 10, rows: []), title: "weft top", problem: "gone\u{1b}[2J", width: 80, height: 10,
            colours: false)
        #expect(lines[1].hasPrefix("gone"))
        #expect(!lines.joined().contains("\u{1b}"))
        #expect(lines.contains("nothing yet"))
    }
}
