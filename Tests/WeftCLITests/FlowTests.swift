import Testing

@testable import weft

@Suite struct FlowTests {
    private let line = """
        {"time":"2026-11-21T04:22:05.006802Z","event":"denied","reporter":"source","protocol":"tcp","lane":"kernel",\
        "from":"shop/stranger","source_principal":"spiffe://cluster.local/ns/shop/sa/stranger","to":"shop/web:80",\
        "destination":"shop/web-1","source_address":null,\
        "service_address":"127.96.0.10:80","peer_address":"127.0.0.1:18081","address_class":null,\
        "rule":"shop/allow-client[0]","bytes_sent":0,"bytes_received":2048,"duration_us":1500,"connect_us":null,\
        "rtt_us":null,"retransmits":0,"error":1,"cookie":0,"netns_cookie":3,"cgroup":1754}
        """

    @Test func readsARecordOfTheAgent() throws {
        let record = try FlowLine(Array(line.utf8)).record
        let cells = Table([record]).text(width: nil, colours: false).split(separator: "\n")[1]
        #expect(
            cells.split(separator: " ").map(String.init) == [
                "04:22:05.006", "denied", "shop/stranger", "shop/web:80", "shop/web-1", "(127.0.0.1:18081)", "kernel",
                "0B",
                "2.00KiB", "1.50ms", "shop/allow-client[0]",
            ])
    }

    /// Who has no workload here is shown by the identity that its certificate has proved.
    @Test func peersOfOtherNodesAreShownByTheirIdentity() throws {
        let tunnelled = line.replacing("\"from\":\"shop/stranger\"", with: "\"from\":null")
            .replacing("\"lane\":\"kernel\"", with: "\"lane\":\"tunnel\"")
        let text = Table([try FlowLine(Array(tunnelled.utf8)).record]).text(width: nil, colours: false)
        for part in ["denied", "spiffe://cluster.local/ns/shop/sa/stranger", "tunnel", "shop/allow-client[0]"] {
            #expect(text.contains(part))
        }
        // Recorded by an earlier version.
        let old = tunnelled.replacing("\"source_principal\":\"spiffe://cluster.local/ns/shop/sa/stranger\",", with: "")
        #expect(try FlowLine(Array(old.utf8)).sourcePrincipal == nil)
    }

    @Test func yamlHasTheKeysOfTheJSONLine() throws {
        let record = try FlowLine(Array(line.utf8)).record
        let keys = line.split(separator: "\"").enumerated().compactMap { index, text in
            index % 2 == 1 && line.contains("\"\(text)\":") ? String(text) : nil
        }
        #expect(Set(record.fields.map(\.name)) == Set(keys))
    }

    @Test(arguments: ["", "{", "[]", "{\"time\":1}", "\u{0}"])
    func refusesWhatIsNoRecord(_ text: String) {
        #expect(throws: Failure.self) { try FlowLine(Array(text.utf8)) }
    }

    @Test func splitsLinesWhereverThePiecesEnd() {
        var splitter = LineSplitter()
        #expect(splitter.lines(in: Array("a\nb".utf8)) == [Array("a".utf8)])
        #expect(splitter.lines(in: Array("c\n\nd\n".utf8)) == [Array("bc".utf8), Array("d".utf8)])
        #expect(splitter.lines(in: []).isEmpty)
    }

    @Test func asksTheAgentForWhatWasAsked() {
        let request = FlowRequest(
            from: "shop/a b", to: "shop/web:80", lane: "kernel", deniedOnly: true, since: .seconds(90.5), limit: 5)
        #expect(
            request.query(follow: true)
                == "limit=5&follow=1&denied=true&from=shop%2Fa%20b&to=shop%2Fweb%3A80&lane=kernel&since=91s")
    }
}
