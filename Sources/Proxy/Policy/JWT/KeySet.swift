/// A JSON Web Key Set (RFC 7517), as far as it is of use: public keys for signatures.
final class KeySet: Sendable {
    struct Key: Sendable {
        /// Empty: none.
        let identifier: [UInt8]
        /// nil: every one that its type allows.
        let algorithm: SignatureAlgorithm?
        let key: PublicKey
    }

    /// Bytes of a set, and keys in it.
    static let maximumSize = 256 << 10
    static let maximumCount = 64

    let keys: [Key]
    /// Keys that cannot be used: of other kinds, for other purposes, too short or malformed.
    let ignored: Int

    /// Why a text is no key set, for people.
    enum Problem: Error, Equatable, CustomStringConvertible {
        case tooLarge
        case json(JSONError)
        case noKeys
        case noUsableKey(ignored: Int)
        case tooManyKeys

        var description: String {
            switch self {
            case .tooLarge: "the key set has more than \(KeySet.maximumSize) bytes"
            case .json(let error): "the key set is no JSON that is read here: \(error)"
            case .noKeys: "the key set has no list \"keys\""
            case .noUsableKey(let ignored):
                "none of its \(ignored) keys can be used: RSA of 2048 bits and more, P-256, P-384, P-521 and Ed25519 can"
            case .tooManyKeys: "the key set has more than \(KeySet.maximumCount) keys"
            }
        }
    }

    init(json: [UInt8]) throws(Problem) {
        guard json.count <= Self.maximumSize else { throw .tooLarge }
        var arena = JSONArena(bytes: json.count, nodes: 8192)
        _ = unsafe arena.append(json.span.bytes)
        do throws(JSONError) {
            try arena.read()
        } catch {
            throw .json(error)
        }
        let view = arena.view
        guard let list = view.member("keys"), view.kind(list) == .array else { throw .noKeys }
        var keys: [Key] = []
        var ignored = 0
        var next = view.first(in: list)
        while let node = next {
            if let key = Self.key(view, node) { keys.append(key) } else { ignored += 1 }
            guard keys.count + ignored <= Self.maximumCount else { throw .tooManyKeys }
            next = view.next(after: node, in: list)
        }
        guard !keys.isEmpty else { throw .noUsableKey(ignored: ignored) }
        self.keys = keys
        self.ignored = ignored
    }

    /// nil: it cannot be used.
    private static func key(_ view: borrowing JSONView, _ node: Int) -> Key? {
        guard isForSignatures(view, node), let type = view.string("kty", of: node) else { return nil }
        var algorithm: SignatureAlgorithm?
        if let name = view.string("alg", of: node) {
            guard let known = SignatureAlgorithm(name) else { return nil }
            algorithm = known
        }
        let key: PublicKey?
        if ByteText.equal(type, "RSA") {
            guard let n = bytes("n", view, node), let e = bytes("e", view, node) else { return nil }
            key = PublicKey.rsa(modulus: n, exponent: e)
        } else if ByteText.equal(type, "EC") {
            guard let curve = view.string("crv", of: node), let x = bytes("x", view, node),
                let y = bytes("y", view, node)
            else { return nil }
            if ByteText.equal(curve, "P-256") {
                key = PublicKey.ec(.p256, x: x, y: y)
            } else if ByteText.equal(curve, "P-384") {
                key = PublicKey.ec(.p384, x: x, y: y)
            } else if ByteText.equal(curve, "P-521") {
                key = PublicKey.ec(.p521, x: x, y: y)
            } else {
                key = nil
            }
        } else if ByteText.equal(type, "OKP") {
            guard let curve = view.string("crv", of: node), ByteText.equal(curve, "Ed25519"),
                let x = bytes("x", view, node)
            else { return nil }
            key = PublicKey.ed25519(x)
        } else {
            key = nil
        }
        guard let key, algorithm.map({ key.type.allows($0) }) ?? true else { return nil }
        var identifier: [UInt8] = []
        if let text = view.string("kid", of: node) {
            for index in 0..<text.byteCount { identifier.append(text[index]) }
        }
        return Key(identifier: identifier, algorithm: algorithm, key: key)
    }

    /// RFC 7517 sections 4.2 and 4.3.
    private static func isForSignatures(_ view: borrowing JSONView, _ node: Int) -> Bool {
        if let use = view.string("use", of: node), !ByteText.equal(use, "sig") { return false }
        guard let operations = view.member("key_ops", of: node) else { return true }
        var next = view.first(in: operations)
        while let operation = next {
            if view.kind(operation) == .string, ByteText.equal(view.text(of: operation), "verify") { return true }
            next = view.next(after: operation, in: operations)
        }
        return false
    }

    private static func bytes(_ name: StaticString, _ view: borrowing JSONView, _ node: Int) -> [UInt8]? {
        guard let text = view.string(name, of: node) else { return nil }
        return Base64URL.bytes(text)
    }
}
