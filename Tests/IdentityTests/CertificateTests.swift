import Mesh
import Testing

@testable import Identity

@Suite("Certificates, read by openssl")
struct CertificateTests {
    @Test("an X.509-SVID has the fields of the standard: critical SAN with an empty subject, no authority, both uses")
    func workloadFields() throws {
        let directory = try TemporaryDirectory()
        let certificate = try TestAuthority().issue("spiffe://cluster.local/ns/shop/sa/web")
        let file = try directory.write(PEM.encode(certificates: [certificate.chain[0]]), to: "leaf.pem")
        let text = try openssl("x509", "-in", file, "-noout", "-text").output
        for line in [
            "Version: 3 (0x2)", "Signature Algorithm: ecdsa-with-SHA256", "ASN1 OID: prime256v1",
            "Not Before: Dec 31 23:59:00 2029 GMT", "Not After : Jan  2 00:00:00 2030 GMT",
            "Subject Alternative Name: critical\n                URI:spiffe://cluster.local/ns/shop/sa/web\n",
            "Basic Constraints: critical\n                CA:FALSE\n",
            "Key Usage: critical\n                Digital Signature\n",
            "Extended Key Usage: \n                TLS Web Server Authentication, TLS Web Client Authentication\n",
        ] { #expect(text.contains(line), "\(line)\n\(text)") }
        let subject = try openssl("x509", "-in", file, "-noout", "-subject", "-nameopt", "RFC2253").output
        #expect(subject.trimmed == "subject=")
        let leaf = try certificate.certificates()[0]
        #expect(leaf.serial.count > 26 && leaf.serial.count <= 32)
        let serial = try openssl("x509", "-in", file, "-noout", "-serial").output
        #expect(serial.lowercased().trimmed == "serial=\(leaf.serial)")
        let digest = try openssl("x509", "-in", file, "-noout", "-fingerprint", "-sha256").output
        #expect(digest.replacing(":", with: "").lowercased().trimmed.hasSuffix(hexadecimal(leaf.fingerprint)))
    }

    @Test("the root is an authority with the trust domain's id and no path, for ten years; the node's has pathlen 0")
    func authorityFields() throws {
        let directory = try TemporaryDirectory()
        let authority = try TestAuthority(trustDomain: "mesh.example")
        let root = try directory.write(PEM.encode(certificates: [authority.root.certificate.der]), to: "root.pem")
        let text = try openssl("x509", "-in", root, "-noout", "-text").output
        for line in [
            "CA:TRUE\n", "Key Usage: critical\n                Certificate Sign, CRL Sign\n", "CN = Weft root",
            "URI:spiffe://mesh.example\n", "Not After : Dec 30 00:00:00 2039 GMT",
        ] { #expect(text.contains(line), "\(line)\n\(text)") }
        let node = try directory.write(PEM.encode(certificates: [authority.node.certificate.der]), to: "node.pem")
        let nodeText = try openssl("x509", "-in", node, "-noout", "-text").output
        for line in [
            "CA:TRUE, pathlen:0\n", "CN = node-a", "Certificate Sign, CRL Sign\n", "URI:spiffe://mesh.example\n",
        ] { #expect(nodeText.contains(line), "\(line)\n\(nodeText)") }
        #expect(authority.root.certificate.pathLength == nil && authority.node.certificate.pathLength == 0)
        #expect(authority.root.certificate.isAuthority && authority.node.certificate.isAuthority)
        #expect(authority.node.certificate.commonName == "node-a")
        #expect(authority.node.certificate.spiffeID?.description == "spiffe://mesh.example")
    }

    @Test("openssl verifies the chain for servers and for clients, and not for signing", arguments: [true, false])
    func chain(isServer: Bool) throws {
        let directory = try TemporaryDirectory()
        let authority = try TestAuthority()
        let certificate = try authority.issue("spiffe://cluster.local/ns/shop/sa/web")
        let root = try directory.write(PEM.encode(certificates: [authority.root.certificate.der]), to: "root.pem")
        let leaf = try directory.write(PEM.encode(certificates: [certificate.chain[0]]), to: "leaf.pem")
        let rest = try directory.write(PEM.encode(certificates: Array(certificate.chain.dropFirst())), to: "rest.pem")
        let result = try openssl(
            "verify", "-x509_strict", "-attime", "\(testNow)", "-purpose", isServer ? "sslserver" : "sslclient",
            "-CAfile", root, "-untrusted", rest, leaf)
        #expect(result.status == 0, "\(result.output)")
        let signing = try openssl(
            "verify", "-attime", "\(testNow)", "-CAfile", root, "-untrusted", rest + "", "-purpose", "crlsign", leaf)
        #expect(signing.status != 0)
    }

    @Test("the key goes with the certificate, for openssl too")
    func key() throws {
        let directory = try TemporaryDirectory()
        let certificate = try TestAuthority().issue("spiffe://cluster.local/ns/shop/sa/web")
        let key = try directory.write(
            PEM.encode([PEM.Block(label: PEM.privateKey, bytes: certificate.privateKey)]), to: "key.pem")
        let leaf = try directory.write(PEM.encode(certificates: [certificate.chain[0]]), to: "leaf.pem")
        let ofKey = try openssl("pkey", "-in", key, "-pubout").output
        let ofLeaf = try openssl("x509", "-in", leaf, "-noout", "-pubkey").output
        #expect(ofKey == ofLeaf && ofKey.contains("BEGIN PUBLIC KEY"))
        let read = try PrivateKey(der: certificate.privateKey)
        #expect(try certificate.certificates()[0].belongs(to: read))
        #expect(try !certificate.certificates()[0].belongs(to: PrivateKey.generate()))
    }

    @Test("no two serial numbers are the same")
    func serials() throws {
        let authority = try TestAuthority()
        let serials = try (0..<200).map { _ in
            try authority.issue("spiffe://cluster.local/ns/a/sa/b").certificates()[0].serial
        }
        #expect(Set(serials).count == 200)
    }

    @Test("what an authority issues does not outlive it; one that has expired issues nothing")
    func lifetimes() throws {
        let authority = try TestAuthority()
        let late = authority.node.certificate.notAfter - 100
        let last = try authority.issue("spiffe://cluster.local/ns/a/sa/b", now: late)
        #expect(last.notAfter == authority.node.certificate.notAfter)
        let error = #expect(throws: IdentityError.self) {
            try authority.issue("spiffe://cluster.local/ns/a/sa/b", now: late + 100)
        }
        #expect(error?.cause == .expired)
    }

    @Test(
        "an authority below pathlen 0 is refused, and so is a node's name that is none", arguments: ["", "a b", "-a"])
    func refusedNodes(name: String) throws {
        let authority = try TestAuthority()
        #expect(throws: IdentityError.self) { try authority.node.makeNode("node-b", now: testNow) }
        #expect(throws: IdentityError.self) { try authority.root.makeNode(name, now: testNow) }
        #expect(throws: IdentityError.self) {
            try authority.root.makeNode(String(repeating: "n", count: 65), now: testNow)
        }
    }

    @Test("requests are read by openssl, and their signature is checked")
    func requests() throws {
        let directory = try TemporaryDirectory()
        let key = try PrivateKey.generate()
        let der = try CertificateRequest.make(commonName: "node-b", key: key)
        let file = try directory.write(PEM.encode([PEM.Block(label: PEM.request, bytes: der)]), to: "request.pem")
        let text = try openssl("req", "-in", file, "-noout", "-verify", "-subject")
        #expect(text.status == 0 && text.output.contains("CN = node-b"))
        _ = try CertificateRequest.key(ofDER: der)
        var broken = der
        broken[broken.count - 1] ^= 1
        #expect(throws: IdentityError.self) { try CertificateRequest.key(ofDER: broken) }
        let weak = "\(directory.path)/weak.pem"
        try openssl(
            "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "\(directory.path)/k", "-subj", "/CN=x", "-out",
            weak)
        let block = try PEM.decode(directory.read("weak.pem"))[0]
        #expect(throws: IdentityError.self) { try CertificateRequest.key(ofDER: block.bytes) }
    }

    @Test("a certificate with two URIs has no SPIFFE id (X509-SVID §2)")
    func twoURIs() throws {
        let directory = try TemporaryDirectory()
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "\(directory.path)/key.pem", "-out", "\(directory.path)/two.pem", "-subj", "/CN=x", "-addext",
            "subjectAltName=URI:spiffe://a/x,URI:spiffe://b/x")
        let certificate = try Certificate(der: PEM.decode(directory.read("two.pem"))[0].bytes)
        #expect(certificate.uris == ["spiffe://a/x", "spiffe://b/x"])
        #expect(certificate.spiffeID == nil)
    }
}

extension String {
    var trimmed: String { String(self.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed()) }
}
