import Testing

@testable import weft

@Suite struct FlowTests {
    private let line = """
        {"time":"2026-11-21T04:22:05.006802Z","event":"denied","reporter":"source","protocol":"tcp","lane":"kernel",\
        "from":"shop/stranger","source_principal":"spiffe://cluster.local/ns/shop/sa/stranger","to":"shop/web:80",\
        "destination":"shop/web-1","source_address":null,\
        "service_address":"127.96.0.10:80","peer_address":"127.0.0.1:18081","address_class":null,\
        "rule":"shop/allow-client[0]","bytes_sent":0,"bytes_received":2048,"duration_us":1500,"connect_us":null,\
        "rtt_us":null,"retransmits":0,"window_limited_us":7000,"http_class":"5xx","http_requests":3,"error":1,\
        "cookie":0,"netns_cookie":3,"cgroup":1754}
        """

    @Test func readsARecordOfTheAgent() throws {
        let record = try FlowLine(Array(line.utf8)).record
        let cells = Table([record]).text(width: nil, colours: false).split(separator: "\n")[1]
        #expect(
            cells.split(separator: " ").map(String.init) == [
                "04:22:05.006", "denied", "shop/stranger", "shop/web:80", "shop/web-1", "(127.0.0.1:18081)", "kernel",
                "0B",
                "2.00KiB", "1.50ms", "5xx", "×3", "shop/allow-client[0]",
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
            .replacing("\"window_limited_us\":7000,\"http_class\":\"5xx\",\"http_requests\":3,", with: "")
        let record = try FlowLine(Array(old.utf8))
        #expect(record.sourcePrincipal == nil && record.statusClass == nil && record.httpRequests == nil)
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
            from: "shop/a b", to: "shop/web:80", service: "web", namespace: "shop", lane: "kernel", httpStatus: "503",
            deniedOnly: true, since: .seconds(90.5), limit: 5)
        #expect(
            request.query(follow: true)
                == "limit=5&follow=1&denied=true&from=shop%2Fa%20b&to=shop%2Fweb%3A80&service=web&namespace=shop"
                + "&lane=kernel&http_status=503&since=91s")
    }

    /// The lines of a file are chosen as the agent chooses its records.
    @Test func filesAreReadWithTheSameFilters() throws {
        func lines(_ request: FlowRequest, _ lines: [String], now: Int64 = 0) -> [String] {
            var reader = FlowFileReader(request, now: now)
            for (number, line) in lines.enumerated() { reader.take(Array(line.utf8), "flows.json:\(number + 1)") }
            return reader.last.map { String(decoding: $0, as: UTF8.self) }
        }
        let ended = line.replacing("\"denied\"", with: "\"ended_by_policy\"")
        let closed = line.replacing("\"denied\"", with: "\"closed\"").replacing("5xx", with: "2xx")
            .replacing("04:22:05", with: "04:23:05")
        let all = [line, ended, closed]
        #expect(lines(FlowRequest(limit: 10), all) == all)
        #expect(lines(FlowRequest(limit: 2), all) == [ended, closed])
        #expect(lines(FlowRequest(limit: 1), all) == [closed])
        #expect(lines(FlowRequest(limit: 0), all).isEmpty)
        #expect(lines(FlowRequest(deniedOnly: true, limit: 10), all) == [line, ended])
        #expect(lines(FlowRequest(httpStatus: "204", limit: 10), all) == [closed])
        #expect(lines(FlowRequest(namespace: "shop", limit: 10), all) == all)
        #expect(lines(FlowRequest(namespace: "ops", limit: 10), all).isEmpty)
        #expect(lines(FlowRequest(from: "spiffe://cluster.local/ns/shop/sa/stranger", limit: 10), all) == all)
        // 2026-11-21T04:23:35Z.
        #expect(lines(FlowRequest(since: .seconds(60), limit: 10), all, now: 1_795_235_015_000_000_000) == [closed])
    }

    @Test func aFileWithWhatIsNoRecordIsReadToItsEnd() {
        var reader = FlowFileReader(FlowRequest(limit: 10), now: 0)
        for (number, text) in [line, "{\"time\":", line].enumerated() {
            reader.take(Array(text.utf8), "flows.json:\(number + 1)")
        }
        #expect(reader.last.count == 2)
        #expect(reader.failure?.description.hasPrefix("flows.json:2 is no flow record") == true)
    }
}
