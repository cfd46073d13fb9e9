import Testing

@testable import Agent

@Suite struct HTTPHostCheckTests {
    private func check(_ address: String) throws -> HTTPHostCheck {
        try #require(HTTPHostCheck(try HTTPListenAddress(address)))
    }

    @Test(arguments: [
        "localhost", "localhost:15000", "LOCALHOST:1", "localhost.", "weft.localhost:15000", "127.0.0.1",
        "127.0.0.1:15000", "127.8.9.10:1", "[::1]:15000", "[::1]",
    ])
    func namesAndAddressesOfThisMachineAreAnswered(host: String) throws {
        #expect(try check("127.0.0.1:15000").admits(host))
    }

    @Test(arguments: [
        "evil.example", "evil.example:15000", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost",
        "10.0.0.1",
        "10.0.0.1:15000", "[fe80::1]:15000", "", ":15000", "127.1", "2130706433", "0x7f.1",
    ])
    func othersAreNot(host: String) throws {
        #expect(try !check("127.0.0.1:15000").admits(host))
    }

    @Test func theAddressThatIsListenedOnIsAnswered() throws {
        #expect(try check("10.0.0.1:15000").admits("10.0.0.1:15000"))
        #expect(try !check("10.0.0.1:15000").admits("10.0.0.2:15000"))
        #expect(try check("[fd00::1]:15000").admits("[FD00:0::1]:15000"))
    }

    @Test(arguments: ["0.0.0.0:15000", ":15000"])
    func whoListensOnEveryAddressAnswersAddressesAndNoNames(listen: String) throws {
        #expect(try check(listen).admits("10.0.0.1:15000"))
        #expect(try check(listen).admits("[fd00::1]"))
        #expect(try !check(listen).admits("evil.example"))
    }

    @Test func unixSocketsAndRequestsWithoutTheHeaderAreNotAsked() throws {
        #expect(HTTPHostCheck(.unix(path: "/run/weft/admin.sock")) == nil)
        #expect(try check("127.0.0.1:15000").admits(nil))
    }

    @Test func theResponderRefusesForeignNamesWhereItIsToldTo() throws {
        let server = try HTTPTestServer(checksHosts: true)
        defer { server.stop() }
        func status(_ host: String) throws -> String {
            let client = try RawClient(to: server.address)
            client.send("GET / HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
            return String(client.receiveAll().prefix(12))
        }
        #expect(try status("\(server.address)") == "HTTP/1.1 200")
        #expect(try status("localhost") == "HTTP/1.1 200")
        #expect(try status("rebound.example") == "HTTP/1.1 421")
        let absolute = try RawClient(to: server.address)
        absolute.send("GET http://rebound.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        #expect(absolute.receiveAll().hasPrefix("HTTP/1.1 421"))
    }
}
