import Glibc
import Mesh
import Testing

@testable import Proxy

/// Bundles of several trust domains, revocation, and material that changes while connections are open.
@Suite struct TLSTrustTests {
    static let abroad = "spiffe://abroad.example/ns/shop/sa/web"
    let root: TestAuthority
    let foreignRoot: TestAuthority
    let server: WorkloadCertificate
    let client: WorkloadCertificate

    init() throws {
        root = try TestAuthority("root")
        foreignRoot = try TestAuthority("foreign root")
        server = try root.issue(TestLeaf(cartID))
        client = try root.issue(TestLeaf(webID))
    }

    private func bundle(_ revocations: [UInt8]...) -> [String: TrustBundle] {
        ["cluster.local": TrustBundle(roots: [root.bytes], revocations: revocations)]
    }

    /// What the server makes of a client.
    private func judge(
        _ certificate: WorkloadCertificate, by bundles: [String: TrustBundle],
        clientBundles: [String: TrustBundle]? = nil
    ) throws -> (failure: TLSFailure?, pair: TLSPair) {
        let pair = try TLSPair(
            client: TrustSnapshot([certificate], clientBundles ?? bundle()), as: certificate.spiffeID,
            server: TrustSnapshot([server], bundles), as: cartID)
        pair.handshake()
        #expect((pair.server.failure == nil) == pair.isComplete)
        return (pair.server.failure, pair)
    }

    @Test func aTrustDomainIsProvedByItsOwnBundleOnly() throws {
        let foreign = try foreignRoot.issue(TestLeaf(Self.abroad))
        var both = bundle()
        both["abroad.example"] = TrustBundle(roots: [foreignRoot.bytes])
        let accepted = try judge(foreign, by: both)
        #expect(accepted.failure == nil && accepted.pair.server.peer?.trustDomain == "abroad.example")
        // Roots that are trusted, but not for what the certificate claims.
        #expect(try judge(root.issue(TestLeaf(Self.abroad)), by: both).failure == .untrusted)
        #expect(try judge(foreignRoot.issue(TestLeaf(webID)), by: both).failure == .untrusted)
        #expect(try judge(foreign, by: bundle()).failure == .unknownTrustDomain)
        // A bundle without roots, or with one that cannot be read, trusts nobody.
        both["abroad.example"] = TrustBundle(roots: [])
        #expect(try judge(foreign, by: both).failure == .untrusted)
        both["abroad.example"] = TrustBundle(roots: [[1, 2, 3], foreignRoot.bytes.dropLast()])
        #expect(try judge(foreign, by: both).failure == .untrusted)
    }

    @Test func duringARotationBothRootsAreTrusted() throws {
        // Two keys of one name.
        let next = try TestAuthority("root")
        let both = ["cluster.local": TrustBundle(roots: [root.bytes, next.bytes])]
        let old = try root.issue(TestLeaf(webID), namesKey: true)
        let new = try next.issue(TestLeaf(webID), namesKey: true)
        #expect(try judge(old, by: both).failure == nil)
        #expect(try judge(new, by: both).failure == nil)
        #expect(try judge(new, by: bundle()).failure == .untrusted)
    }

    @Test func whoIsRevokedIsRefused() throws {
        let other = try root.issue(TestLeaf(webID))
        let list = try root.revocationList([other])
        #expect(try judge(client, by: bundle(list)).failure == nil)
        #expect(try judge(other, by: bundle(list)).failure == .revoked)
        // By clients too.
        let pair = try TLSPair(
            client: TrustSnapshot([client], bundle(try root.revocationList([server]))), as: webID,
            server: TrustSnapshot([server], bundle()), as: cartID)
        pair.handshake()
        #expect(pair.client.failure == .revoked && pair.server.failure == .certificateRefused)
    }

