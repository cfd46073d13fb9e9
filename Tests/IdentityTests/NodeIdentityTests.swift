import Foundation
import Mesh
import Testing

@testable import Identity

@Suite("The certificates of a node, from its files")
struct NodeIdentityTests {
    let directory: TemporaryDirectory
    var options: NodeIdentityOptions
    let start: Int64 = testNow * 1000

    init() throws {
        directory = try TemporaryDirectory()
        web = try #require(SPIFFEID("spiffe://cluster.local/ns/shop/sa/web"))
        database = try #require(SPIFFEID("spiffe://cluster.local/ns/shop/sa/db"))
        options = NodeIdentityOptions(
            trustDomain: "cluster.local", node: "node-a", stateDirectory: "\(directory.path)/state")
    }

    private let web: SPIFFEID
    private let database: SPIFFEID

    /// Whether every certificate of a snapshot leads to a root of its own bundle.
    private func check(_ trust: TrustSnapshot, now: Int64? = nil) throws {
        let bundle = try #require(trust.bundles[trust.trustDomain])
        for certificate in trust.identities.values {
            let chain = try certificate.certificates()
            try ChainVerifier.verify(
                chain[0], intermediates: Array(chain.dropFirst()), roots: bundle.roots.map { try Certificate(der: $0) },
                revocations: bundle.revocations, purpose: .client, now: (now ?? start) / 1000)
        }
    }

    @Test("the built-in CA is made at the first start, and certificates are there with the first turn")
    func builtIn() throws {
        var identity = try NodeIdentity(options, now: start)
        #expect(identity.setWanted([web, database], now: start) == false)
        #expect(identity.nextDeadline == start)
        #expect(identity.turn(now: start) == true)
        #expect(Set(identity.trust.identities.keys) == [web.description, database.description])
        try check(identity.trust)
        // Keys of workloads are nowhere on disk.
        for name in try directory.names(in: "state/ca") {
            let bytes = try directory.read("state/ca/\(name)")
            for certificate in identity.trust.identities.values {
                let text = PEM.encode([PEM.Block(label: PEM.privateKey, bytes: certificate.privateKey)])
                #expect(!String(decoding: bytes, as: UTF8.self).contains(String(decoding: text, as: UTF8.self)))
            }
        }
        #expect(identity.turn(now: start + 1000) == false)
        let again = try NodeIdentity(options, now: start)
        #expect(again.authority?.certificate == identity.authority?.certificate)
        #expect(again.trust.identities.isEmpty)
    }

    @Test("a rotation of the root by the command line is followed: new certificates from the new root, always valid")
    func rotation() throws {
        var identity = try NodeIdentity(options, now: start)
        _ = identity.setWanted([web], now: start)
        _ = identity.turn(now: start)
        let before = try #require(identity.trust.identities[web.description])
        var now = start
        func step(_ body: () throws -> Void) throws {
            try body()
            now += NodeIdentity.lookInterval
            _ = identity.turn(now: now)
            try check(identity.trust, now: now)
        }
        try step { try identity.directory.stageRoot(now: testNow) }
        #expect(identity.trust.identities[web.description] === before)
        #expect(identity.trust.bundles["cluster.local"]?.roots.count == 2)
        try step { try identity.directory.activateRoot(node: "node-a", now: testNow) }
        let after = try #require(identity.trust.identities[web.description])
        #expect(after != before)
        try step { try identity.directory.retireRoots(now: testNow) }
        #expect(identity.trust.identities[web.description] === after)
        #expect(identity.trust.bundles["cluster.local"]?.roots.count == 1)
        try step { try identity.directory.rotateNode("node-a", now: testNow) }
        #expect(identity.trust.identities[web.description] != after)
    }

    @Test("the intermediate and all certificates are renewed as time goes, with nothing changed by hand")
    func year() throws {
        var identity = try NodeIdentity(options, now: start)
        _ = identity.setWanted([web], now: start)
        var now = start
        var authorities: Set<String> = []
        // Twelve hours at a time: the looks between them find nothing.
        for _ in 0..<730 {
            _ = identity.turn(now: now)
            try check(identity.trust, now: now)
            #expect(identity.trust.identities.count == 1)
            authorities.insert(identity.authority?.certificate.serial ?? "")
            now += 43_200_000 - 1_000_000
        }
        #expect((8...9).contains(authorities.count), "\(authorities.count)")
    }

