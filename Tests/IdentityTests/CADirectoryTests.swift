import Foundation
import Mesh
import Testing

@testable import Identity

@Suite("The CA's directory")
struct CADirectoryTests {
    let directory: TemporaryDirectory
    let authority: CADirectory

    init() throws {
        directory = try TemporaryDirectory()
        authority = CADirectory(path: "\(directory.path)/ca", trustDomain: "cluster.local")
    }

    private func verify(_ certificate: WorkloadCertificate, _ roots: [Certificate], now: Int64 = testNow) throws {
        let chain = try certificate.certificates()
        try ChainVerifier.verify(
            chain[0], intermediates: Array(chain.dropFirst()), roots: roots, purpose: .client, now: now)
    }

    private func issue(_ contents: CADirectory.Contents, now: Int64 = testNow) throws -> WorkloadCertificate {
        try #require(contents.node).issue(
            try #require(SPIFFEID("spiffe://cluster.local/ns/a/sa/b")), lifetime: 86400, now: now)
    }

    @Test("the first start makes a root and an intermediate, which the next start finds again")
    func creation() throws {
        let first = try authority.prepare(node: "node-a", now: testNow)
        let again = try authority.prepare(node: "node-a", now: testNow + 10)
        #expect(first.root?.certificate == again.root?.certificate)
        #expect(first.node?.certificate == again.node?.certificate)
        #expect(again.roots.count == 1 && again.nextRoot == nil)
        #expect(try directory.names(in: "ca") == ["bundle.pem", "lock", "node.pem", "root.pem"])
        try verify(try issue(again), again.roots)
    }

    @Test("nobody but the owner can read anything of it, whatever the umask")
    func permissions() throws {
        let old = umask(0)
        defer { umask(old) }
        _ = try authority.prepare(node: "node-a", now: testNow)
        _ = try authority.revoke(serial: "12", of: .node, now: testNow)
        _ = try authority.tokens.create(
            node: "b", root: authority.read(now: testNow).roots[0], lifetime: 10, now: testNow)
        #expect(try directory.mode("ca") == 0o700 && directory.mode("ca/tokens") == 0o700)
        let files = try directory.names(in: "ca").filter { $0 != "tokens" }.map { "ca/\($0)" }
        #expect(files.count == 5)
        for file in try files + directory.names(in: "ca/tokens").map({ "ca/tokens/\($0)" }) {
            #expect(try directory.mode(file) == 0o600, "\(file)")
        }
        // A directory that somebody opened is closed again.
        _ = unsafe chmod("\(directory.path)/ca", 0o755)
        _ = try authority.prepare(node: "node-a", now: testNow)
        #expect(try directory.mode("ca") == 0o700)
    }

    @Test("the intermediate is renewed in the middle of its life by the root; SVIDs of both verify")
    func renewal() throws {
        let first = try authority.prepare(node: "node-a", now: testNow)
        let late = testNow + 46 * 86400
        let before = try authority.prepare(node: "node-a", now: testNow + 44 * 86400)
        #expect(before.node?.certificate == first.node?.certificate)
        let after = try authority.prepare(node: "node-a", now: late)
        #expect(after.node?.certificate != first.node?.certificate)
        try verify(try issue(first, now: late), after.roots, now: late)
        try verify(try issue(after, now: late), after.roots, now: late)
        // One that has expired is no reason to fail where the root is.
        let muchLater = try authority.prepare(node: "node-a", now: late + 400 * 86400)
        #expect(muchLater.node?.certificate.notAfter ?? 0 > late + 400 * 86400)
    }

    @Test("a cut file is an error that names it, and is never replaced by something new", arguments: ["root", "node"])
    func torn(name: String) throws {
        _ = try authority.prepare(node: "node-a", now: testNow)
        let whole = try directory.read("ca/\(name).pem")
        for length in stride(from: 0, to: whole.count - 1, by: 37) {
            _ = try directory.write(Array(whole[..<length]), to: "ca/\(name).pem")
            let error = #expect(throws: IdentityError.self) { try authority.prepare(node: "node-a", now: testNow) }
            #expect(error?.description.contains("/ca/\(name).pem") == true, "\(error?.description ?? "")")
            #expect(try directory.read("ca/\(name).pem").count == length)
        }
        _ = try directory.write(whole, to: "ca/\(name).pem")
        _ = try authority.prepare(node: "node-a", now: testNow)
    }

    @Test("what a write that was cut off left behind is cleaned up and changes nothing")
    func leftBehind() throws {
        let first = try authority.prepare(node: "node-a", now: testNow)
        _ = try directory.write(Array("-----BEGIN".utf8), to: "ca/root.pem.tmp-0011")
        let again = try authority.prepare(node: "node-a", now: testNow)
        #expect(again.root?.certificate == first.root?.certificate)
        #expect(try directory.names(in: "ca").allSatisfy { !$0.contains("tmp") })
    }

