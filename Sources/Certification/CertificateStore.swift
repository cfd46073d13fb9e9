// Unsafe code of this file: paths given to system calls.

import CLinux
import FoundationEssentials
import Glibc
import Identity
public import Mesh

/// What was found out about the programs of this node's workloads: `<state-dir>/acceleration/certificates.json`. The agent
/// and `weft certify` write it alike, each under a lock and on top of what the other has written.
public struct CertificateStore: Sendable, Equatable {
    /// Of one workload: older ones are forgotten.
    static let maxPrograms = 32
    private static let version = 1

    /// By workload, the newest last.
    public private(set) var certificates: [ObjectName: [Certificate]] = [:]

    public init() {}

    /// The certificate of a program of a workload, which holds for this kernel; nil if there is none.
    public func certificate(of program: Program, workload: ObjectName, kernel: String) -> Certificate? {
        certificates[workload]?.last { $0.program.digest == program.digest && $0.kernel == kernel }
    }

    /// Takes over what was found out about a workload's programs. What a program was once seen to do stays said about it:
    /// that it did not do so another time proves nothing. And what was not found out takes nothing away.
    public mutating func record(_ assessment: Assessment, of workload: ObjectName) {
        for certificate in assessment.certificates {
            let old = self.certificate(of: certificate.program, workload: workload, kernel: certificate.kernel)
            if let old, old.verdict == .no || (old.verdict == .yes && certificate.verdict == .unknown) { continue }
            // Another kernel's are of no use any more.
            certificates[workload]?.removeAll {
                $0.program.digest == certificate.program.digest || $0.kernel != certificate.kernel
            }
            certificates[workload, default: []].append(certificate)
        }
        let surplus = (certificates[workload]?.count ?? 0) - Self.maxPrograms
        if surplus > 0 { certificates[workload]?.removeFirst(surplus) }
    }

    /// Forgets what is known of a workload; false if nothing is.
    @discardableResult
    public mutating func forget(_ workload: ObjectName) -> Bool { certificates.removeValue(forKey: workload) != nil }
}

/// Why the file of certificates cannot be used: one sentence for people.
public struct CertificateStoreError: Error, CustomStringConvertible, Equatable {
    public let description: String
}

extension CertificateStore {
    /// The file's path.
    public static func path(_ stateDirectory: String) -> String { "\(stateDirectory)/acceleration/certificates.json" }

    /// What the file says; empty if there is none.
    public static func read(_ stateDirectory: String) throws(CertificateStoreError) -> CertificateStore {
        let path = path(stateDirectory)
        guard StateFile.exists(path) else { return CertificateStore() }
        do {
            return try CertificateStore(json: try StateFile.read(path))
        } catch let error as CertificateStoreError {
            throw CertificateStoreError(description: "\(path): \(error)")
        } catch {
            throw CertificateStoreError(description: "\(error)")
        }
    }

    /// Changes the file under its lock.
    ///
    /// - Returns: what it says now.
    @discardableResult
    public static func update(
        _ stateDirectory: String, _ change: (inout CertificateStore) -> Void
    ) throws(CertificateStoreError) -> CertificateStore {
        let path = path(stateDirectory)
        for directory in [stateDirectory, "\(stateDirectory)/acceleration"] {
            guard unsafe mkdir(directory, 0o700) == 0 || weft_errno() == EEXIST else {
                throw failure("cannot make \(directory)")
            }
        }
        let lock = unsafe open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        guard lock >= 0 else { throw failure("cannot lock \(path)") }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard weft_errno() == EINTR else { throw failure("cannot lock \(path)") }
        }
        let old = try read(stateDirectory)
        var new = old
        change(&new)
        guard new != old else { return new }
        do {
            try StateFile.write(new.json(), to: path)
        } catch {
            throw CertificateStoreError(description: "\(error)")
        }
        return new
    }

    private static func failure(_ what: String) -> CertificateStoreError {
        let code = weft_errno()
        return unsafe CertificateStoreError(description: "\(what): \(String(cString: strerror(code)))")
    }

    // MARK: The file's form

    private struct File: Codable {
        var version: Int
        /// By `namespace/name`.
        var workloads: [String: [Certificate]]
    }

    /// Reads what `json()` writes, and nothing else.
    init(json: [UInt8]) throws {
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: Data(json))
        } catch {
            throw CertificateStoreError(description: "it is not a file of certificates: \(Self.text(error))")
        }
        guard file.version == Self.version else {
            throw CertificateStoreError(description: "its version is \(file.version), and not \(Self.version)")
        }
        for (name, list) in file.workloads {
            let parts = name.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
                throw CertificateStoreError(description: "\"\(name.prefix(64))\" is not the name of a workload")
            }
            for certificate in list where !Program.isDigest(certificate.program.digest) {
                throw CertificateStoreError(
                    description: "\"\(certificate.program.digest.prefix(80))\" is not a program's digest")
            }
            certificates[ObjectName(namespace: String(parts[0]), name: String(parts[1]))] = list
        }
    }

    func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let workloads = Dictionary(uniqueKeysWithValues: certificates.map { ("\($0.key)", $0.value) })
        return Array(try encoder.encode(File(version: Self.version, workloads: workloads))) + [UInt8(ascii: "\n")]
    }

    private static func text(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
            .dataCorrupted(let context):
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
        @unknown default: return "\(error)"
        }
    }
}
