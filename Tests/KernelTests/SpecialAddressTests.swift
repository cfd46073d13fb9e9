import BPF
import KernelPlane
import Mesh
import Testing
import WeftABI

/// Addresses that the kernel gives a meaning of their own.
@Suite(.serialized)
struct SpecialAddressTests {
    @Test("0.0.0.0 and :: are this host: what listens there is found, and guarded", arguments: ["0.0.0.0", "::"])
    func unspecifiedAddress(address: String) throws {
        let sandbox = try Sandbox("unspecified")
        let plane = try sandbox.plane()
        let loopback = address == "::" ? "::1" : "127.0.0.1"
        let client = try Interpreter(sandbox, "tcp(18080, b'web', '\(loopback)')")
        let workloads = [sandbox.workload("client", ports: [18080], addresses: [loopback])]
        let server = Identifier.workload(ObjectName(namespace: "shop", name: "client"))
        #expect(try plane.apply(sandbox.snapshot([], workloads)).isEmpty)
        try client.expect("get('\(address)', 18080)", "web")
        #expect(try plane.totals { $0.destination == server }.opened == 1)

        let guarded = sandbox.snapshot([], workloads, [sandbox.policy("nobody", of: "client")], generation: 2)
        #expect(try plane.apply(guarded).isEmpty)
        try client.expect("get('\(address)', 18080)", "EPERM")
        let end = try plane.totals { $0.destination == server }
        #expect((end.opened, end.denied) == (1, 1))
    }

    @Test("A socket that connects to itself is one connection")
    func selfConnection() throws {
        let sandbox = try Sandbox("self")
        let plane = try sandbox.plane()
        let client = try Interpreter(
            sandbox, "s = socket.socket(); s.bind(('127.0.0.1', 18080)); me = ('127.0.0.1', 18080)")
        let workloads = [sandbox.workload("client", ports: [18080], addresses: ["127.0.0.1"])]
        #expect(try plane.apply(sandbox.snapshot([], workloads)).isEmpty)
        try client.expect("s.connect(me) or s.getpeername() == me and s.send(b'hello') and s.recv(9)", "b'hello'")
        _ = try plane.sweep()
        let open = try plane.totals { $0.destination != 0 }
        #expect((open.opened, open.closed, open.sent_bytes, open.received_bytes) == (1, 0, 5, 5))
        try client.expect("s.close()", "None")
        let end = try plane.totals { $0.destination != 0 }
        #expect((end.opened, end.closed, end.failed, end.sent_bytes, end.received_bytes) == (1, 1, 0, 5, 5))
        #expect(try plane.withMaps { try $0.tuples.count() } == 0)
    }
}
