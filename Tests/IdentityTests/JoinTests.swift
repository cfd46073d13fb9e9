import CLinux
import Foundation
import Logging
import Mesh
import Synchronization
import Testing

@testable import Identity

/// A CA that listens on loopback, and a clock that stands where the test puts it.
private final class JoinFixture {
    let directory: TemporaryDirectory
    let authority: CADirectory
    let server: JoinServer
    let clock = TestClock()

    final class TestClock: Sendable {
        private let value = Atomic(testNow)
        var now: Int64 { value.load(ordering: .relaxed) }
        func advance(_ seconds: Int64) { value.add(seconds, ordering: .relaxed) }
    }

    init() throws {
        signal(SIGPIPE, SIG_IGN)
        directory = try TemporaryDirectory()
        authority = CADirectory(path: "\(directory.path)/ca", trustDomain: "cluster.local")
        _ = try authority.prepare(node: "node-a", now: testNow)
        server = try JoinServer(
            listen: "127.96.0.77:0", directory: authority, node: "node-a", logger: Logger(label: "test"),
            now: { [clock] in clock.now })
        try server.start()
    }

    deinit { server.stop() }

    func client(_ node: String = "node-b", trustDomain: String = "cluster.local") throws -> JoinClient {
        try JoinClient(address: "127.96.0.77:\(server.port)", trustDomain: trustDomain, node: node, seconds: 5)
    }

    func token(_ node: String = "node-b", lifetime: Int64 = 600) throws -> JoinToken {
        try authority.tokens.create(
            node: node, root: try authority.read(now: clock.now).roots[0], lifetime: lifetime, now: clock.now)
    }

    func contents() throws -> CADirectory.Contents { try authority.read(now: clock.now) }

    /// Stores what a node was given, as it does.
    func store(_ answer: JoinClient.Answer, _ name: String = "other") throws -> CADirectory.Contents {
        let other = CADirectory(path: "\(directory.path)/\(name)/ca", trustDomain: "cluster.local")
        return try other.store(
            chain: answer.chain, key: try #require(answer.key), bundle: answer.bundle, now: clock.now)
    }
}

@Suite("Nodes that join over TLS")
struct JoinTests {
    @Test("a node with a token gets an intermediate, and what it issues verifies at the CA's node")
    func join() throws {
        let fixture = try JoinFixture()
        let answer = try fixture.client().join(try fixture.token(), now: testNow)
        let contents = try fixture.store(answer)
        #expect(contents.node?.certificate.commonName == "node-b" && contents.root == nil)
        #expect(contents.node?.certificate.pathLength == 0)
        let id = try #require(SPIFFEID("spiffe://cluster.local/ns/a/sa/b"))
        let chain = try #require(contents.node).issue(id, lifetime: 60, now: testNow).certificates()
        try ChainVerifier.verify(
            chain[0], intermediates: [chain[1]], roots: fixture.contents().roots, purpose: .server, now: testNow)
        #expect(try fixture.directory.mode("other/ca/node.pem") == 0o600)
    }

    @Test("the store has no secret, and the token's text comes back as it was")
    func tokenText() throws {
        let fixture = try JoinFixture()
        let token = try fixture.token("node.c-1_x")
        #expect(JoinToken(token.description) == token)
        let files = try fixture.directory.names(in: "ca/tokens")
        #expect(files == [hexadecimal(token.id)])
        let text = String(decoding: try fixture.directory.read("ca/tokens/\(files[0])"), as: UTF8.self)
        #expect(!text.contains(hexadecimal(token.secret)) && text.contains("node.c-1_x"))
        for broken in ["", "weft1", token.description + " ", "weft2" + token.description.dropFirst(5), "weft1.a.b.c.d"]
        {
            #expect(JoinToken(broken) == nil)
        }
    }

    enum Refusal: CaseIterable {
        case used, expired, otherNode, foreignRoot, wrongSecret, unknown, otherDomain
    }

