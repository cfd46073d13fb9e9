import Mesh
import Testing

@testable import Identity

@Suite("Verification of chains and revocation")
struct ChainTests {
    @Test("a chain verifies against its root, for the uses that it is for")
    func valid() throws {
        let authority = try TestAuthority()
        let chain = try authority.issue("spiffe://cluster.local/ns/a/sa/b").certificates()
        for purpose in [ChainVerifier.Purpose.server, .client] {
            try ChainVerifier.verify(
                chain[0], intermediates: Array(chain[1...]), roots: [authority.root.certificate], purpose: purpose,
                now: testNow)
        }
        try ChainVerifier.verify(
            authority.node.certificate, intermediates: [], roots: [authority.root.certificate], purpose: .authority,
            now: testNow)
    }

    enum Refusal: CaseIterable {
        case foreignRoot, noIntermediate, expired, notYet, noRoots, leafAsAuthority, leafAsIssuer
    }

    @Test("every other one is refused", arguments: Refusal.allCases)
    func refused(refusal: Refusal) throws {
        let authority = try TestAuthority()
        let chain = try authority.issue("spiffe://cluster.local/ns/a/sa/b").certificates()
        var leaf = chain[0]
        var intermediates = [chain[1]]
        var roots = [authority.root.certificate]
        var now = testNow
        var purpose = ChainVerifier.Purpose.server
        var cause = IdentityError.Cause.invalid
        switch refusal {
        case .foreignRoot: roots = [try TestAuthority().root.certificate]
        case .noIntermediate: intermediates = []
        case .noRoots: roots = []
        case .expired: (now, cause) = (testNow + 86401, .expired)
        case .notYet: (now, cause) = (testNow - 3600, .expired)
        case .leafAsAuthority: purpose = .authority
        case .leafAsIssuer:
            // A workload that signs with its own key makes nothing that anybody believes.
            let svid = try authority.issue("spiffe://cluster.local/ns/a/sa/b")
            let signer = try PrivateKey(der: svid.privateKey)
            let id = try #require(SPIFFEID("spiffe://cluster.local/ns/a/sa/admin"))
            let content = CertificateContent(
                profile: .workload, subject: [], id: id, notBefore: testNow - 1, notAfter: testNow + 100)
            let issuer = try svid.certificates()[0]
            leaf = try CertificateBuilder.make(
                content, for: PrivateKey.generate().publicKey, issuer: issuer, signer: signer)
            intermediates = try svid.certificates()
        }
        let error = #expect(throws: IdentityError.self) {
            try ChainVerifier.verify(leaf, intermediates: intermediates, roots: roots, purpose: purpose, now: now)
        }
        #expect(error?.cause == cause, "\(error?.description ?? "")")
    }

    @Test("openssl reads the list, and refuses what it names and nothing else")
    func revocationForOpenSSL() throws {
        let directory = try TemporaryDirectory()
        let authority = try TestAuthority()
        let bad = try authority.issue("spiffe://cluster.local/ns/a/sa/bad").certificates()
        let good = try authority.issue("spiffe://cluster.local/ns/a/sa/good").certificates()
        var list = try RevocationList.make(adding: bad[0].serial, to: nil, authority: authority.node, now: testNow)
        list = try RevocationList.make(adding: "abcdef", to: list, authority: authority.node, now: testNow)
        #expect(Set(list.serials) == [bad[0].serial, "abcdef"])
        #expect(list.isSigned(by: authority.node.certificate) && !list.isSigned(by: authority.root.certificate))
        let crl = try directory.write(PEM.encode([.init(label: PEM.revocationList, bytes: list.der)]), to: "crl.pem")
        let text = try openssl("crl", "-in", crl, "-noout", "-text").output
        #expect(text.lowercased().contains("serial number: \(bad[0].serial)"), "\(text)")
        #expect(text.contains("X509v3 CRL Number: \n                2"), "\(text)")
        let root = try directory.write(PEM.encode(certificates: [authority.root.certificate.der]), to: "root.pem")
        let node = try directory.write(PEM.encode(certificates: [authority.node.certificate.der]), to: "node.pem")
        for (certificate, isGood) in [(bad[0], false), (good[0], true)] {
            let leaf = try directory.write(PEM.encode(certificates: [certificate.der]), to: "leaf.pem")
            let result = try openssl(
                "verify", "-attime", "\(testNow)", "-crl_check", "-CRLfile", crl, "-CAfile", root, "-untrusted", node,
                leaf)
            #expect((result.status == 0) == isGood, "\(result.output)")
            #expect(isGood || result.output.contains("certificate revoked"))
        }
    }

    @Test("a revoked leaf and a revoked intermediate are refused; an issuer without a list has revoked nothing")
    func revocation() throws {
        let authority = try TestAuthority()
        let chain = try authority.issue("spiffe://cluster.local/ns/a/sa/b").certificates()
        let other = try RevocationList.make(adding: "77", to: nil, authority: authority.node, now: testNow)
        func verify(_ lists: [RevocationList]) throws {
            try ChainVerifier.verify(
                chain[0], intermediates: [chain[1]], roots: [authority.root.certificate],
                revocations: lists.map(\.der), purpose: .client, now: testNow)
        }
        try verify([other])
        let leaf = try RevocationList.make(adding: chain[0].serial, to: other, authority: authority.node, now: testNow)
        let node = try RevocationList.make(adding: chain[1].serial, to: nil, authority: authority.root, now: testNow)
        for lists in [[leaf], [node], [leaf, node], [other, node]] {
            let error = #expect(throws: IdentityError.self) { try verify(lists) }
            #expect(error?.description.contains("revoked") == true)
        }
        // A list of an authority that has the same name but another key says nothing.
        let foreign = try RevocationList.make(
            adding: chain[0].serial, to: nil, authority: TestAuthority().node, now: testNow)
        try verify([foreign])
    }

    @Test("what is no serial number is refused", arguments: ["", "xyz", "12 34", "-"])
    func badSerials(serial: String) throws {
        let authority = try TestAuthority()
        #expect(throws: IdentityError.self) {
            try RevocationList.make(adding: serial, to: nil, authority: authority.node, now: testNow)
        }
    }
}
