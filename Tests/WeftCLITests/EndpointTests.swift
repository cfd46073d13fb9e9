import Mesh
import Testing
import WeftABI

@testable import weft

@Suite struct EndpointTests {
    @Test(arguments: [
        ("127.96.0.10:80/tcp", "127.96.0.10:80/tcp"), ("127.96.0.10:80", "127.96.0.10:80/tcp"),
        ("127.96.0.10:53/UDP", "127.96.0.10:53/udp"), ("[fd00::1]:443", "[fd00::1]:443/tcp"),
        ("[::ffff:10.0.0.7]:8080", "10.0.0.7:8080/tcp"), ("[::]:0", "[::]:0/tcp"),
    ])
    func readsAndWritesEndpoints(_ text: String, _ canonical: String) throws {
        #expect(try #require(Endpoint(text)).description == canonical)
    }

    @Test(arguments: [
        "", ":", "80", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80/sctp",
        "fd00::1:80",
        "[fd00::1:80", "fd00::1]:80", "localhost:80", "127.0.0.256:1", "127.0.0.1:80/", "[fd00::1]80",
    ])
    func refusesOtherTexts(_ text: String) {
        #expect(Endpoint(text) == nil)
    }

    @Test func isInNetworkOrderInMaps() throws {
        let key = weft_service_key(try #require(Endpoint("127.96.0.10:80")))
        #expect(UInt16(bigEndian: key.port) == 80 && key.protocol == 6)
        #expect(Endpoint(key.address, key.port, key.protocol).description == "127.96.0.10:80/tcp")
    }

    @Test func readsIdentifiers() {
        #expect(parseIdentifier("0x00000000000000fe") == 0xfe && parseIdentifier("0XFE") == 0xfe)
        #expect(
            parseIdentifier("fe") == nil && parseIdentifier("0x") == nil
                && parseIdentifier("0x1ffffffffffffffff") == nil)
    }
}