    @Test("every other token is refused, with the reason", arguments: Refusal.allCases)
    func refused(refusal: Refusal) throws {
        let fixture = try JoinFixture()
        var token = try fixture.token()
        var client = try fixture.client()
        let expected: String
        switch refusal {
        case .used:
            _ = try client.join(token, now: testNow)
            expected = "has been used already"
        case .expired:
            fixture.clock.advance(600)
            expected = "has expired"
        case .otherNode:
            // A node that lies about the name that its token is for.
            token = JoinToken(
                id: token.id, secret: token.secret, rootFingerprint: token.rootFingerprint, node: "node-x")
            client = try fixture.client("node-x")
            expected = "is for another node"
        case .foreignRoot:
            let root = try TestAuthority().root.certificate
            token = JoinToken(
                id: token.id, secret: token.secret, rootFingerprint: root.fingerprint, node: "node-b")
            expected = "does not prove the root that the token names"
        case .wrongSecret:
            token = JoinToken(
                id: token.id, secret: [UInt8](repeating: 1, count: 32), rootFingerprint: token.rootFingerprint,
                node: "node-b")
            expected = "is not known"
        case .unknown:
            token = JoinToken(
                id: [UInt8](repeating: 1, count: 8), secret: token.secret, rootFingerprint: token.rootFingerprint,
                node: "node-b")
            expected = "is not known"
        case .otherDomain:
            client = try fixture.client(trustDomain: "other.example")
            expected = "is not the CA of other.example"
        }
        let error = #expect(throws: IdentityError.self) { try client.join(token, now: fixture.clock.now) }
        #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
        // Only the right secret uses a token up.
        let store = try fixture.directory.names(in: "ca/tokens")
        #expect(store.contains { $0.hasSuffix(".used") } == (refusal == .used))
    }

    @Test("a token is refused before it is sent by a node that it is not for")
    func ownNode() throws {
        let fixture = try JoinFixture()
        let token = try fixture.token("node-c")
        #expect(throws: IdentityError.self) { try fixture.client().join(token, now: testNow) }
    }

