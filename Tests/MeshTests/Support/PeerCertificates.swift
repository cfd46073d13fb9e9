import Foundation

/// Certificates that OpenSSL's command makes, for peers that are not Weft: right ones, and each that must be refused.
struct PeerCertificates {
    /// What a certificate says. All but one thing is as in an X.509-SVID, so that what is refused is that thing.
    struct Content {
        var names = ["URI:spiffe://cluster.local/ns/shop/sa/client"]
        var isAuthority = false
        var keyUsage = "digitalSignature"
        var extendedKeyUsage: String? = "serverAuth,clientAuth"
        /// Seconds from now.
        var begin = -60.0
        var end = 3600.0
        /// The issuer is found by its name alone.
        var namesNoKey = false

        /// A node's intermediate.
        static func authority(lifetime: Double) -> Content {
            Content(
                names: ["URI:spiffe://cluster.local"], isAuthority: true, keyUsage: "keyCertSign,cRLSign",
                extendedKeyUsage: nil, end: lifetime)
        }
    }

    let sandbox: Sandbox
    private let directory: String
    /// PEM of certificate and key.
    private let issuer: String
    private let root: String

    /// Issues from a node's intermediate, or from its root.
    init(_ sandbox: Sandbox, of node: Node, isRoot: Bool = false) throws {
        let directory = "\(node.stateDirectory)/ca"
        try self.init(
            sandbox, issuer: "\(directory)/\(isRoot ? "root" : "node").pem", root: "\(directory)/root.pem")
    }

    private init(_ sandbox: Sandbox, issuer: String, root: String) throws {
        (self.sandbox, self.issuer, self.root) = (sandbox, issuer, root)
        directory = "\(sandbox.directory)/issued-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        try write("", "index")
        try write(
            """
            [ca]
            default_ca = default
            [default]
            database = \(directory)/index
            new_certs_dir = \(directory)
            rand_serial = yes
            default_md = sha256
            policy = policy
            unique_subject = no
            [policy]
            commonName = optional
            organizationName = optional
            serialNumber = optional
            """, "ca.conf")
    }

    /// Another CA, whose certificate is that of this one but for the key.
    func impostor() throws -> PeerCertificates {
        let path = "\(directory)/impostor.pem"
        let subject = try sandbox.check(["openssl", "x509", "-in", issuer, "-noout", "-subject", "-nameopt", "compat"])
            .dropFirst("subject=".count).trimmingCharacters(in: .whitespacesAndNewlines)
        try sandbox.check([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "1", "-subj", subject.hasPrefix("/") ? subject : "/\(subject)", "-keyout", "\(path).key", "-out", path,
        ])
        let text = try ["\(path).key", path].map { try String(contentsOfFile: $0, encoding: .utf8) }.joined()
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return try PeerCertificates(sandbox, issuer: path, root: root)
    }

    /// Makes a certificate with a key, and gives the directory that has both with the chain in `cert.pem`, the
    /// certificate alone in `leaf.pem` and what the other end is checked against in `root.pem`.
    ///
    /// - Parameter chain: PEM of what follows the certificate; nil: its issuer's.
    func issue(_ content: Content = Content(), chain: String? = nil) throws -> String {
        let name = UUID().uuidString
        let path = "\(directory)/\(name)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        var extensions = [
            "subjectAltName=critical,\(content.names.joined(separator: ","))",
            "basicConstraints=critical,CA:\(content.isAuthority ? "TRUE" : "FALSE")",
            "keyUsage=critical,\(content.keyUsage)",
            "authorityKeyIdentifier=\(content.namesNoKey ? "none" : "keyid:always")",
        ]
        if let usage = content.extendedKeyUsage { extensions.append("extendedKeyUsage=\(usage)") }
        try write(extensions.joined(separator: "\n"), "\(name)/extensions")
        try sandbox.check([
            "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=peer", "-keyout", "\(path)/key.pem", "-out", "\(path)/request.pem",
        ])
        try sandbox.check([
            "openssl", "ca", "-batch", "-notext", "-config", "\(directory)/ca.conf", "-in", "\(path)/request.pem",
            "-cert", issuer, "-keyfile", issuer, "-startdate", Self.time(content.begin), "-enddate",
            Self.time(content.end), "-extfile", "\(path)/extensions", "-out", "\(path)/leaf.pem",
        ])
        let above = try sandbox.check(["openssl", "x509", "-in", chain ?? issuer])
        try write(try read("\(path)/leaf.pem") + above + read("\(path)/key.pem"), "\(name)/cert.pem")
        try write(try sandbox.check(["openssl", "x509", "-in", root]), "\(name)/root.pem")
        return path
    }

    private func read(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    private func write(_ text: String, _ name: String) throws {
        try text.write(toFile: "\(directory)/\(name)", atomically: true, encoding: .utf8)
    }

    /// ASN.1's GeneralizedTime.
    private static func time(_ seconds: Double) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "UTC")
        formatter.dateFormat = "yyyyMMddHHmmss'Z'"
        return formatter.string(from: Date(timeIntervalSinceNow: seconds))
    }
}