    @Test("files that break while it runs are told, and what was read before stays in use")
    func brokenLater() throws {
        var identity = try NodeIdentity(options, now: start)
        _ = identity.setWanted([web], now: start)
        _ = identity.turn(now: start)
        let root = try directory.read("state/ca/root.pem")
        _ = try directory.write(Array(root.dropLast(100)), to: "state/ca/root.pem")
        _ = identity.turn(now: start + 5000)
        #expect(identity.authorityProblem?.description.contains("root.pem") == true)
        _ = identity.renew(now: start + 5000)
        #expect(identity.turn(now: start + 5000) == true)
        try check(identity.trust)
        _ = try directory.write(root, to: "state/ca/root.pem")
        _ = identity.turn(now: start + 10_000)
        #expect(identity.authorityProblem == nil)
    }

    @Test("bundles of other domains and revocations come and go with their files; a broken one keeps the last")
    func bundles() throws {
        var identity = try NodeIdentity(options, now: start)
        let other = try TestAuthority(trustDomain: "other.example")
        let pem = PEM.encode(certificates: [other.root.certificate.der])
        let file = try directory.write(pem, to: "state/bundles/other.example.pem")
        _ = try directory.write(Array("x".utf8), to: "state/bundles/notes.txt")
        #expect(identity.turn(now: start + 5000) == true)
        #expect(identity.trust.bundles["other.example"]?.roots == [other.root.certificate.der])
        let list = try RevocationList.make(adding: "12", to: nil, authority: other.node, now: testNow)
        _ = try directory.write(
            PEM.encode([.init(label: PEM.revocationList, bytes: list.der)]), to: "state/bundles/other.example.crl")
        #expect(identity.turn(now: start + 10_000) == true)
        #expect(identity.trust.bundles["other.example"]?.revocations == [list.der])
        _ = try directory.write(Array("-----BEGIN CERTIFICATE-----\n".utf8), to: "state/bundles/other.example.pem")
        _ = identity.turn(now: start + 15_000)
        #expect(identity.fileProblems.first?.description.contains("other.example.pem") == true)
        #expect(identity.trust.bundles["other.example"]?.roots == [other.root.certificate.der])
        try FileManager.default.removeItem(atPath: file)
        try FileManager.default.removeItem(atPath: "\(directory.path)/state/bundles/other.example.crl")
        #expect(identity.turn(now: start + 20_000) == true)
        #expect(identity.trust.bundles.keys.sorted() == ["cluster.local"] && identity.fileProblems.isEmpty)
        try identity.directory.revoke(serial: "99", of: .node, now: testNow)
        #expect(identity.turn(now: start + 25_000) == true)
        #expect(identity.trust.bundles["cluster.local"]?.revocations.count == 1)
    }

    // MARK: A CA that was given

    /// An intermediate of a company's CA, made by openssl, with its root in a file of its own.
    private func company() throws -> TestAuthority {
        let authority = try TestAuthority()
        let node = authority.node
        _ = try directory.write(PEM.encode(certificates: [node.certificate.der]), to: "ca.crt")
        _ = try directory.write(PEM.encode([.init(label: PEM.privateKey, bytes: try node.key.der())]), to: "ca.key")
        _ = try directory.write(PEM.encode(certificates: [authority.root.certificate.der]), to: "roots.pem")
        return authority
    }

    private func given(bundle: Bool = true) -> NodeIdentityOptions {
        var options = options
        options.certificateFile = "\(directory.path)/ca.crt"
        options.keyFile = "\(directory.path)/ca.key"
        options.bundleFile = bundle ? "\(directory.path)/roots.pem" : nil
        return options
    }

    @Test("an intermediate that was given issues, with its root away; a new one in its files is taken over")
    func givenAuthority() throws {
        let first = try company()
        var identity = try NodeIdentity(given(), now: start)
        _ = identity.setWanted([web], now: start)
        _ = identity.turn(now: start)
        try check(identity.trust)
        #expect(identity.trust.bundles["cluster.local"]?.roots == [first.root.certificate.der])
        #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/state/ca"))
        let second = try company()
        _ = identity.turn(now: start + 5000)
        try check(identity.trust)
        #expect(identity.trust.bundles["cluster.local"]?.roots == [second.root.certificate.der])
    }