    @Test func revocationListsThatCannotBeReliedOnRefuseEverybody() throws {
        #expect(try judge(client, by: bundle(root.revocationList([], until: -60))).failure == .staleRevocationList)
        #expect(try judge(client, by: bundle([1, 2, 3])).failure == .badRevocationList)
        #expect(
            try judge(client, by: bundle(TestAuthority("root").revocationList([]))).failure == .badRevocationList)
        // That of an authority that is not concerned does not matter.
        #expect(try judge(client, by: bundle(foreignRoot.revocationList([]))).failure == nil)
    }

    @Test func anIntermediateAuthorityCanBeRevoked() throws {
        let intermediate = try TestAuthority("intermediate", issuer: root)
        let leaf = try intermediate.issue(TestLeaf(webID))
        let asLeaf = WorkloadCertificate(
            spiffeID: webID, chain: [intermediate.bytes], privateKey: [], notBefore: 0, notAfter: .max)
        #expect(try judge(leaf, by: bundle(root.revocationList([]))).failure == nil)
        #expect(try judge(leaf, by: bundle(root.revocationList([asLeaf]))).failure == .revoked)
        #expect(try judge(leaf, by: bundle(intermediate.revocationList([leaf]))).failure == .revoked)
    }

    @Test func newMaterialJudgesOpenConnectionsAnew() throws {
        let now = Int64(time(nil))
        let (_, pair) = try judge(client, by: bundle())
        let end = pair.server
        func rejudge(_ bundles: [String: TrustBundle]) -> TLSFailure? {
            end.contexts.adopt(TrustMaterial(TrustSnapshot([server], bundles)))
            return end.contexts.stillAccepts(end.connection, now: now)
        }
        #expect(rejudge(bundle()) == nil)
        #expect(rejudge(bundle(try root.revocationList([server]))) == nil)
        #expect(rejudge(bundle(try root.revocationList([client]))) == .revoked)
        #expect(rejudge([:]) == .unknownTrustDomain)
        #expect(rejudge(["cluster.local": TrustBundle(roots: [foreignRoot.bytes])]) == .untrusted)
        #expect(rejudge(["cluster.local": TrustBundle(roots: [foreignRoot.bytes, root.bytes])]) == nil)
        let later = end.contexts.stillAccepts(end.connection, now: now + 3_700)
        #expect(later == .expired)
        // None of that touches the connection, which the owner ends if it wants to.
        guard case .bytes(4) = pair.client.write("ping") else { throw TLSFailure.io }
        #expect(end.receive(4) == Array("ping".utf8))
    }

    @Test func newCertificatesAreForNewConnections() throws {
        let pair = try judge(client, by: bundle()).pair
        let renewed = try root.issue(TestLeaf(cartID))
        pair.server.contexts.adopt(TrustMaterial(TrustSnapshot([renewed], bundle())))
        #expect(pair.server.contexts.count == 0)
        guard case .bytes(4) = pair.server.write("ping") else { throw TLSFailure.io }
        #expect(pair.client.receive(4) == Array("ping".utf8))
        // The old certificate is known to be revoked, so a peer notices which one is shown.
        let strict = TrustSnapshot([client], bundle(try root.revocationList([server])))
        let (clientSocket, serverSocket) = socketPair()
        let next = try TLSEnd(strict, identity: webID, role: .client, descriptor: clientSocket)
        let old = try TLSEnd(
            TrustSnapshot([server], bundle()), identity: cartID, role: .server, descriptor: serverSocket)
        old.contexts.adopt(TrustMaterial(TrustSnapshot([renewed], bundle())))
        try old.replace(identity: cartID, role: .server)
        for _ in 0..<10 {
            next.step()
            old.step()
        }
        #expect(next.isComplete && old.isComplete && next.failure == nil && old.failure == nil)
        // Unchanged certificates keep their contexts.
        old.contexts.adopt(TrustMaterial(TrustSnapshot([renewed, client], bundle())))
        #expect(old.contexts.count == 1)
    }

    @Test func whoHasNoCertificateGetsNoConnection() throws {
        var contexts = TLSContexts()
        func failure(_ contexts: inout TLSContexts) -> TLSFailure? {
            do throws(TLSFailure) {
                _ = try contexts.connection(identity: webID, role: .client, descriptor: -1)
                return nil
            } catch {
                return error
            }
        }
        #expect(failure(&contexts) == .noOwnCertificate)
        let stranger = try root.issue(TestLeaf(webID))
        let broken = [
            WorkloadCertificate(
                spiffeID: webID, chain: client.chain, privateKey: stranger.privateKey, notBefore: 0, notAfter: 0),
            WorkloadCertificate(spiffeID: webID, chain: [], privateKey: client.privateKey, notBefore: 0, notAfter: 0),
            WorkloadCertificate(
                spiffeID: webID, chain: [[0x30, 0]], privateKey: client.privateKey, notBefore: 0, notAfter: 0),
            WorkloadCertificate(spiffeID: webID, chain: client.chain, privateKey: [], notBefore: 0, notAfter: 0),
            WorkloadCertificate(
                spiffeID: webID, chain: client.chain + [[1]], privateKey: client.privateKey, notBefore: 0, notAfter: 0),
        ]
        for certificate in broken {
            contexts.adopt(TrustMaterial(TrustSnapshot([certificate], bundle())))
            #expect(failure(&contexts) == .badOwnCertificate)
        }
    }

    @Test func aNodeWithManyIdentitiesHoldsFewContexts() throws {
        let certificates = try (0..<6).map { try root.issue(TestLeaf("spiffe://cluster.local/ns/shop/sa/w\($0)")) }
        var contexts = TLSContexts(capacity: 3)
        contexts.adopt(TrustMaterial(TrustSnapshot(certificates + [client], bundle())))
        let (ours, theirs) = socketPair()
        let peer = try TLSEnd(TrustSnapshot([server], bundle()), identity: cartID, role: .server, descriptor: theirs)
        _ = fcntl(ours, F_SETFL, O_NONBLOCK)
        defer { close(ours) }
        // The context of an open connection may go.
        var open = try contexts.connection(identity: webID, role: .client, descriptor: ours)
        for certificate in certificates + certificates {
            _ = try contexts.connection(identity: certificate.spiffeID, role: .client, descriptor: -1)
            #expect(contexts.count <= 3)
        }
        _ = open.handshake()
        peer.step()
        guard case .complete = open.handshake() else { throw TLSFailure.io }
        peer.step()
        #expect(peer.peer?.spiffeID == webID)
    }
}
