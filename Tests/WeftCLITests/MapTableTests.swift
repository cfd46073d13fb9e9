import Testing
import WeftABI

@testable import weft

@Suite struct MapTableTests {
    private func dump(_ name: String, _ maps: TableMaps) throws -> [MapEntry] {
        let table = try #require(MapTable.named(name))
        return try table.dump(maps.maps, Resolver(maps.maps))
    }

    @Test func routesNameServicesAndMethods() throws {
        var maps = TableMaps()
        let web = try maps.service("shop/web:80", at: "127.96.0.1:80/tcp", backends: [])
        func step(_ state: UInt32, route: UInt8 = 0, table: UInt64 = 0) -> weft_route_step {
            var step = weft_route_step()
            (step.table, step.state, step.route) = (table, state, route)
            return step
        }
        var method = "GET"
        let get = method.withUTF8 { unsafe weft_symbol_of($0.baseAddress, UInt32($0.count)) }
        maps.routes = [
            (weft_route_key(table: web, symbol: WEFT_SYMBOL_ROOT, state: 0, reserved: 0), step(0, table: 0x77)),
            (weft_route_key(table: 0x77, symbol: get, state: 0, reserved: 0), step(1)),
            (weft_route_key(table: 0x77, symbol: 0xabcd, state: 1, reserved: 0), step(2)),
            (weft_route_key(table: 0x77, symbol: WEFT_SYMBOL_ANY, state: 2, reserved: 0), step(0, route: 3)),
        ]
        let entries = try dump("routes", maps)
        #expect(
            entries.map(\.key) == [
                "shop/web:80", "\(hexadecimal(0x77))/0/GET", "\(hexadecimal(0x77))/1/\(hexadecimal(0xabcd))",
                "\(hexadecimal(0x77))/2/any",
            ])
        #expect(entries[0].record["service"] == "shop/web:80")
        #expect(entries.allSatisfy { $0.record["table"] == .string(hexadecimal(0x77)) })
        #expect(entries[1].record["symbol"] == "GET" && entries[1].record["next"] == 1)
        #expect(entries[3].record["template"] == 3 && entries[3].record["next"] == .null)

        let found = try #require(MapTable.named("routes")).find(maps.maps, Resolver(maps.maps), "shop/web:80")
        #expect(found.map(\.key) == ["shop/web:80"])
    }

    @Test func pairsNameTheirEnds() throws {
        var maps = TableMaps()
        let web = try maps.service("shop/web:80", at: "127.96.0.1:80/tcp", backends: [])
        var pair = weft_pair()
        pair.client = 4711
        pair.socks.1 = 1
        pair.source = maps.name(.workload, "shop/client")
        pair.destination = maps.name(.workload, "shop/server")
        pair.service = web
        pair.lane = UInt8(WEFT_LANE_ACCELERATED.rawValue)
        pair.from.0.fast = 1
        pair.from.0.redirected_bytes = 2048
        pair.from.1.outstanding = 7
        pair.evidence = WEFT_EVIDENCE_LOW_WATER.rawValue
        maps.pairs = [(103, pair)]
        let record = try #require(try dump("pairs", maps).first).record
        #expect(record["place"] == 103 && record["clientCookie"] == 4711)
        #expect(record["source"] == "shop/client" && record["destination"] == "shop/server")
        #expect(record["service"] == "shop/web:80" && record["lane"] == "accelerated")
        #expect(record["members"] == ["server"] && record["evidence"] == ["lowWater"])
        guard case .object(let sent) = record["fromClient"], case .object(let received) = record["fromServer"] else {
            Issue.record("\(record)")
            return
        }
        #expect(sent["isRedirected"] == true && sent["redirectedBytes"] == 2048)
        #expect(received["isRedirected"] == false && received["waitingBytes"] == 7)
    }
}
