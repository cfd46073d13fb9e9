import Foundation
import Glibc
import Mesh

@testable import Proxy

/// A directory with the certificate of a workload as other programs read it (`cert.pem`, its key behind it), and the
/// mesh's root (`root.pem`). It goes with the object.
final class PeerFiles: Sendable {
    private let directory: URL
    var path: String { directory.path }

    init(_ identity: String, of authority: TestAuthority) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "weft-peer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let certificate = try authority.issue(TestLeaf(identity))
        let chain = certificate.chain.map { Self.pem("CERTIFICATE", $0) }.joined()
        try write(chain + Self.pem("PRIVATE KEY", certificate.privateKey), "cert.pem")
        try write(Self.pem("CERTIFICATE", authority.bytes), "root.pem")
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    func write(_ text: String, _ name: String) throws {
        try Data(text.utf8).write(to: directory.appending(path: name))
    }

    private static func pem(_ kind: String, _ bytes: [UInt8]) -> String {
        let text = Data(bytes).base64EncodedString(options: .lineLength64Characters)
        return "-----BEGIN \(kind)-----\n\(text)\n-----END \(kind)-----\n"
    }

    /// Runs one of `Tests/Support/Tunnel` and gives what it prints.
    static func python(
        _ script: String, _ arguments: [String], environment more: [String: String] = [:]
    ) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Support/Tunnel")
        process.arguments = [directory.appending(path: script).path] + arguments
        var environment = ProcessInfo.processInfo.environment
        environment["PYTHONPATH"] = environment["WEFT_TEST_PYTHON"] ?? "\(cache)/python"
        process.environment = environment.merging(more) { $1 }
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }

    /// Where `tools/lib/dependencies.sh` puts what tests need.
    static var cache: String {
        let environment = ProcessInfo.processInfo.environment
        return "\(environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "/root")/.cache")/weft"
    }
}
