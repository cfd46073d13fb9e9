import CLinux
import Foundation
import Glibc
import Mesh
import Testing

@testable import Proxy

/// Connections to and from the `openssl` program.
@Suite struct TLSForeignPeerTests {
    let root: TestAuthority
    let snapshot: TrustSnapshot
    let directory: URL

    init() throws {
        root = try TestAuthority("root")
        snapshot = TrustSnapshot(
            [try root.issue(TestLeaf(webID)), try root.issue(TestLeaf(cartID))],
            ["cluster.local": TrustBundle(roots: [root.bytes])])
        directory = FileManager.default.temporaryDirectory.appending(path: "weft-tls-\(UUID().uuidString)")
    }

    /// Arguments that give `openssl` a workload's certificate.
    private func identity(_ certificate: WorkloadCertificate) throws -> [String] {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let chain = directory.appending(path: "chain.der").path
        let key = directory.appending(path: "key.der").path
        try Data(certificate.chain[0]).write(to: URL(filePath: chain))
        try Data(certificate.privateKey).write(to: URL(filePath: key))
        return ["-cert", chain, "-certform", "DER", "-key", key, "-keyform", "DER"]
    }

    /// Starts the program with these arguments.
    private func openssl(_ arguments: [String]) throws -> (process: Process, input: Pipe, output: Pipe) {
        _ = signal(SIGPIPE, SIG_IGN)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = arguments
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        return (process, input, output)
    }

    /// Has `s_client` connect to a server of this process.
    private func serve(
        _ arguments: [String], as certificate: WorkloadCertificate?
    ) throws -> (end: TLSEnd, process: Process, input: Pipe, output: Pipe) {
        let listener = try LoopbackListener()
        let identity = try certificate.map(identity) ?? []
        let (process, input, output) = try openssl(
            ["s_client", "-connect", "127.0.0.1:\(listener.port)"] + arguments + identity)
        let end = try TLSEnd(snapshot, identity: cartID, role: .server, descriptor: listener.accept())
        end.complete()
        return (end, process, input, output)
    }

    /// What the program says until it ends, which it does when its input does.
    private func finish(_ run: (end: TLSEnd, process: Process, input: Pipe, output: Pipe)) throws -> String {
        try run.input.fileHandleForWriting.close()
        run.end.connection.shutdown()
        shutdown(run.end.descriptor, CInt(SHUT_RDWR))
        let text = try run.output.fileHandleForReading.readToEnd() ?? Data()
        run.process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
        return String(decoding: text, as: UTF8.self)
    }

    @Test func aClientOfOpenSSLIsAWorkload() throws {
        let run = try serve(["-alpn", "h2", "-quiet"], as: snapshot.identities[webID])
        #expect(run.end.failure == nil && run.end.peer?.spiffeID == webID)
        try run.input.fileHandleForWriting.write(contentsOf: Data("hello\n".utf8))
        #expect(run.end.receive(6) == Array("hello\n".utf8))
        _ = run.end.write("answer\n")
        #expect(try finish(run).contains("answer"))
    }

    @Test func theSessionHasWhatWasAskedForAndNoMore() throws {
        let run = try serve(["-alpn", "http/1.1,h2", "-servername", "other"], as: snapshot.identities[webID])
        #expect(run.end.failure == nil)
        let text = try finish(run)
        #expect(text.contains("TLSv1.3") && text.contains("TLS_AES_128_GCM_SHA256"))
        #expect(text.contains("ALPN protocol: h2") && text.contains("Server Temp Key: X25519"))
        #expect(!text.contains("Post-Handshake New Session Ticket") && text.contains("Early data was not sent"))
        #expect(text.contains("Secure Renegotiation IS NOT supported"))
        #expect(text.contains("No client certificate CA names sent"))
    }

