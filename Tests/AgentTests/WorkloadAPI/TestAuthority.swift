import Foundation
import Mesh

/// Certificates made by `openssl`.
struct TestAuthority {
    let directory: String
    let trustDomain: String
    let root: [UInt8]

    init(in directory: String, trustDomain: String = "cluster.local", name: String = "root") throws {
        self.directory = "\(directory)/\(name)"
        self.trustDomain = trustDomain
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        try Self.shell(
            """
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /O=\(name) \
              -keyout ca.key -out ca.pem -addext subjectAltName=URI:spiffe://\(trustDomain)
            openssl x509 -in ca.pem -outform DER -out ca.der
            """, in: self.directory)
        root = try Self.read("\(self.directory)/ca.der")
    }

    var bundle: TrustBundle { TrustBundle(roots: [root]) }

    /// An X.509-SVID for the path of a SPIFFE id.
    func issue(_ path: String, lifetime: Int64 = 3600) throws -> WorkloadCertificate {
        let id = "spiffe://\(trustDomain)\(path)"
        try """
        subjectAltName=critical,URI:\(id)
        basicConstraints=critical,CA:FALSE
        keyUsage=critical,digitalSignature
        extendedKeyUsage=serverAuth,clientAuth
        """.write(toFile: "\(directory)/leaf.ext", atomically: true, encoding: .utf8)
        try Self.shell(
            """
            openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -outform DER -out leaf.key
            openssl req -new -key leaf.key -keyform DER -subj / -out leaf.csr
            openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 1 -extfile leaf.ext -outform DER -out leaf.der
            """, in: directory)
        let now = Int64(Date().timeIntervalSince1970)
        return WorkloadCertificate(
            spiffeID: id, chain: [try Self.read("\(directory)/leaf.der")],
            privateKey: try Self.read("\(directory)/leaf.key"), notBefore: now, notAfter: now + lifetime)
    }

    func trust(_ certificates: [WorkloadCertificate], others: [String: TrustBundle] = [:]) -> TrustSnapshot {
        TrustSnapshot(
            trustDomain: trustDomain,
            identities: Dictionary(uniqueKeysWithValues: certificates.map { ($0.spiffeID, $0) }),
            bundles: others.merging([trustDomain: bundle]) { $1 })
    }

    /// What the clients print of a certificate.
    static func digest(_ der: [UInt8]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data(der))
        try input.fileHandleForWriting.close()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: text.prefix(64), as: UTF8.self)
    }

    struct Failure: Error { let output: String }

    private static func shell(_ script: String, in directory: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-ec", script]
        process.currentDirectoryURL = URL(filePath: directory)
        let output = Pipe()
        process.standardError = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(output: String(decoding: text, as: UTF8.self)) }
    }

    private static func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
}