    @Test("a write that fails leaves the old content, and nothing beside it")
    func failedWrite() throws {
        let file = try directory.write([1], to: "there/file")
        let error = #expect(throws: IdentityError.self) {
            try StateFile.write([2], to: "\(directory.path)/nowhere/file")
        }
        #expect(error?.cause == .file)
        // A directory cannot be replaced by a file.
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/there/dir", withIntermediateDirectories: true)
        #expect(throws: IdentityError.self) { try StateFile.write([2], to: "\(directory.path)/there/dir") }
        #expect(try directory.names(in: "there") == ["dir", "file"])
        try StateFile.write([3], to: file)
        #expect(try StateFile.read(file) == [3])
    }

    @Test("a bundle without keys, another trust domain and an expired root are refused, with what to do")
    func refusals() throws {
        _ = try authority.prepare(node: "node-a", now: testNow)
        let other = CADirectory(path: authority.path, trustDomain: "other.example")
        var error = #expect(throws: IdentityError.self) { try other.prepare(node: "node-a", now: testNow) }
        #expect(error?.description.contains("--trust-domain cluster.local") == true)
        error = #expect(throws: IdentityError.self) {
            try authority.prepare(node: "node-a", now: testNow + 11 * 365 * 86400)
        }
        #expect(error?.cause == .expired && error?.description.contains("root.pem") == true)
        try FileManager.default.removeItem(atPath: "\(directory.path)/ca/root.pem")
        try FileManager.default.removeItem(atPath: "\(directory.path)/ca/node.pem")
        error = #expect(throws: IdentityError.self) { try authority.prepare(node: "node-a", now: testNow) }
        #expect(error?.description.contains("neither root.pem nor node.pem") == true)
    }

    @Test("without the root's key a node goes on with its intermediate, and says where the root is needed")
    func offlineRoot() throws {
        let first = try authority.prepare(node: "node-a", now: testNow)
        try FileManager.default.removeItem(atPath: "\(directory.path)/ca/root.pem")
        let contents = try authority.prepare(node: "node-a", now: testNow + 60 * 86400)
        #expect(contents.root == nil && contents.node?.certificate == first.node?.certificate)
        try verify(try issue(contents), contents.roots)
        for body in [
            { _ = try authority.issueNode("b", now: testNow) }, { _ = try authority.stageRoot(now: testNow) },
            { _ = try authority.rotateNode("node-a", now: testNow) },
            { _ = try authority.revoke(serial: "1", of: .root, now: testNow) },
        ] as [() throws -> Void] {
            let error = #expect(throws: IdentityError.self, performing: body)
            #expect(error?.description.contains("root's key") == true)
        }
    }

    @Test("a root is rotated with overlap: chains of before, during and after verify against the bundle of each stage")
    func rotation() throws {
        let settled = try authority.prepare(node: "node-a", now: testNow)
        let before = try issue(settled)
        let (foreignFile, _) = try authority.issueNode("node-b", now: testNow)
        let foreignNode = try CertificateFile(pem: foreignFile)
        let staged = try authority.stageRoot(now: testNow)
        let during = try issue(staged)
        #expect(CADirectory.stage(of: staged) == .staged && staged.roots.count == 2)
        #expect(staged.node?.certificate == settled.node?.certificate)
        let activated = try authority.activateRoot(node: "node-a", now: testNow)
        let after = try issue(activated)
        #expect(CADirectory.stage(of: activated) == .activated && activated.roots.count == 2)
        #expect(activated.root?.certificate == staged.nextRoot?.certificate)
        #expect(activated.node?.certificate != settled.node?.certificate)
        for contents in [staged, activated, try authority.read(now: testNow)] {
            for certificate in [before, during, after] { try verify(certificate, contents.roots) }
            try ChainVerifier.verify(
                foreignNode.certificates[0], intermediates: [], roots: contents.roots, purpose: .authority,
                now: testNow)
        }
        // The bundle of before does not know the new root: that is why it is staged first.
        #expect(throws: IdentityError.self) { try verify(after, settled.roots) }
        let retired = try authority.retireRoots(now: testNow)
        #expect(CADirectory.stage(of: retired) == .settled && retired.roots.count == 1)
        try verify(after, retired.roots)
        #expect(throws: IdentityError.self) { try verify(before, retired.roots) }
        #expect(try authority.prepare(node: "node-a", now: testNow).node?.certificate == activated.node?.certificate)
    }

    @Test("steps of a rotation that are out of order are refused and change nothing")
    func rotationOrder() throws {
        _ = try authority.prepare(node: "node-a", now: testNow)
        func refused(_ body: () throws -> Void) throws {
            let files = try directory.names(in: "ca").map { try directory.read("ca/\($0)") }
            let error = #expect(throws: IdentityError.self, performing: body)
            #expect(error?.cause == .refused)
            #expect(try directory.names(in: "ca").map { try directory.read("ca/\($0)") } == files)
        }
        try refused { try authority.activateRoot(node: "node-a", now: testNow) }
        try refused { try authority.retireRoots(now: testNow) }
        try authority.stageRoot(now: testNow)
        try refused { try authority.stageRoot(now: testNow) }
        try refused { try authority.retireRoots(now: testNow) }
        try authority.activateRoot(node: "node-a", now: testNow)
        try refused { try authority.activateRoot(node: "node-a", now: testNow) }
        try refused { try authority.stageRoot(now: testNow) }
        try authority.retireRoots(now: testNow)
        try authority.stageRoot(now: testNow)
    }

    @Test("a rotation that was cut off between two files goes on from either side")
    func cutRotation() throws {
        let settled = try authority.prepare(node: "node-a", now: testNow)
        let bundle = try directory.read("ca/bundle.pem")
        let staged = try authority.stageRoot(now: testNow)
        // The new root was written, the bundle was not.
        _ = try directory.write(bundle, to: "ca/bundle.pem")
        #expect(try authority.read(now: testNow).roots.count == 2)
        // The root was put in place, the intermediate was not renewed.
        let node = try directory.read("ca/node.pem")
        try authority.activateRoot(node: "node-a", now: testNow)
        _ = try directory.write(node, to: "ca/node.pem")
        let read = try authority.read(now: testNow)
        #expect(read.node?.certificate == settled.node?.certificate)
        #expect(throws: IdentityError.self) { try authority.retireRoots(now: testNow) }
        let prepared = try authority.prepare(node: "node-a", now: testNow)
        let next = try #require(staged.nextRoot)
        #expect(prepared.node?.certificate.isSigned(by: next.certificate) == true)
        try authority.retireRoots(now: testNow)
    }

    @Test("certificates are revoked by file or serial number, once, and only where their issuer's key is")
    func revocation() throws {
        let contents = try authority.prepare(node: "node-a", now: testNow)
        let bad = try issue(contents).certificates()
        try authority.revoke(bad[0], now: testNow)
        try authority.revoke(serial: bad[0].serial.uppercased(), of: .node, now: testNow)
        try authority.revoke(serial: "0A:0b", of: .node, now: testNow)
        let (file, _) = try authority.issueNode("node-b", now: testNow)
        let other = try CertificateFile(pem: file).certificates[0]
        try authority.revoke(other, now: testNow)
        let read = try authority.read(now: testNow)
        #expect(read.revocations.count == 2)
        #expect(Set(read.revocations.flatMap(\.serials)) == [bad[0].serial, "0a0b", other.serial])
        #expect(read.bundle.revocations.count == 2)
        func verify(_ certificate: Certificate, _ purpose: ChainVerifier.Purpose) throws {
            try ChainVerifier.verify(
                certificate, intermediates: [bad[1]], roots: read.roots, revocations: read.bundle.revocations,
                purpose: purpose, now: testNow)
        }
        #expect(throws: IdentityError.self) { try verify(bad[0], .client) }
        #expect(throws: IdentityError.self) { try verify(other, .authority) }
        try verify(try issue(contents).certificates()[0], .client)
        let foreign = try TestAuthority().issue("spiffe://cluster.local/ns/a/sa/b").certificates()[0]
        let error = #expect(throws: IdentityError.self) { try authority.revoke(foreign, now: testNow) }
        #expect(error?.cause == .refused)
        for serial in ["", "zz", "123456789012345678901234567890123456789012"] {
            #expect(throws: IdentityError.self) { try authority.revoke(serial: serial, of: .node, now: testNow) }
        }
    }

    @Test("an intermediate for another node works there with its bundle, and openssl believes its chain")
    func otherNode() throws {
        _ = try authority.prepare(node: "node-a", now: testNow)
        let (node, bundle) = try authority.issueNode("node-b", now: testNow)
        _ = try directory.write(node, to: "other/ca/node.pem")
        let bundleFile = try directory.write(bundle, to: "other/ca/bundle.pem")
        let other = CADirectory(path: "\(directory.path)/other/ca", trustDomain: "cluster.local")
        let contents = try other.prepare(node: "node-b", now: testNow)
        #expect(contents.root == nil && contents.node?.certificate.commonName == "node-b")
        let certificate = try issue(contents)
        try verify(certificate, try authority.read(now: testNow).roots)
        let leaf = try directory.write(PEM.encode(certificates: [certificate.chain[0]]), to: "leaf.pem")
        let rest = try directory.write(PEM.encode(certificates: [certificate.chain[1]]), to: "rest.pem")
        let result = try openssl("verify", "-attime", "\(testNow)", "-CAfile", bundleFile, "-untrusted", rest, leaf)
        #expect(result.status == 0, "\(result.output)")
    }
}
