/// A token by which one node may join, once: which node, which root the CA has to prove, and a secret.
///
/// Its text is `weft1.<id>.<secret>.<SHA-256 of the root>.<node>`, all but the name in hexadecimal digits.
public struct JoinToken: Equatable, Sendable, CustomStringConvertible {
    /// 8 bytes; names the token in the CA's store.
    public let id: [UInt8]
    /// 32 bytes.
    public let secret: [UInt8]
    /// SHA-256 of the certificate of the root that issues for the node.
    public let rootFingerprint: [UInt8]
    public let node: String

    init(id: [UInt8], secret: [UInt8], rootFingerprint: [UInt8], node: String) {
        self.id = id
        self.secret = secret
        self.rootFingerprint = rootFingerprint
        self.node = node
    }

    /// nil unless `text` is one.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 4, omittingEmptySubsequences: false)
        guard text.utf8.count <= 256, parts.count == 5, parts[0] == "weft1", let id = bytes(hexadecimal: parts[1]),
            id.count == 8, let secret = bytes(hexadecimal: parts[2]), secret.count == 32,
            let fingerprint = bytes(hexadecimal: parts[3]), fingerprint.count == 32,
            NodeName.isValid(String(parts[4]))
        else { return nil }
        self.init(id: id, secret: secret, rootFingerprint: fingerprint, node: String(parts[4]))
    }

    public var description: String {
        "weft1.\(hexadecimal(id)).\(hexadecimal(secret)).\(hexadecimal(rootFingerprint)).\(node)"
    }
}