    @Test("an RSA CA without a SPIFFE id, made by openssl in one file with its root, issues too")
    func foreignAuthority() throws {
        let path = directory.path
        for arguments in [
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "\(path)/root.key", "-out",
                "\(path)/root.crt",
                "-subj", "/CN=Company root", "-days", "5000",
            ],
            [
                "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "\(path)/ca.key", "-out", "\(path)/ca.csr", "-subj",
                "/CN=Company mesh",
            ],
        ] { #expect(try runOpenSSL(arguments).status == 0) }
        let extensions = try directory.write(
            Array(
                "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                    .utf8), to: "ext")
        let signed = try openssl(
            "x509", "-req", "-in", "\(path)/ca.csr", "-CA", "\(path)/root.crt", "-CAkey", "\(path)/root.key",
            "-CAcreateserial", "-days", "4000", "-out", "\(path)/node.crt", "-extfile", extensions)
        #expect(signed.status == 0, "\(signed.output)")
        _ = try directory.write(try directory.read("node.crt") + directory.read("root.crt"), to: "ca.crt")
        let now = Int64(Date().timeIntervalSince1970) * 1000
        var identity = try NodeIdentity(given(bundle: false), now: now)
        _ = identity.setWanted([web], now: now)
        #expect(identity.turn(now: now) == true)
        try check(identity.trust, now: now)
        #expect(identity.trust.identities[web.description]?.chain.count == 2)
    }

    enum BadAuthority: CaseIterable {
        case otherKey, noAuthority, expired, noFile, noKey, noRoot, otherRoot, otherDomain, garbage, encrypted,
            directory
    }

    @Test("a CA that cannot be used is refused with the file and what to do", arguments: BadAuthority.allCases)
    func refusedAuthority(bad: BadAuthority) throws {
        let authority = try company()
        var options = given()
        var now = start
        var expected = ["ca.crt"]
        switch bad {
        case .otherKey:
            _ = try directory.write(
                PEM.encode([.init(label: PEM.privateKey, bytes: try PrivateKey.generate().der())]), to: "ca.key")
            expected.append("not that of the first certificate")
        case .noAuthority:
            let leaf = try authority.issue("spiffe://cluster.local/ns/a/sa/b")
            _ = try directory.write(PEM.encode(certificates: leaf.chain), to: "ca.crt")
            _ = try directory.write(PEM.encode([.init(label: PEM.privateKey, bytes: leaf.privateKey)]), to: "ca.key")
            expected.append("CA:true")
        case .expired:
            now += 91 * 86_400_000
            expected.append("expired")
        case .noFile:
            try FileManager.default.removeItem(atPath: "\(directory.path)/ca.crt")
            expected.append("No such file")
        case .noKey:
            _ = try directory.write(PEM.encode(certificates: [authority.node.certificate.der]), to: "ca.key")
            expected = ["ca.key", "no private key"]
        case .noRoot:
            options.bundleFile = nil
            expected.append("--ca-bundle")
        case .otherRoot:
            _ = try directory.write(
                PEM.encode(certificates: [try TestAuthority().root.certificate.der]), to: "roots.pem")
            expected.append("does not verify")
        case .otherDomain:
            options.trustDomain = "other.example"
            expected.append("--trust-domain cluster.local")
        case .garbage:
            _ = try directory.write(
                Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8), to: "ca.crt")
            expected.append("not an X.509 certificate")
        case .encrypted:
            let key = "\(directory.path)/ca.key"
            _ = try openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:secret", "-out", "\(key).2")
            try FileManager.default.removeItem(atPath: key)
            try FileManager.default.moveItem(atPath: "\(key).2", toPath: key)
            expected = ["ca.key", "encrypted"]
        case .directory:
            try FileManager.default.removeItem(atPath: "\(directory.path)/ca.key")
            try FileManager.default.createDirectory(
                atPath: "\(directory.path)/ca.key", withIntermediateDirectories: true)
            expected = ["ca.key", "regular file"]
        }
        let error = #expect(throws: IdentityError.self) { try NodeIdentity(options, now: now) }
        for text in expected { #expect(error?.description.contains(text) == true, "\(error?.description ?? "")") }
    }

    @Test("flags that do not fit together are refused by their names")
    func flags() throws {
        let changes: [(String, (inout NodeIdentityOptions) -> Void)] = [
            ("--trust-domain", { $0.trustDomain = "Upper" }), ("--node", { $0.node = "a b" }),
            ("--ca-key", { $0.certificateFile = "x" }), ("--ca-bundle", { $0.bundleFile = "x" }),
            ("--join-token", { $0.joinToken = "x" }), ("--svid-ttl", { $0.lifetime = 1 }),
            (
                "--join-token",
                {
                    $0.joinToken = "x"
                    $0.joinAddress = "a:1"
                }
            ), ("--join-token", { $0.joinAddress = "127.0.0.1:1" }),
            (
                "exclude",
                {
                    ($0.certificateFile, $0.keyFile) = ("x", "y")
                    $0.joinAddress = "a:1"
                }
            ),
        ]
        for (name, change) in changes {
            var options = options
            change(&options)
            let error = #expect(throws: IdentityError.self) { try NodeIdentity(options, now: start) }
            #expect(error?.description.contains(name) == true, "\(name): \(error?.description ?? "")")
        }
    }

    // MARK: Certificates of another program

    private func external(_ certificate: WorkloadCertificate, _ authority: TestAuthority, _ name: String) throws {
        _ = try directory.write(PEM.encode(certificates: certificate.chain), to: "ids/\(name)/tls.crt")
        _ = try directory.write(
            PEM.encode([.init(label: PEM.privateKey, bytes: certificate.privateKey)]), to: "ids/\(name)/tls.key")
        _ = try directory.write(
            PEM.encode(certificates: [authority.root.certificate.der]), to: "ids/\(name)/ca.crt")
    }

    @Test("an identity with a directory gets its certificate from there, and the next one when the files change")
    func externalIssuer() throws {
        var options = options
        options.identityDirectory = "\(directory.path)/ids"
        let other = try TestAuthority()
        let first = try other.issue(web.description)
        try external(first, other, "shop.web")
        var identity = try NodeIdentity(options, now: start)
        _ = identity.setWanted([web, database], now: start)
        _ = identity.turn(now: start)
        #expect(identity.trust.identities[web.description]?.chain == first.chain)
        #expect(identity.trust.identities[database.description]?.chain.count == 2)
        #expect(identity.trust.bundles["cluster.local"]?.roots.count == 2)
        try check(identity.trust)
        let generation = identity.trust.generation
        #expect(identity.turn(now: start + 5000) == false && identity.trust.generation == generation)
        let second = try other.issue(web.description)
        try external(second, other, "shop.web")
        #expect(identity.turn(now: start + 10_000) == true)
        #expect(identity.trust.identities[web.description]?.chain == second.chain)
        // Without its directory it is the CA's again.
        try FileManager.default.removeItem(atPath: "\(directory.path)/ids/shop.web")
        #expect(identity.turn(now: start + 15_000) == true)
        #expect(identity.trust.bundles["cluster.local"]?.roots.count == 1)
        try check(identity.trust)
    }

    enum BadExternal: CaseIterable {
        case otherID, otherKey, noKey, foreignRoot, expired, authority, garbage
    }

    @Test(
        "a certificate there that is not good is refused and told; the CA is not asked instead",
        arguments: BadExternal.allCases)
    func badExternal(bad: BadExternal) throws {
        var options = options
        options.identityDirectory = "\(directory.path)/ids"
        let other = try TestAuthority()
        var certificate = try other.issue(web.description)
        var roots = other
        switch bad {
        case .otherID: certificate = try other.issue(database.description)
        case .foreignRoot: roots = try TestAuthority()
        case .expired: certificate = try other.issue(web.description, lifetime: 10, now: testNow - 100)
        case .authority:
            certificate = WorkloadCertificate(
                spiffeID: web.description, chain: [other.node.certificate.der], privateKey: try other.node.key.der(),
                notBefore: testNow, notAfter: testNow + 10)
        case .otherKey, .noKey, .garbage: break
        }
        try external(certificate, roots, "shop.web")
        switch bad {
        case .otherKey:
            _ = try directory.write(
                PEM.encode([.init(label: PEM.privateKey, bytes: try PrivateKey.generate().der())]),
                to: "ids/shop.web/tls.key")
        case .noKey: try FileManager.default.removeItem(atPath: "\(directory.path)/ids/shop.web/tls.key")
        case .garbage: _ = try directory.write([0, 1, 2], to: "ids/shop.web/tls.crt")
        default: break
        }
        var identity = try NodeIdentity(options, now: start)
        _ = identity.setWanted([web], now: start)
        _ = identity.turn(now: start)
        #expect(identity.trust.identities.isEmpty)
        let problem = identity.manager.entries[web.description]?.problem
        #expect(
            problem?.description.contains("\(directory.path)/ids/shop.web/tls.") == true,
            "\(problem?.description ?? "")")
        // Put right, it is taken at the next look, whatever the back-off.
        try external(try other.issue(web.description), other, "shop.web")
        #expect(identity.turn(now: start + 5000) == true)
        #expect(identity.trust.identities.count == 1)
    }

    @Test("ten thousand identities: each has its own key, they share their chain, and issuing is fast")
    func many() throws {
        var identity = try NodeIdentity(options, now: start)
        let ids = (0..<10_000).compactMap { SPIFFEID("spiffe://cluster.local/ns/shop/sa/s\($0)") }
        _ = identity.setWanted(Set(ids), now: start)
        let clock = ContinuousClock()
        let began = clock.now
        var turns = 0
        while identity.nextDeadline <= start {
            _ = identity.turn(now: start, limit: 64)
            turns += 1
        }
        let seconds = (clock.now - began) / .seconds(1)
        print("issued \(Int(10_000 / seconds)) certificates per second")
        #expect(identity.trust.identities.count == 10_000 && turns == 157)
        #expect(Set(identity.trust.identities.values.map(\.privateKey)).count == 10_000)
        // A hundred a second would keep them all renewed; a debug build on a busy machine does many times that.
        #expect(10_000 / seconds > 100)
    }
}