    @Test("of many that come with one token at the same time, one joins")
    func race() async throws {
        let fixture = try JoinFixture()
        let (client, token) = (try fixture.client(), try fixture.token())
        let count = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<6 { group.addTask { (try? client.join(token, now: testNow)) != nil } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(count == 1)
    }

    @Test("a node that has joined renews by its intermediate, and learns of roots and revocations")
    func renewal() throws {
        let fixture = try JoinFixture()
        let first = try fixture.store(try fixture.client().join(try fixture.token(), now: testNow))
        let node = try #require(first.node)
        try fixture.authority.stageRoot(now: testNow)
        try fixture.authority.revoke(serial: "77", of: .node, now: testNow)
        let bundle = try fixture.client().bundle(node, bundle: first.bundle, now: testNow).bundle
        #expect(bundle.certificates.count == 2 && bundle.revocations.map(\.serials) == [["77"]])
        try fixture.authority.activateRoot(node: "node-a", now: testNow)
        // It trusts both now, so it believes the CA that has its certificate from the new one.
        let trusted = TrustBundle(roots: bundle.certificates.map(\.der), revocations: bundle.revocations.map(\.der))
        let answer = try fixture.client().renew(node, bundle: trusted, now: testNow)
        #expect(try answer.chain[0].isSigned(by: fixture.contents().roots[0]))
        #expect(answer.chain[0].commonName == "node-b" && answer.chain[0] != node.certificate)
        #expect(try fixture.store(answer).node?.certificate == answer.chain[0])
    }

    @Test("what a node has revoked itself reaches the CA; it can say so of nobody else, and not take it back")
    func ownRevocations() throws {
        let fixture = try JoinFixture()
        let joined = try fixture.store(try fixture.client().join(try fixture.token(), now: testNow))
        let node = try #require(joined.node)
        let own = CADirectory(path: "\(fixture.directory.path)/other/ca", trustDomain: "cluster.local")
        func tell(_ bundle: TrustBundle) throws -> [[String]] {
            try fixture.client().bundle(node, bundle: bundle, now: testNow).bundle.revocations.map(\.serials)
        }
        for serials in [["77"], ["77", "78"], ["77", "78"]] {
            for serial in serials { try own.revoke(serial: serial, of: .node, now: testNow) }
            #expect(try tell(own.read(now: testNow).bundle) == [serials])
            #expect(try fixture.contents().revocations.map(\.serials) == [serials])
        }
        var shorter = try own.read(now: testNow).bundle
        shorter.revocations = [try RevocationList.make(adding: "79", to: nil, authority: node, now: testNow).der]
        let error = #expect(throws: IdentityError.self) { try tell(shorter) }
        #expect(error?.description.contains("takes revocations back") == true, "\(error?.description ?? "")")
        let foreign = try RevocationList.make(
            adding: "80", to: nil, authority: try TestAuthority().node, now: testNow)
        #expect(throws: IdentityError.self) { try fixture.authority.keep(foreign, of: node.certificate) }
        #expect(try fixture.contents().revocations.map(\.serials) == [["77", "78"]])
    }

    enum Impostor: CaseIterable {
        case noCertificate, workload, otherNode, foreign, revoked, forgedName
    }

    @Test("nobody but the node itself renews its intermediate", arguments: Impostor.allCases)
    func impostors(impostor: Impostor) throws {
        let fixture = try JoinFixture()
        let joined = try fixture.store(try fixture.client().join(try fixture.token(), now: testNow))
        let node = try #require(joined.node)
        let root = try #require(try fixture.contents().root)
        var chain: [[UInt8]] = []
        var key: PrivateKey?
        func show(_ issuer: SigningAuthority, _ id: String) throws {
            let certificate = try issuer.issue(try #require(SPIFFEID(id)), lifetime: 60, now: testNow)
            (chain, key) = (certificate.chain, try PrivateKey(der: certificate.privateKey))
        }
        let genuine = "spiffe://cluster.local/weft/node/node-b"
        switch impostor {
        case .noCertificate: break
        case .workload: try show(node, "spiffe://cluster.local/ns/a/sa/node-b")
        case .otherNode: try show(try root.makeNode("node-c", now: testNow), "spiffe://cluster.local/weft/node/node-c")
        case .forgedName: try show(try root.makeNode("node-c", now: testNow), genuine)
        case .foreign: try show(try TestAuthority().root.makeNode("node-b", now: testNow), genuine)
        case .revoked:
            try fixture.authority.revoke(node.certificate, now: testNow)
            try show(node, genuine)
        }
        let socket = try JoinSocket.connect(to: "127.96.0.77:\(fixture.server.port)", seconds: 5)
        let connection = try TLSConnection(socket, .client, chain: chain, key: key, seconds: 5)
        let request = try CertificateRequest.make(commonName: "node-b", key: PrivateKey.generate())
        try connection.send(
            JoinMessage(
                ["operation": "renew", "node": "node-b"], body: PEM.encode([.init(label: PEM.request, bytes: request)]))
        )
        let answer = try connection.receive(limit: JoinMessage.sizeLimit)
        #expect(answer.fields["status"] == "refused" && answer.body.isEmpty, "\(answer.fields)")
    }

    @Test("a workload with a certificate of the mesh cannot pose as the CA")
    func falseAuthority() throws {
        signal(SIGPIPE, SIG_IGN)
        let authority = try TestAuthority()
        let root = authority.root.certificate
        let token = JoinToken(
            id: [UInt8](repeating: 1, count: 8), secret: [UInt8](repeating: 2, count: 32),
            rootFingerprint: root.fingerprint, node: "node-b")
        let certificate = try authority.issue("spiffe://cluster.local/ns/a/sa/b")
        let listener = try JoinSocket.listen(at: "127.96.0.77:0")
        defer { close(listener) }
        let port = JoinSocket.port(of: listener)
        let server = Thread {
            var watched = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&watched, 1, 5000)
            let socket = weft_accept(listener, CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            guard let key = try? PrivateKey(der: certificate.privateKey),
                let connection = try? TLSConnection(
                    socket, .server, chain: certificate.chain + [root.der], key: key, seconds: 5)
            else { return }
            // The secret must not come.
            if (try? connection.receive(limit: 1 << 16)) != nil {
                Issue.record("the node sent its token to a workload")
            }
        }
        server.start()
        let client = try JoinClient(
            address: "127.96.0.77:\(port)", trustDomain: "cluster.local", node: "node-b", seconds: 5)
        let error = #expect(throws: IdentityError.self) { try client.join(token, now: testNow) }
        #expect(error?.description.contains("is not the CA of cluster.local") == true, "\(error?.description ?? "")")
        while !server.isFinished { usleep(1000) }
    }

    @Test(
        "a node joins, asks for the bundle every ten minutes, renews in time, and is not stopped by a CA that is away")
    func nodeIdentity() throws {
        var fixture: JoinFixture? = try JoinFixture()
        let address = "127.96.0.77:\(try #require(fixture).server.port)"
        let home = try TemporaryDirectory()
        var options = NodeIdentityOptions(
            trustDomain: "cluster.local", node: "node-b", stateDirectory: home.path)
        options.joinAddress = address
        options.joinToken = try fixture?.token(lifetime: 600).description
        options.refreshInterval = 600_000
        let start = testNow * 1000
        var identity = try NodeIdentity(options, now: start)
        let web = try #require(SPIFFEID("spiffe://cluster.local/ns/shop/sa/web"))
        _ = identity.setWanted([web], now: start)
        #expect(identity.turn(now: start) == false && identity.authority == nil)
        #expect(identity.manager.entries[web.description]?.problem?.cause == .unreachable)

        func ask(at now: Int64) throws -> JoinRequest {
            let next = identity.nextRequest(now: now)
            let request = try #require(next)
            let another = identity.nextRequest(now: now)
            #expect(another == nil && identity.nextRequestAt == nil)
            identity.finish(request.run(now: now / 1000), now: now)
            return request
        }
        guard case .join = try ask(at: start).operation else { throw IdentityError(.invalid, "not a join") }
        #expect(identity.turn(now: start) == true && identity.trust.identities.count == 1)
        #expect(identity.trust.bundles["cluster.local"]?.roots == [try #require(fixture).contents().roots[0].der])
        let first = try #require(identity.authority?.certificate)
        #expect(identity.nextRequestAt == start + options.refreshInterval)

        // A restart needs no token; and with the old one it does not join again.
        for token in [nil, options.joinToken] {
            options.joinToken = token
            let again = try NodeIdentity(options, now: start)
            #expect(again.authority?.certificate == first)
        }
        try fixture?.authority.stageRoot(now: testNow)
        fixture?.clock.advance(600)
        guard case .bundle = try ask(at: start + 600_000).operation else {
            throw IdentityError(.invalid, "not a bundle")
        }
        #expect(identity.trust.bundles["cluster.local"]?.roots.count == 2)
        #expect(identity.authority?.certificate == first)

        // As soon as it hears that another root issues it renews, long before the old one is retired.
        try fixture?.authority.activateRoot(node: "node-a", now: testNow)
        fixture?.clock.advance(600)
        guard case .bundle = try ask(at: start + 1_200_000).operation else {
            throw IdentityError(.invalid, "not a bundle")
        }
        #expect(identity.authority?.certificate == first && identity.nextRequestAt == start + 1_200_000)
        guard case .renew = try ask(at: start + 1_200_000).operation else {
            throw IdentityError(.invalid, "not a renewal")
        }
        let active = try #require(try fixture?.contents().root?.certificate)
        let second = try #require(identity.authority?.certificate)
        #expect(second.isSigned(by: active) && identity.nextRequestAt == start + 1_800_000)
        try fixture?.authority.retireRoots(now: testNow)
        fixture?.clock.advance(600)
        _ = try ask(at: start + 1_800_000)
        #expect(identity.authority?.certificate == second && identity.authorityProblem == nil)
        #expect(identity.trust.bundles["cluster.local"]?.roots == [active.der])

        let later = start + 50 * 86_400_000
        fixture?.clock.advance(50 * 86400 - 1800)
        guard case .renew = try ask(at: later).operation else { throw IdentityError(.invalid, "not a renewal") }
        #expect(identity.authority?.certificate != second && identity.authority?.certificate.commonName == "node-b")

        fixture = nil
        var now = later + options.refreshInterval
        for pause in [1000, 2000, 4000] as [Int64] {
            _ = try ask(at: now)
            #expect(identity.authorityProblem?.cause == .unreachable)
            #expect(identity.nextRequestAt == now + pause)
            now += pause
        }
        #expect(identity.turn(now: now) == true && identity.trust.identities.count == 1)
    }

    @Test("bytes that are no TLS, silence, huge and broken messages end their connection, and the CA goes on")
    func hostile() throws {
        let fixture = try JoinFixture()
        let address = "127.96.0.77:\(fixture.server.port)"
        var random = SeededGenerator(state: 11)
        for count in [0, 1, 100, 5000] {
            let socket = try JoinSocket.connect(to: address, seconds: 5)
            let junk = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = unsafe junk.withUnsafeBytes {
                unsafe send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            close(socket)
        }
        let message = JoinMessage(["operation": "join", "node": "node-b", "token": "00.11"], body: [1, 2, 3])
        for _ in 0..<40 {
            let socket = try JoinSocket.connect(to: address, seconds: 5)
            let connection = try TLSConnection(socket, .client, chain: [], key: nil, seconds: 5)
            guard let broken = try? JoinMessage(mutated(message.encoded(), &random)) else { continue }
            try connection.send(broken)
            let answer = try connection.receive(limit: 1 << 16)
            #expect(answer.fields["status"] == "refused")
        }
        // More than a node may say.
        let socket = try JoinSocket.connect(to: address, seconds: 5)
        let connection = try TLSConnection(socket, .client, chain: [], key: nil, seconds: 5)
        try? connection.send(JoinMessage([:], body: [UInt8](repeating: 65, count: 20000)))
        #expect(throws: IdentityError.self) { try connection.receive(limit: 1 << 16) }
        // Some who say nothing hold their connections, and others are served meanwhile.
        let silent = try (0..<4).map { _ in try JoinSocket.connect(to: address, seconds: 5) }
        defer { for socket in silent { close(socket) } }
        _ = try fixture.client().join(try fixture.token(), now: testNow)
    }

    @Test("mutated messages are read or refused, never worse")
    func mutatedMessages() throws {
        let original = JoinMessage(
            ["operation": "join", "node": "node-b", "token": "0011.2233"], body: Array("body".utf8)
        ).encoded()
        #expect(try JoinMessage(original).encoded() == original)
        var random = SeededGenerator(state: 13)
        for _ in 0..<5000 {
            guard let message = try? JoinMessage(mutated(original, &random)) else { continue }
            #expect(message.fields.count <= 16)
        }
        #expect(throws: IdentityError.self) { try JoinMessage([]) }
        let many = "weft-join/1\n" + (0..<17).map { "f\($0): x\n" }.joined() + "\n"
        #expect(throws: IdentityError.self) { try JoinMessage(Array(many.utf8)) }
    }

    @Test("an older TLS than 1.3 is refused")
    func oldTLS() throws {
        let fixture = try JoinFixture()
        let address = "127.96.0.77:\(fixture.server.port)"
        let old = try openssl("s_client", "-connect", address, "-tls1_2")
        #expect(old.output.contains("alert protocol version"), "\(old.output)")
        let new = try openssl("s_client", "-connect", address, "-tls1_3")
        #expect(new.output.contains("TLSv1.3") && new.output.contains("URI:") == false)
    }

    @Test("a CA that is not there, or has no root's key, is an error that says so")
    func absent() throws {
        let fixture = try JoinFixture()
        let token = try fixture.token()
        let listener = try JoinSocket.listen(at: "127.96.0.77:0")
        let port = JoinSocket.port(of: listener)
        close(listener)
        let client = try JoinClient(address: "127.96.0.77:\(port)", trustDomain: "cluster.local", node: "node-b")
        let error = #expect(throws: IdentityError.self) { try client.join(token, now: testNow) }
        #expect(error?.cause == .unreachable)
        for address in ["", "x", "a:b", "a:99999", "::1:1"] {
            #expect(throws: IdentityError.self) {
                try JoinClient(address: address, trustDomain: "cluster.local", node: "node-b")
            }
        }
        try FileManager.default.removeItem(atPath: "\(fixture.directory.path)/ca/root.pem")
        let refused = #expect(throws: IdentityError.self) {
            try JoinServer(
                listen: "127.96.0.77:0", directory: fixture.authority, node: "node-a", logger: Logger(label: "test"),
                now: { testNow })
        }
        #expect(refused?.description.contains("root's key") == true)
    }
}
