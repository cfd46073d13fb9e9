import Foundation
import Mesh
import Testing

@testable import Agent

/// The Workload API as the `spiffe` package and grpc use it.
@Suite struct WorkloadAPITests {
    private static let web = "spiffe://cluster.local/ns/shop/sa/web"

    /// A server whose callers are all `web`, and what proves that.
    private func serving(
        limits: WorkloadAPIServer.Limits = .init(),
        _ body: (WorkloadAPITestServer, TestAuthority, WorkloadCertificate) throws -> Void
    ) throws {
        let server = try WorkloadAPITestServer(identity: Self.web, limits: limits)
        defer { server.stop() }
        let authority = try TestAuthority(in: server.directory)
        let certificate = try authority.issue("/ns/shop/sa/web")
        try body(server, authority, certificate)
    }

    @Test func aWorkloadGetsItsCertificateAndWhatItsPeersAreCheckedAgainst() throws {
        try serving { server, authority, certificate in
            let other = try TestAuthority(in: server.directory, trustDomain: "other.example", name: "other")
            let unrelated = try authority.issue("/ns/shop/sa/db")
            server.update(authority.trust([certificate, unrelated], others: ["other.example": other.bundle]))
            let context = try #require(try server.run("client.py", "fetch").first)
            #expect(context["id"] as? String == Self.web)
            #expect(context["chain"] as? [String] == [try TestAuthority.digest(certificate.chain[0])])
            #expect(context["key"] as? Bool == true)
            let bundles = [
                "cluster.local": [try TestAuthority.digest(authority.root)],
                "other.example": [try TestAuthority.digest(other.root)],
            ]
            #expect(context["bundles"] as? [String: [String]] == bundles)
            let second = try #require(try server.run("client.py", "bundles").first)
            #expect(second["bundles"] as? [String: [String]] == bundles)
        }
    }

