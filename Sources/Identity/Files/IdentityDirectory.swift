public import Mesh

/// Certificates that another program issues (cert-manager, spiffe-helper beside a SPIRE agent): a directory for each
/// identity, `<namespace>.<service account>`, with `tls.crt` (the leaf, then the intermediates), `tls.key` and `ca.crt`
/// (the roots), as in a Secret of Kubernetes that is mounted. An identity that has a directory here gets its certificate
/// from there alone.
public struct IdentityDirectory: Sendable {
    public let path: String
    public let trustDomain: String
    private var signatures: [String: [FileSignature?]] = [:]

    public init(path: String, trustDomain: String) {
        self.path = path
        self.trustDomain = trustDomain
    }

    /// Looks which directories are there; the SPIFFE ids of those that are new, changed or gone since the last call.
    public mutating func refresh() throws(IdentityError) -> Set<String> {
        var found: [String: [FileSignature?]] = [:]
        for name in try StateFile.names(in: path) {
            guard let id = id(of: name) else { continue }
            found[id.description] = ["tls.crt", "tls.key", "ca.crt"].map { FileSignature("\(path)/\(name)/\($0)") }
        }
        let changed = Set(found.filter { signatures[$0.key] != $0.value }.keys)
            .union(signatures.keys.filter { found[$0] == nil })
        signatures = found
        return changed
    }

    /// Whether an identity had a directory at the last `refresh`.
    public func has(_ id: SPIFFEID) -> Bool { signatures[id.description] != nil }

    /// The certificate of an identity, checked: its key, its SPIFFE id, its use, and that it leads to one of its roots.
    public func read(
        _ id: SPIFFEID, now: Int64
    ) throws(IdentityError) -> (certificate: WorkloadCertificate, roots: [Certificate]) {
        guard let name = directory(of: id) else {
            throw IdentityError(.invalid, "\(id) has no directory of the form <namespace>.<service account>")
        }
        let place = "\(path)/\(name)/tls.crt"
        let file = try CertificateFile(path: place)
        guard let leaf = file.certificates.first else {
            throw IdentityError(.malformed, "\(place): there is no certificate in it")
        }
        let keyPlace = "\(path)/\(name)/tls.key"
        guard let key = try CertificateFile(path: keyPlace).key else {
            throw IdentityError(.malformed, "\(keyPlace): there is no private key in it")
        }
        let roots = try CertificateFile(path: "\(path)/\(name)/ca.crt").certificates
        guard leaf.belongs(to: key) else {
            throw IdentityError(.invalid, "\(place): \(keyPlace) is not its key; both have to be replaced together")
        }
        guard leaf.spiffeID == id else {
            let uris = leaf.uris.isEmpty ? "no URI" : leaf.uris.joined(separator: ", ")
            throw IdentityError(.invalid, "\(place): it is a certificate for \(uris), not for \(id)")
        }
        guard !leaf.isAuthority else { throw IdentityError(.invalid, "\(place): it is a CA's certificate") }
        let intermediates = file.certificates.dropFirst().filter { !$0.isSelfSigned }
        for purpose in [ChainVerifier.Purpose.server, .client] {
            do throws(IdentityError) {
                try ChainVerifier.verify(leaf, intermediates: intermediates, roots: roots, purpose: purpose, now: now)
            } catch {
                throw error.at(place)
            }
        }
        let certificate = WorkloadCertificate(
            spiffeID: id.description, chain: [leaf.der] + intermediates.map(\.der), privateKey: try key.der(),
            notBefore: leaf.notBefore, notAfter: leaf.notAfter)
        return (certificate, roots)
    }

    /// Namespaces are DNS labels, which have no dot: the first one ends it.
    private func id(of name: String) -> SPIFFEID? {
        let parts = name.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        return SPIFFEID(trustDomain: trustDomain, namespace: parts[0], serviceAccount: parts[1])
    }

    private func directory(of id: SPIFFEID) -> String? {
        let parts = id.path.split(separator: "/")
        guard id.trustDomain == trustDomain, parts.count == 4, parts[0] == "ns", parts[2] == "sa" else { return nil }
        return "\(parts[1]).\(parts[3])"
    }
}
