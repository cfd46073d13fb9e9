/// What nodes and the CA say to each other, each once on a TLS connection: 4 bytes of length (big endian), then lines
/// of text and, after an empty line, PEM.
///
///     weft-join/1                         weft-join/1
///     operation: join                     status: ok
///     node: node-b                        chain: 1
///     token: <id>.<secret>
///                                         -----BEGIN CERTIFICATE-----  (the chain, then the roots)
///     -----BEGIN CERTIFICATE REQUEST----- -----BEGIN X509 CRL-----
///
/// Who asks for the bundle sends what it has revoked itself in place of a certificate request.
struct JoinMessage: Equatable {
    /// No message is longer; a chain has a few KiB, revocation lists may have more.
    static let sizeLimit = 4 << 20
    /// Of what a node that has not proved anything may send, and one that has shown a certificate: thousands of revocations.
    static let requestLimit = 16 << 10
    static let nodeRequestLimit = 256 << 10

    var fields: [String: String] = [:]
    var body: [UInt8] = []

    private static let first = "weft-join/1"
    private static let fieldLimit = 16

    func encoded() -> [UInt8] {
        var text = "\(Self.first)\n"
        for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
            // A reason may quote what a peer called itself.
            let line = value.utf8.prefix(900).map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
            text += "\(name): \(String(decoding: line, as: UTF8.self))\n"
        }
        return Array((text + "\n").utf8) + body
    }

    init(_ fields: [String: String], body: [UInt8] = []) {
        self.fields = fields
        self.body = body
    }

    init(_ bytes: [UInt8]) throws(IdentityError) {
        var rest = bytes[...]
        var isFirst = true
        while true {
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")), end - rest.startIndex <= 1024,
                rest[..<end].allSatisfy({ (0x20...0x7e).contains($0) })
            else { throw IdentityError(.malformed, "the message is not one of \(Self.first)") }
            let line = String(decoding: rest[..<end], as: UTF8.self)
            rest = rest[(end + 1)...]
            if isFirst {
                guard line == Self.first else {
                    throw IdentityError(.malformed, "the message is not one of \(Self.first)")
                }
                isFirst = false
            } else if line.isEmpty {
                break
            } else {
                let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
                guard parts.count == 2, parts[1].hasPrefix(" "), fields.count < Self.fieldLimit,
                    fields.updateValue(String(parts[1].dropFirst()), forKey: parts[0]) == nil
                else { throw IdentityError(.malformed, "the message has a line that is no field, or too many") }
            }
        }
        body = Array(rest)
    }
}

/// What a node may ask for.
enum JoinOperation: String {
    /// Its first intermediate, against a token.
    case join
    /// The next one, against the present one.
    case renew
    /// The roots and revocations that are in force.
    case bundle
}