    @Test func theCallerIsKnownByTheCgroupOfItsProcess() throws {
        try serving { server, authority, certificate in
            server.update(authority.trust([certificate]))
            _ = try server.run("client.py", "fetch")
            // The client's process is in the cgroup of this one.
            let own = PeerProcess.unifiedPath(try String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8))
            #expect(Set(server.cgroups) == [try #require(own)])
        }
    }

    @Test func rotationsReachWhoWatches() throws {
        try serving { server, authority, certificate in
            server.update(authority.trust([certificate]))
            let client = try server.start("client.py", ["watch"])
            let first = try #require(try client.next())
            #expect(first["chain"] as? [String] == [try TestAuthority.digest(certificate.chain[0])])
            // Somebody else's certificate is nobody else's business: the next message is of the new root.
            server.update(authority.trust([certificate, try authority.issue("/ns/shop/sa/db")]))
            let next = try TestAuthority(in: server.directory, name: "next")
            var trust = authority.trust([certificate])
            trust.bundles["cluster.local"] = TrustBundle(roots: [authority.root, next.root])
            server.update(trust)
            let second = try #require(try client.next())
            #expect(second["chain"] as? [String] == first["chain"] as? [String])
            #expect((second["bundles"] as? [String: [String]])?["cluster.local"]?.count == 2)
            let renewed = try next.issue("/ns/shop/sa/web")
            trust.identities[Self.web] = renewed
            server.update(trust)
            let third = try #require(try client.next())
            #expect(third["chain"] as? [String] == [try TestAuthority.digest(renewed.chain[0])])
            client.finish()
            #expect(server.waitForConnections(0))
        }
    }

    /// Of many changes that a client does not keep up with it gets the last one.
    @Test func whoIsSlowGetsTheNewestState() throws {
        try serving { server, authority, certificate in
            let renewed = try authority.issue("/ns/shop/sa/web")
            server.update(authority.trust([certificate]))
            let client = try server.start("client.py", ["watch"])
            _ = try client.next()
            client.signal(SIGSTOP)
            // More than the client's windows take.
            let roots = TrustBundle(roots: Array(repeating: authority.root, count: 2000))
            for index in 0..<20 {
                server.update(authority.trust([certificate], others: ["other\(index).example": roots]))
            }
            server.update(authority.trust([renewed]))
            #expect(server.waitForConnections(1))
            client.signal(SIGCONT)
            let expected = [try TestAuthority.digest(renewed.chain[0])]
            var between = 0
            while let context = try client.next(), context["chain"] as? [String] != expected { between += 1 }
            // The one that was on its way.
            #expect(between <= 1)
            client.finish()
        }
    }

    @Test func whoIsInNoWorkloadGetsNothing() throws {
        try serving { server, authority, certificate in
            server.update(authority.trust([certificate]))
            server.identify(as: nil)
            for method in ["FetchX509SVID", "FetchX509Bundles"] {
                let answer = try #require(try server.run("client.py", "call", method).first)
                #expect(answer["status"] as? String == "PERMISSION_DENIED")
            }
            let error = try #require(try server.run("client.py", "fetch").first?["error"] as? String)
            #expect(error.contains("PERMISSION_DENIED"))
        }
    }

    @Test func whoLeavesItsWorkloadIsToldNoMore() throws {
        try serving { server, authority, certificate in
            server.update(authority.trust([certificate]))
            let client = try server.start("client.py", ["stream"])
            #expect(try client.next()?["id"] as? String == Self.web)
            server.identify(as: nil)
            let end = try #require(try client.next())
            #expect(end["status"] as? String == "PERMISSION_DENIED")
            client.finish()
        }
    }

    @Test func aSocketThatOutlivesItsProcessIsNobodys() throws {
        try serving { server, authority, certificate in
            server.update(authority.trust([certificate]))
            let answer = try #require(try server.run("client.py", "orphan").first)
            #expect(answer["status"] as? String == "7")
        }
    }

    @Test func beforeThereIsACertificateTheClientIsToComeAgain() throws {
        try serving { server, authority, certificate in
            let before = try #require(try server.run("client.py", "call", "FetchX509Bundles").first)
            #expect(before["status"] as? String == "UNAVAILABLE")
            server.update(authority.trust([]))
            let without = try #require(try server.run("client.py", "call", "FetchX509SVID").first)
            #expect(without["status"] as? String == "UNAVAILABLE")
            #expect((without["message"] as? String)?.contains(Self.web) == true)
            server.update(authority.trust([try authority.issue("/ns/shop/sa/web", lifetime: -1)]))
            let expired = try #require(try server.run("client.py", "call", "FetchX509SVID").first)
            #expect(expired["status"] as? String == "UNAVAILABLE")
            server.update(authority.trust([certificate]))
            #expect(try server.run("client.py", "call", "FetchX509SVID").first?["status"] as? String == "OK")
        }
    }

    @Test(arguments: [
        (["FetchX509SVID", "-"], "INVALID_ARGUMENT"),
        (["FetchX509SVID", "workload.spiffe.io=false"], "INVALID_ARGUMENT"),
        (["FetchJWTSVID", "-"], "INVALID_ARGUMENT"),
        (["FetchJWTSVID"], "UNIMPLEMENTED"),
        (["FetchJWTBundles"], "UNIMPLEMENTED"),
        (["ValidateJWTSVID"], "UNIMPLEMENTED"),
        (["Other"], "UNIMPLEMENTED"),
    ])
    func callsThatAreNotServedSayWhy(call: [String], status: String) throws {
        try serving { server, authority, certificate in
            server.update(authority.trust([certificate]))
            let client = try server.start("client.py", ["call"] + call)
            #expect(try client.next()?["status"] as? String == status)
        }
    }

    @Test func theSocketIsOpenForEveryUserAndGoesWithTheServer() throws {
        let server = try WorkloadAPITestServer(identity: nil)
        let attributes = try FileManager.default.attributesOfItem(atPath: server.path)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o666)
        server.stop()
        #expect(!FileManager.default.fileExists(atPath: server.path))
    }
}
