import CAllocations
import Glibc
import Mesh
import Testing

@testable import Proxy

/// What tunnels cost, and the engine's connections through them.
@Suite(.serialized) struct TunnelEngineTests {
    /// Neither bytes nor frames of a stream that stands cost an allocation, at either end, but those of libssl 3.0, which
    /// makes two small ones for each record that it writes or reads.
    @Test func framesAllocateNothing() throws {
        var clientOptions = ProxyOptions()
        clientOptions.threadName = "tcl"
        var serverOptions = ProxyOptions()
        serverOptions.threadName = "tsv"
        let pair = try TunnelPair(clientOptions: clientOptions, serverOptions: serverOptions)
        let backend = TunnelBackend.echo()
        let sockets = (0..<4).map { _ in pair.connect(to: backend.port) }
        let block = [UInt8](repeating: 5, count: 100_000)
        func exchange(_ rounds: Int) {
            for round in 0..<rounds {
                let socket = sockets[round & 3]
                socket.send(round & 7 == 0 ? block : [1, 2, 3])
                var left = round & 7 == 0 ? block.count : 3
                while left > 0 {
                    let bytes = socket.receive()
                    guard !bytes.isEmpty else { return }
                    left -= bytes.count
                }
            }
        }
        exchange(500)
        let before = unsafe (weft_allocations_of_thread("tcl-0"), weft_allocations_of_thread("tsv-0"))
        #expect(before.0 >= 0 && before.1 >= 0)
        exchange(5_000)
        let after = unsafe (weft_allocations_of_thread("tcl-0"), weft_allocations_of_thread("tsv-0"))
        // Of each round there is a record in each direction, and of a large block as many as it fills, or one more.
        let records = 2 * (5_000 + 5_000 / 8 * (block.count / 16_384 + 1))
        #expect(after.0 - before.0 <= 2 * records + 500)
        #expect(after.1 - before.1 <= 2 * records + 500)
    }
}
