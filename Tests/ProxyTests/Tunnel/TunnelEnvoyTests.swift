import CLinux
import Foundation
import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// Envoy as the other agent: many bytes in both directions at once, each way with its sum.
@Suite(.serialized) struct TunnelEnvoyTests {
    /// 1 GiB where there is time for it.
    static let count = ProcessInfo.processInfo.environment["WEFT_TEST_LONG"] == nil ? 64 << 20 : 1 << 30

    /// A running Envoy, which ends with the object.
    private final class Envoy {
        private let process = Process()
        private let files: PeerFiles

        init(
            _ role: String, _ identity: String, of pair: TunnelPair, port: UInt16, peer: UInt16, authority: String = ""
        ) throws {
            files = try unsafe PeerFiles(identity, of: pair.authority)
            let configuration = try PeerFiles.python(
                "envoy.py", [role, files.path, "\(port)", "\(peer)"], environment: ["AUTHORITY": authority])
            try #require(configuration.status == 0)
            try files.write(configuration.output, "envoy.json")
            let environment = ProcessInfo.processInfo.environment
            let path = environment["WEFT_TEST_ENVOY"] ?? "\(PeerFiles.cache)/envoy-1.40.0/envoy"
            try #require(
                FileManager.default.isExecutableFile(atPath: path),
                "this test needs Envoy at \(path) or in WEFT_TEST_ENVOY: tools/test installs it")
            process.executableURL = URL(filePath: path)
            process.arguments = [
                "-c", "\(files.path)/envoy.json", "--concurrency", "1", "--use-dynamic-base-id",
                "-l", "error",
            ]
            try process.run()
        }

        deinit {
            // Signals that this process blocks are blocked there too.
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
    }

    private func freePort() -> UInt16 {
        let (descriptor, port) = TunnelPair.listen()
        close(descriptor)
        return port
    }

    /// What both ends have sent and got over connections that `connect` makes to a server at `backend`'s port.
    private func transfer(_ backend: TunnelBackend, _ sums: Sums, _ connect: () -> TestSocket) {
        let socket = connect()
        let sent = Sums()
        let count = Self.count
        let sending = Joined { sent.sent.store(Pattern.send(to: socket, count, seed: 11), ordering: .relaxed) }
        let received = Pattern.sum(socket)
        sending.join()
        #expect(TestProxy.eventually { sums.received.load(ordering: .relaxed) != 0 })
        #expect(sums.received.load(ordering: .relaxed) == sent.sent.load(ordering: .relaxed))
        #expect(received == sums.sent.load(ordering: .relaxed))
    }

    private func sender(_ sums: Sums) -> TunnelBackend {
        let count = Self.count
        return TunnelBackend { socket in
            // A connection that only asks whether there is anybody.
            guard let first = socket.receive(atMost: 1).first else { return }
            let sending = Joined {
                sums.sent.store(Pattern.send(to: socket, count, seed: 13, ends: false), ordering: .relaxed)
            }
            // Envoy gives up what a client still sends once its server has ended: the client has to end first.
            sums.received.store(Pattern.sum(socket, after: [first]), ordering: .relaxed)
            sending.join()
            socket.finishSending()
        }
    }

    @Test func tunnelsLeadToEnvoy() throws {
        let pair = try TunnelPair()
        let sums = Sums()
        let backend = sender(sums)
        let port = freePort()
        let envoy = try Envoy("server", TunnelPair.apiID, of: pair, port: port, peer: backend.port)
        try withExtendedLifetime(envoy) {
            try #require(TestProxy.eventually { Self.listens(TunnelPair.address, port) })
            pair.publish(peer: port)
            transfer(backend, sums) { pair.connect(to: backend.port) }
            #expect(TunnelPair.counter(pair.client, .tunnelStreamsOpened) == 1)
            #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelStreamsActive) == 0 })
            #expect(TunnelPair.counter(pair.client, .tunnelBytesSent) == UInt64(Self.count))
            #expect(TunnelPair.counter(pair.client, .tunnelBytesReceived) == UInt64(Self.count))
        }
    }

    @Test func tunnelsComeFromEnvoy() throws {
        let pair = try TunnelPair()
        let sums = Sums()
        let backend = sender(sums)
        let port = freePort()
        let envoy = try Envoy(
            "client", TunnelPair.webID, of: pair, port: port, peer: pair.tunnelPort,
            authority: "127.96.0.10:\(backend.port)")
        try withExtendedLifetime(envoy) {
            try #require(TestProxy.eventually { Self.listens(IPAddress(v4: 127, 0, 0, 1), port) })
            transfer(backend, sums) { TestSocket(port: port) }
            #expect(TunnelPair.counter(pair.server, .tunnelStreamsOpened) >= 1)
        }
    }

    private static func listens(_ address: IPAddress, _ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var to = sockaddr_in()
        to.sin_family = sa_family_t(AF_INET)
        to.sin_port = port.bigEndian
        to.sin_addr.s_addr = UInt32(truncatingIfNeeded: UInt64(bigEndian: address.low)).bigEndian
        return unsafe withUnsafePointer(to: &to) { to in
            unsafe to.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
