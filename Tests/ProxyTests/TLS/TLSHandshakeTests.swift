import CLinux
import Glibc
import Mesh
import Testing

@testable import Proxy

/// Who is accepted and who is not, between two ends of this process.
@Suite struct TLSHandshakeTests {
    let root: TestAuthority
    let good: TrustSnapshot

    init() throws {
        root = try TestAuthority("root")
        good = TrustSnapshot(
            [try root.issue(TestLeaf(webID)), try root.issue(TestLeaf(cartID))],
            ["cluster.local": TrustBundle(roots: [root.bytes])])
    }

    @Test(arguments: [KernelTLS.none, .records]) func bothProveWhoTheyAre(kernel: KernelTLS) throws {
        let pair = try TLSPair(
            client: good, as: webID, server: good, as: cartID, over: try loopbackPair(), kernel: kernel)
        #expect(pair.client.peer == nil)
        pair.handshake()
        #expect(pair.isComplete)
        let client = try #require(pair.server.peer)
        #expect(client.spiffeID == webID && client.trustDomain == "cluster.local")
        #expect(client.namespace == "shop" && client.serviceAccount == "web")
        #expect(pair.client.peer?.spiffeID == cartID)
        let isResumed = pair.client.connection.isResumed
        #expect(!isResumed)
        // Where the kernel has no TLS, asking it for it must not matter.
        let usesKernelTLS = pair.client.connection.usesKernelTLS
        #expect(usesKernelTLS == (kernel != .none && weft_probe_kernel_tls() != WEFT_KERNEL_TLS_NONE))
        guard case .bytes(5) = pair.client.write("hello") else { throw TLSFailure.io }
        #expect(pair.server.receive(5) == Array("hello".utf8))
        pair.server.connection.shutdown()
        #expect(pair.client.receive(1).isEmpty)
        guard case .closed = pair.client.read().result else { throw TLSFailure.io }
        // The other direction goes on.
        guard case .bytes(5) = pair.client.write("still") else { throw TLSFailure.io }
        #expect(pair.server.receive(5) == Array("still".utf8))
    }

    /// A certificate that has one thing wrong, and what must be said of it.
    static let faults: [(TLSFailure, TestLeaf)] = {
        func fault(_ failure: TLSFailure, _ change: (inout TestLeaf) -> Void) -> (TLSFailure, TestLeaf) {
            var leaf = TestLeaf(webID)
            change(&leaf)
            return (failure, leaf)
        }
        return [
            fault(.expired) { ($0.from, $0.until) = (-120, -60) },
            fault(.notYetValid) { ($0.from, $0.until) = (60, 120) },
            fault(.unknownTrustDomain) { $0.uris = ["spiffe://other.example/ns/shop/sa/web"] },
            fault(.notOneURISAN) { $0.uris = [webID, cartID] },
            fault(.notOneURISAN) { ($0.uris, $0.names) = ([], ["web.shop.svc.cluster.local"]) },
            fault(.notOneURISAN) { $0.uris = [] },
            fault(.badSPIFFEID) { $0.uris = ["https://cluster.local/ns/shop/sa/web"] },
            fault(.badSPIFFEID) { $0.uris = ["spiffe://cluster.local/ns//sa/web"] },
            fault(.badSPIFFEID) { $0.uris = ["spiffe://cluster.local"] },
            fault(.isCA) { $0.isCA = true },
            fault(.missingKeyUsage) { $0.keyUsage = nil },
            fault(.missingKeyUsage) { $0.keyUsage = "critical,keyAgreement" },
            fault(.missingKeyUsage) { $0.keyUsage = "critical,digitalSignature,cRLSign" },
            fault(.missingKeyUsage) { $0.keyUsage = "critical,digitalSignature,keyCertSign" },
            fault(.missingExtendedKeyUsage) { $0.extendedKeyUsage = nil },
            fault(.missingExtendedKeyUsage) { $0.extendedKeyUsage = "codeSigning" },
            fault(.missingExtendedKeyUsage) { $0.extendedKeyUsage = "anyExtendedKeyUsage" },
        ]
    }()

    /// Runs a handshake in which one side shows a certificate that the other does not accept.
    private func expectRefusal(
        _ certificate: WorkloadCertificate, _ failure: TLSFailure, by judge: TrustSnapshot? = nil,
        roles: [TLSRole] = [.client, .server], sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) throws {
        let bad = TrustSnapshot([certificate], good.bundles)
        for role in roles {
            let judge = judge ?? good
            let pair =
                role == .client
                ? try TLSPair(client: bad, as: certificate.spiffeID, server: judge, as: cartID)
                : try TLSPair(client: judge, as: cartID, server: bad, as: certificate.spiffeID)
            pair.handshake()
            let (shown, judging) = role == .client ? (pair.client, pair.server) : (pair.server, pair.client)
            #expect(judging.failure == failure, "as a \(role)", sourceLocation: sourceLocation)
            #expect(judging.peer == nil && !judging.isComplete, sourceLocation: sourceLocation)
            #expect(shown.failure == .certificateRefused || shown.failure == .alert, sourceLocation: sourceLocation)
            // It stays refused.
            guard case .failed(failure) = judging.connection.handshake(), case .failed = judging.read().result,
                case .failed = judging.write("x")
            else {
                Issue.record("a refused connection went on", sourceLocation: sourceLocation)
                return
            }
        }
    }

