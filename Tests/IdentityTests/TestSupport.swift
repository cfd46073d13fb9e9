import Foundation
import Mesh
import Testing

@testable import Identity

/// 2030-01-01T00:00:00Z: certificates of these tests do not depend on the day.
let testNow: Int64 = 1_893_456_000

/// A directory that is removed when the value goes.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let base = FileManager.default.temporaryDirectory.appendingPathComponent("weft-identity-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
        path = base.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = "\(path)/\(name)"
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))) }

    /// The permission bits of what is at `name`.
    func mode(_ name: String = "") throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
        return try #require(attributes[.posixPermissions] as? Int)
    }

    /// Names of the files in it, sorted.
    func names(in directory: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(directory)").sorted()
    }
}

/// What the `openssl` command answered.
struct CommandResult {
    var status: Int32
    /// Both of its streams.
    var output: String
}

@discardableResult
func openssl(_ arguments: String...) throws -> CommandResult { try runOpenSSL(arguments) }

func runOpenSSL(_ arguments: [String]) throws -> CommandResult {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return CommandResult(status: process.terminationStatus, output: String(decoding: output, as: UTF8.self))
}

/// A root, a node's intermediate and what they issue.
struct TestAuthority {
    let root: SigningAuthority
    let node: SigningAuthority

    init(trustDomain: String = "cluster.local", now: Int64 = testNow) throws {
        root = try SigningAuthority.makeRoot(trustDomain: trustDomain, now: now)
        node = try root.makeNode("node-a", now: now)
    }

    func issue(_ id: String, lifetime: Int64 = 86400, now: Int64 = testNow) throws -> WorkloadCertificate {
        try node.issue(try #require(SPIFFEID(id)), lifetime: lifetime, now: now)
    }
}

extension WorkloadCertificate {
    /// The chain as certificates, the leaf first.
    func certificates() throws -> [Certificate] { try chain.map { try Certificate(der: $0) } }
}

/// Repeats with the same numbers in each run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