    static let refusals: [(TLSFailure, [String])] = [
        (.protocolVersion, ["-alpn", "h2", "-tls1_2"]),
        (.noALPN, []),
        (.noALPN, ["-alpn", "http/1.1"]),
        (.noALPN, ["-alpn", "h2c,h3"]),
        (.noCommonParameters, ["-alpn", "h2", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]),
        (.noCommonParameters, ["-alpn", "h2", "-groups", "P-521"]),
    ]

    @Test(arguments: refusals.indices) func clientsThatSpeakAnythingElseAreRefused(index: Int) throws {
        let (failure, arguments) = Self.refusals[index]
        let run = try serve(arguments, as: snapshot.identities[webID])
        #expect(run.end.failure == failure)
        _ = try finish(run)
    }

    @Test func aClientWithoutACertificateIsRefused() throws {
        let run = try serve(["-alpn", "h2"], as: nil)
        #expect(run.end.failure == .noCertificate)
        #expect(try finish(run).contains("certificate required"))
    }

    @Test func aClientWithAWeakKeyIsRefused() throws {
        var leaf = TestLeaf(webID)
        leaf.keyBits = 1_024
        let run = try serve(["-alpn", "h2", "-cipher", "DEFAULT@SECLEVEL=0"], as: try root.issue(leaf))
        #expect(run.end.failure == .weakKey)
        _ = try finish(run)
    }

    /// Has a client of this process connect to `s_server`.
    private func connect(_ arguments: [String]) throws -> (end: TLSEnd, process: Process, input: Pipe, output: Pipe) {
        let identity = try identity(try #require(snapshot.identities[cartID]))
        let (process, input, output) = try openssl(["s_server", "-accept", "127.0.0.1:0"] + arguments + identity)
        var said = ""
        while !said.contains("ACCEPT 127.0.0.1:") || !said.hasSuffix("\n") {
            let more = output.fileHandleForReading.availableData
            try #require(!more.isEmpty, "s_server did not start: \(said)")
            said += String(decoding: more, as: UTF8.self)
        }
        let port = try #require(said.split(separator: "ACCEPT 127.0.0.1:").last?.prefix { $0.isNumber })
        let descriptor = TestDescriptor.connect(port: try #require(UInt16(port)))
        let end = try TLSEnd(snapshot, identity: webID, role: .client, descriptor: descriptor)
        end.complete()
        return (end, process, input, output)
    }

    /// Ends a server, which would wait for further clients. It may have been started with SIGTERM blocked.
    private func stop(_ run: (end: TLSEnd, process: Process, input: Pipe, output: Pipe)) {
        kill(run.process.processIdentifier, SIGKILL)
        run.process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
    }

    @Test func aServerOfOpenSSLIsAWorkload() throws {
        let run = try connect(["-alpn", "h2", "-Verify", "1"])
        defer { stop(run) }
        #expect(run.end.failure == nil && run.end.isComplete && run.end.peer?.spiffeID == cartID)
        // Its session tickets come with the first read and are nothing to us.
        try run.input.fileHandleForWriting.write(contentsOf: Data("hello\n".utf8))
        #expect(run.end.receive(6) == Array("hello\n".utf8))
        // A change of its keys, and one that asks us to change ours.
        try run.input.fileHandleForWriting.write(contentsOf: Data("k\n".utf8))
        usleep(50_000)
        try run.input.fileHandleForWriting.write(contentsOf: Data("K\n".utf8))
        usleep(50_000)
        try run.input.fileHandleForWriting.write(contentsOf: Data("again\n".utf8))
        #expect(run.end.receive(6) == Array("again\n".utf8))
        guard case .bytes(5) = run.end.write("back\n") else { throw TLSFailure.io }
    }

    @Test func serversThatSpeakAnythingElseAreRefused() throws {
        for (failure, arguments) in [
            (TLSFailure.noALPN, []), (.noALPN, ["-alpn", "http/1.1"]), (.protocolVersion, ["-alpn", "h2", "-tls1_2"]),
        ] as [(TLSFailure, [String])] {
            let run = try connect(arguments)
            #expect(run.end.failure == failure, "\(arguments)")
            stop(run)
        }
    }
}