    @Test(arguments: faults.indices) func everyFaultHasItsOwnReason(index: Int) throws {
        let (failure, leaf) = Self.faults[index]
        try expectRefusal(try root.issue(leaf), failure)
    }

    @Test func aCertificateIsForTheRolesThatItNames() throws {
        var leaf = TestLeaf(webID)
        leaf.extendedKeyUsage = "serverAuth"
        try expectRefusal(try root.issue(leaf), .missingExtendedKeyUsage, roles: [.client])
        leaf.extendedKeyUsage = "clientAuth"
        let client = try root.issue(leaf)
        try expectRefusal(client, .missingExtendedKeyUsage, roles: [.server])
        let pair = try TLSPair(
            client: TrustSnapshot([client], good.bundles), as: webID, server: good, as: cartID)
        pair.handshake()
        #expect(pair.isComplete)
    }

    /// X.509-SVID §4.2: an authority's name constraints say for which trust domains it may sign.
    @Test(arguments: [
        ("critical,permitted;URI:cluster.local", true), ("permitted;URI:cluster.local", true),
        ("critical,permitted;URI:other.example,permitted;URI:cluster.local", true),
        ("critical,excluded;URI:other.example", true), ("critical,permitted;DNS:other.example", true),
        ("critical,permitted;URI:other.example", false), ("permitted;URI:other.example", false),
        ("critical,permitted;URI:.cluster.local", false), ("critical,permitted;URI:local", false),
        ("critical,excluded;URI:cluster.local", false),
        ("critical,permitted;URI:cluster.local,excluded;URI:cluster.local", false),
    ])
    func authoritiesSignForTheTrustDomainsThatTheyMay(constraints: String, isPermitted: Bool) throws {
        let constrained = try TestAuthority("constrained", issuer: root, nameConstraints: constraints)
        // Those of an authority hold for all that are below it.
        for authority in [constrained, try TestAuthority("below", issuer: constrained)] {
            let leaf = try authority.issue(TestLeaf(webID))
            guard isPermitted else {
                try expectRefusal(leaf, .nameConstraint)
                continue
            }
            let pair = try TLSPair(
                client: TrustSnapshot([leaf], good.bundles), as: webID, server: TrustSnapshot([leaf], good.bundles),
                as: webID)
            pair.handshake()
            #expect(pair.isComplete)
        }
        // And those of a root itself.
        let limited = try TestAuthority("limited", nameConstraints: constraints)
        let trust = ["cluster.local": TrustBundle(roots: [limited.bytes])]
        let own = TrustSnapshot([try limited.issue(TestLeaf(webID))], trust)
        let pair = try TLSPair(client: own, as: webID, server: own, as: webID)
        pair.handshake()
        #expect(pair.isComplete == isPermitted)
    }

    @Test func anotherAuthorityIsNotTrusted() throws {
        try expectRefusal(try TestAuthority("stranger").issue(TestLeaf(webID)), .untrusted)
        // The same name, another key.
        try expectRefusal(try TestAuthority("root").issue(TestLeaf(webID)), .badSignature)
        try expectRefusal(try root.issue(TestLeaf(webID), signedBy: TestKey()), .badSignature)
        // Its own root in the chain does not help.
        let stranger = try TestAuthority("stranger")
        let leaf = try stranger.issue(TestLeaf(webID))
        try expectRefusal(
            WorkloadCertificate(
                spiffeID: webID, chain: leaf.chain + [stranger.bytes], privateKey: leaf.privateKey, notBefore: 0,
                notAfter: .max), .untrusted)
        // A workload's certificate signs nobody.
        let workload = try TestAuthority("workload", issuer: root, isCA: false)
        try expectRefusal(try workload.issue(TestLeaf(webID)), .untrusted)
        // An authority below the root signs everybody.
        let intermediate = try TestAuthority("intermediate", issuer: root)
        let pair = try TLSPair(
            client: TrustSnapshot([intermediate.issue(TestLeaf(webID))], good.bundles), as: webID, server: good,
            as: cartID)
        pair.handshake()
        #expect(pair.isComplete)
    }
}
