/// A SPIFFE id, checked: `spiffe://<trust domain>/<path>`.
/// Source: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
public struct SPIFFEID: Hashable, Sendable, CustomStringConvertible {
    public let trustDomain: String
    /// Begins with a slash; empty for that of a trust domain itself, which signing certificates have.
    public let path: String

    /// nil unless `text` is one: lower case letters, digits, `.`, `-` and `_` in the trust domain (at most 255 bytes);
    /// letters, digits, `.`, `-` and `_` in the path's elements, none of which is empty, `.` or `..`; 2,048 bytes in all.
    public init?(_ text: String) {
        let scheme = "spiffe://"
        guard text.utf8.count <= 2048, text.hasPrefix(scheme) else { return nil }
        let rest = text.dropFirst(scheme.count)
        let domain = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(domain.count)
        let lower = { (byte: UInt8) in
            (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d || byte == 0x2e || byte == 0x5f
        }
        guard (1...255).contains(domain.utf8.count), domain.utf8.allSatisfy(lower) else { return nil }
        for element in path.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            guard !element.isEmpty, element != ".", element != "..",
                element.utf8.allSatisfy({ lower($0) || (0x41...0x5a).contains($0) })
            else { return nil }
        }
        trustDomain = String(domain)
        self.path = String(path)
    }

    /// Istio's form for a workload.
    public init?(trustDomain: String, namespace: String, serviceAccount: String) {
        self.init("spiffe://\(trustDomain)/ns/\(namespace)/sa/\(serviceAccount)")
    }

    public var description: String { "spiffe://\(trustDomain)\(path)" }
}
