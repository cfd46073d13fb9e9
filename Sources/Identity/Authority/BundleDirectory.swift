public import Mesh

/// Trust bundles of other domains, and additions to the own one: `<trust domain>.pem`, and `<trust domain>.crl` with
/// revocation lists alone, both PEM.
public enum BundleDirectory {
    /// What can be used of a directory, and what is wrong with the rest. There need not be one. Of a domain with a file
    /// that is broken, what `previous` has is kept.
    public static func read(
        _ path: String, previous: [String: TrustBundle] = [:]
    ) -> (bundles: [String: TrustBundle], problems: [IdentityError]) {
        var bundles: [String: TrustBundle] = [:]
        var problems: [IdentityError] = []
        var broken: Set<String> = []
        let names: [String]
        do throws(IdentityError) {
            names = try StateFile.names(in: path)
        } catch {
            return (previous, [error])
        }
        for name in names {
            guard name.hasSuffix(".pem") || name.hasSuffix(".crl") else { continue }
            let domain = String(name.dropLast(4))
            do throws(IdentityError) {
                guard SPIFFEID("spiffe://\(domain)") != nil else {
                    throw IdentityError(.malformed, "\(path)/\(name): '\(domain)' cannot be a trust domain")
                }
                let file = try CertificateFile(path: "\(path)/\(name)")
                guard file.certificates.allSatisfy(\.isAuthority) else {
                    throw IdentityError(.invalid, "\(path)/\(name): it has certificates that are not those of CAs")
                }
                bundles[domain, default: TrustBundle(roots: [])].add(file)
            } catch {
                problems.append(error)
                broken.insert(domain)
            }
        }
        for domain in broken { bundles[domain] = previous[domain] }
        return (bundles.filter { !$0.value.roots.isEmpty || !$0.value.revocations.isEmpty }, problems)
    }
}

extension TrustBundle {
    /// Takes over what a file has and the bundle has not.
    mutating func add(_ file: CertificateFile) {
        add(TrustBundle(roots: file.certificates.map(\.der), revocations: file.revocations.map(\.der)))
    }

    mutating func add(_ other: TrustBundle) {
        for root in other.roots where !roots.contains(root) { roots.append(root) }
        for list in other.revocations where !revocations.contains(list) { revocations.append(list) }
    }
}
