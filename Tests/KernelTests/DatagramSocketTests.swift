import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// Datagram sockets that change what they talk to.
@Suite(.serialized)
struct DatagramSocketTests {
    private func node(
        _ label: String, ports: (UInt16, UInt16) = (18153, 18154)
    ) throws -> (sandbox: Sandbox, plane: KernelPlane, services: [MeshService], client: Interpreter) {
        let sandbox = try Sandbox(label)
        let plane = try sandbox.plane()
        let client = try Interpreter(
            sandbox,
            "udp(18153, b'one'); udp(18154, b'two'); u = datagram(); ONE = ('127.96.1.1', 53); TWO = ('127.96.1.2', 53)"
        )
        let services = [
            try sandbox.service("one", "127.96.1.1", 53, .udp, to: ports.0),
            try sandbox.service("two", "127.96.1.2", 53, .udp, to: ports.1),
        ]
        #expect(try plane.apply(sandbox.snapshot(services, [sandbox.workload("client")])).isEmpty)
        return (sandbox, plane, services, client)
    }

    @Test("Two services with the same backend: the answer is from the one that was asked last")
    func sharedBackend() throws {
        let (sandbox, plane, services, client) = try node("shared", ports: (18153, 18153))
        defer { withExtendedLifetime(sandbox) {} }
        try client.expect("u.sendto(b'1', ONE) and u.recvfrom(9)", "(b'one1', ('127.96.1.1', 53))")
        try client.expect("u.sendto(b'2', TWO) and u.recvfrom(9)", "(b'one2', ('127.96.1.2', 53))")
        try client.expect("u.sendto(b'3', ONE) and u.recvfrom(9)", "(b'one3', ('127.96.1.1', 53))")
        try client.expect("u.close()", "None")
        for (service, datagrams) in zip(services, [2, 1] as [UInt64]) {
            let total = try plane.totals(of: service)
            #expect(total.opened == 1)
            #expect(total.closed == 1)
            #expect(total.sent_bytes == datagrams)
            #expect(total.received_bytes == 4 * datagrams)
        }
    }

    @Test("sendto() with the address that the socket is connected to is the same conversation, another is another's")
    func connectedThenSendTo() throws {
        let (sandbox, plane, services, client) = try node("sendto")
        defer { withExtendedLifetime(sandbox) {} }
        try client.expect("u.connect(ONE) or u.send(b'1') and u.recv(9)", "b'one1'")
        try client.expect("u.sendto(b'22', ONE) and u.recvfrom(9)", "(b'one22', ('127.96.1.1', 53))")
        #expect(try plane.totals(of: services[0]).opened == 1)
        // The kernel takes answers only from where a socket is connected to: this one is sent, and not answered.
        try client.expect("u.sendto(b'333', TWO)", "3")
        try client.expect("u.send(b'4') and u.recv(9)", "b'one4'")
        try client.expect("u.getpeername()", "('127.96.1.1', 53)")
        try client.expect("u.close()", "None")
        let first = try plane.totals(of: services[0])
        #expect((first.opened, first.closed, first.sent_bytes, first.received_bytes) == (1, 1, 4, 13))
        let second = try plane.totals(of: services[1])
        #expect((second.opened, second.closed, second.sent_bytes) == (1, 1, 3))
    }

    @Test("A socket that is disconnected has ended its conversation, and begins others")
    func disconnected() throws {
        let (sandbox, plane, services, client) = try node("disconnect")
        defer { withExtendedLifetime(sandbox) {} }
        try client.expect("u.connect(ONE) or u.send(b'1') and u.recv(9)", "b'one1'")
        try client.expect("disconnect(u)", "None")
        try client.expect("u.getpeername()", "ENOTCONN")
        // No hook says that it is disconnected; the sweep sees it, once it is sure that it is not just connecting.
        Thread.sleep(forTimeInterval: 1.1)
        #expect(try plane.sweep().doomed.isEmpty)
        let first = try plane.totals(of: services[0])
        #expect((first.opened, first.closed, first.sent_bytes) == (1, 1, 1))
        try client.expect("u.sendto(b'2', TWO) and u.recvfrom(9)", "(b'two2', ('127.96.1.2', 53))")
        try client.expect("u.connect(ONE) or u.send(b'3') and u.recv(9)", "b'one3'")
        try client.expect("u.close()", "None")
        #expect(try plane.totals(of: services[0]).closed == 2)
        #expect(try plane.totals(of: services[1]).closed == 1)
    }
}
