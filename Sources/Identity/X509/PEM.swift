/// Textual encodings of certificates, keys and revocation lists (RFC 7468). Text outside of the blocks is explanatory
/// and skipped, as `openssl x509 -text` and bundles from distributions have it.
enum PEM {
    struct Block: Equatable, Sendable {
        /// What stands after BEGIN: `CERTIFICATE`.
        var label: String
        var bytes: [UInt8]
    }

    static let certificate = "CERTIFICATE"
    static let privateKey = "PRIVATE KEY"
    static let revocationList = "X509 CRL"
    static let request = "CERTIFICATE REQUEST"

    /// The blocks of a text, in order.
    static func decode(_ text: [UInt8]) throws(IdentityError) -> [Block] {
        var blocks: [Block] = []
        var open: (label: String, line: Int, letters: [UInt8])?
        var lineNumber = 0
        for line in text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == UInt8(ascii: "\n") }) {
            lineNumber += 1
            let line = trimmed(line)
            if let label = boundary(line, "-----BEGIN ") {
                guard open == nil else { throw malformed(lineNumber, "a block begins inside of another") }
                open = (label, lineNumber, [])
            } else if let label = boundary(line, "-----END ") {
                guard let block = open, block.label == label else {
                    throw malformed(lineNumber, "a block ends that did not begin")
                }
                guard let bytes = Base64.decode(block.letters), !bytes.isEmpty else {
                    throw malformed(block.line, "the block \(label) is not base 64")
                }
                blocks.append(Block(label: label, bytes: bytes))
                open = nil
            } else if let block = open {
                guard !line.contains(UInt8(ascii: ":")) else {
                    throw malformed(
                        lineNumber,
                        "the block \(block.label) is encrypted or has headers: give it without a passphrase"
                            + " (`openssl pkey -in FILE -out FILE`)")
                }
                open?.letters.append(contentsOf: line)
            }
        }
        if let open { throw malformed(open.line, "the block \(open.label) does not end: the file is cut") }
        return blocks
    }

    static func encode(_ blocks: [Block]) -> [UInt8] {
        var text: [UInt8] = []
        for block in blocks {
            text += Array("-----BEGIN \(block.label)-----\n".utf8)
            let letters = Base64.encode(block.bytes)
            for start in stride(from: 0, to: letters.count, by: 64) {
                text += letters[start..<min(start + 64, letters.count)]
                text.append(UInt8(ascii: "\n"))
            }
            text += Array("-----END \(block.label)-----\n".utf8)
        }
        return text
    }

    /// PEM of certificates.
    static func encode(certificates: [[UInt8]]) -> [UInt8] {
        encode(certificates.map { Block(label: certificate, bytes: $0) })
    }

    private static func boundary(_ line: ArraySlice<UInt8>, _ start: String) -> String? {
        guard line.count > start.utf8.count + 5, line.starts(with: start.utf8),
            line.suffix(5).elementsEqual("-----".utf8)
        else { return nil }
        let label = line.dropFirst(start.utf8.count).dropLast(5)
        guard label.count <= 64, label.allSatisfy({ (0x20...0x7e).contains($0) }) else { return nil }
        return String(decoding: label, as: UTF8.self)
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0d }
        var line = line
        while let first = line.first, isBlank(first) { line = line.dropFirst() }
        while let last = line.last, isBlank(last) { line = line.dropLast() }
        return line
    }

    private static func malformed(_ line: Int, _ text: String) -> IdentityError {
        IdentityError(.malformed, "line \(line): \(text)")
    }
}
