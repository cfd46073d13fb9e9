import Testing
import WeftABI

/// bpf/lib/tuple.h, as it is compiled into the programs.
@Suite("Places of tuples")
struct TupleTests {
    private func key(client: UInt16, server: UInt64 = 1, serverPort: UInt16 = 80, scope: UInt64 = 1) -> weft_tuple_key {
        var key = weft_tuple_key()
        key.scope = scope
        key.client_address.low = 0x0100_007f_ffff_0000
        key.client_port = client.bigEndian
        key.server_address.low = server << 32 | 0xffff_0000
        key.server_port = serverPort.bigEndian
        key.protocol = 6
        return key
    }

    private func index(_ key: weft_tuple_key) -> UInt32 {
        var key = key
        return unsafe weft_tuple_index(&key)
    }

    @Test("All connections of one client to one server have places of their own")
    func onePlaceForEachPort() {
        let places = Set((0...UInt16.max).map { index(key(client: $0)) })
        #expect(places.count == 65536)
        #expect(places.max() == UInt32(WEFT_TUPLE_PLACES - 1))
    }

    @Test("The same ports to many servers, server ports and namespaces spread over the places")
    func spread() {
        // 4,096 random places of 65,536 are 3,971 different ones on average, with a deviation of 11.
        let servers = Set((0..<4096).map { index(key(client: 40000, server: UInt64($0))) })
        #expect(servers.count > 3900)
        let ports = Set((0..<4096).map { index(key(client: 40000, serverPort: UInt16($0))) })
        #expect(ports.count > 3900)
        let scopes = Set((0..<4096).map { index(key(client: 40000, scope: UInt64($0))) })
        #expect(scopes.count > 3900)
    }

    @Test("Tuples are equal when every part of them is")
    func equality() {
        func equal(_ a: weft_tuple_key, _ b: weft_tuple_key) -> Bool {
            var (a, b) = (a, b)
            return unsafe weft_tuple_equal(&a, &b) == 1
        }
        let one = key(client: 40000)
        #expect(equal(one, key(client: 40000)))
        let changes: [(inout weft_tuple_key) -> Void] = [
            { $0.scope += 1 }, { $0.client_address.high += 1 }, { $0.client_address.low += 1 },
            { $0.server_address.high += 1 }, { $0.server_address.low += 1 }, { $0.client_port += 1 },
            { $0.server_port += 1 }, { $0.protocol += 1 },
        ]
        for change in changes {
            var other = one
            change(&other)
            #expect(!equal(one, other))
        }
    }
}
