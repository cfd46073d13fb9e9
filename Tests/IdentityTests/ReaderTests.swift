import Mesh
import Testing

@testable import Identity

@Suite("Readers of PEM and DER")
struct ReaderTests {
    @Test("base 64 goes there and back for every length")
    func base64() {
        var random = SeededGenerator(state: 1)
        for count in 0..<100 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        }
        #expect(Base64.encode(Array("foobar".utf8)) == Array("Zm9vYmFy".utf8))
    }

    @Test(
        "what is not base 64 is refused",
        arguments: ["A", "AA", "AAA", "AA=A", "====", "A===", "Zm9=", "Zm9v!A==", "Zg==Zg==", "Zh==", "Zm=="])
    func notBase64(text: String) {
        #expect(Base64.decode(Array(text.utf8)) == nil)
    }

    @Test("PEM goes there and back, with text around it and any end of line")
    func pem() throws {
        let blocks = [
            PEM.Block(label: PEM.certificate, bytes: (0..<200).map { UInt8($0) }),
            PEM.Block(label: PEM.privateKey, bytes: [1]),
        ]
        let text = String(decoding: PEM.encode(blocks), as: UTF8.self)
        #expect(try PEM.decode(Array(text.utf8)) == blocks)
        #expect(try PEM.decode(Array(("subject: a\n" + text.replacing("\n", with: "\r\n") + "end").utf8)) == blocks)
        #expect(try PEM.decode([]).isEmpty)
    }

    @Test(
        "PEM that is cut, nested, mislabelled or encrypted is refused with its line",
        arguments: [
            ("-----BEGIN A-----\nAAAA\n", "line 1"), ("-----BEGIN A-----\n-----BEGIN A-----\n", "line 2"),
            ("-----BEGIN A-----\nAAAA\n-----END B-----\n", "line 3"), ("-----END A-----\n", "line 1"),
            ("\n-----BEGIN A-----\nA*AA\n-----END A-----\n", "line 2"),
            ("-----BEGIN A-----\n-----END A-----\n", "line 1"),
            ("-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nAAAA\n-----END A-----\n", "line 2"),
        ])
    func badPEM(text: String, place: String) {
        let error = #expect(throws: IdentityError.self) { try PEM.decode(Array(text.utf8)) }
        #expect(error?.description.hasPrefix(place) == true, "\(error?.description ?? "")")
        #expect(error?.cause == .malformed)
    }

    @Test("mutated certificates, keys, requests and lists are refused or read, never worse")
    func mutations() throws {
        let authority = try TestAuthority()
        let leaf = try authority.issue("spiffe://cluster.local/ns/shop/sa/web")
        let list = try RevocationList.make(adding: "1234", to: nil, authority: authority.node, now: testNow)
        let request = try CertificateRequest.make(commonName: "node-b", key: PrivateKey.generate())
        var random = SeededGenerator(state: 7)
        var refused = 0
        for original in [leaf.chain[0], leaf.privateKey, list.der, request] {
            for _ in 0..<800 {
                let bytes = mutated(original, &random)
                if let certificate = try? Certificate(der: bytes) {
                    _ = (certificate.uris, certificate.spiffeID, certificate.subject, certificate.serial)
                    _ = (certificate.isAuthority, certificate.pathLength, certificate.isSelfSigned)
                    // Nothing that was changed verifies, whatever it says.
                    let isGenuine = bytes == original
                    #expect(certificate.isSigned(by: authority.node.certificate) == isGenuine)
                } else {
                    refused += 1
                }
                _ = try? PrivateKey(der: bytes)
                if bytes != original {
                    #expect(throws: IdentityError.self) { try CertificateRequest.key(ofDER: bytes) }
                }
                if let list = try? RevocationList(der: bytes) { _ = list.isSigned(by: authority.node.certificate) }
            }
        }
        #expect(refused > 1500)
    }

    @Test("mutated PEM is refused or read, never worse")
    func mutatedPEM() throws {
        let original = PEM.encode(certificates: try TestAuthority().issue("spiffe://cluster.local/ns/a/sa/b").chain)
        var random = SeededGenerator(state: 9)
        for _ in 0..<5000 {
            guard let blocks = try? PEM.decode(mutated(original, &random)) else { continue }
            #expect(blocks.count <= 3)
        }
    }

    @Test("bytes after the end of a structure are an error")
    func trailingBytes() throws {
        let authority = try TestAuthority()
        #expect(throws: IdentityError.self) { try Certificate(der: authority.root.certificate.der + [0]) }
        let list = try RevocationList.make(adding: "01", to: nil, authority: authority.node, now: testNow)
        #expect(throws: IdentityError.self) { try RevocationList(der: list.der + [0]) }
        #expect(throws: IdentityError.self) { try Certificate(der: []) }
        #expect(throws: IdentityError.self) { try PrivateKey(der: []) }
    }
}

/// One of the changes that break readers: a flipped bit, another byte, a cut, an insertion, a doubled range.
func mutated(_ original: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var bytes = original
    for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 2: bytes.removeSubrange(index...)
        case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
        default:
            let end = min(bytes.count, index + Int.random(in: 1...16, using: &random))
            bytes.insert(contentsOf: bytes[index..<end], at: index)
        }
    }
    return bytes
}
