import Foundation
import Mesh
import Testing

@testable import Agent

/// Clients that mean harm: they lose their connection or their call, and nobody else notices.
@Suite struct WorkloadAPIHostileTests {
    private static let web = "spiffe://cluster.local/ns/shop/sa/web"

    /// What a case of hostile.py came to; afterwards everybody else is served as before.
    private func outcome(
        _ test: String, limits: WorkloadAPIServer.Limits = .init(),
        bundle: TrustBundle = TrustBundle(roots: [[1, 2, 3]])
    ) throws -> [String: Any] {
        let server = try WorkloadAPITestServer(identity: Self.web, limits: limits)
        defer { server.stop() }
        let certificate = WorkloadCertificate(
            spiffeID: Self.web, chain: [[4, 5, 6]], privateKey: [7], notBefore: 0, notAfter: .max)
        server.update(
            TrustSnapshot(identities: [Self.web: certificate], bundles: ["cluster.local": bundle]))
        let result = try #require(try server.run("hostile.py", test).first)
        #expect(server.waitForConnections(0))
        let after = try #require(try server.run("hostile.py", "good").first)
        #expect(after[":status"] as? String == "200")
        #expect(after["grpc-status"] == nil)
        return result
    }

    @Test(arguments: [
        "pings", "settings", "windows", "priorities", "unknown", "empty-data", "resets", "answered-resets",
    ])
    func floodsOfFramesEndTheConnection(flood: String) throws {
        let result = try outcome(flood)
        #expect(result["closed"] as? Bool == true)
        #expect((result["sent"] as? Int ?? .max) < 5000, "\(result)")
        // ENHANCE_YOUR_CALM, from this server or from libnghttp2's own bounds; where the machine is too slow for a flood,
        // NO_ERROR to a connection that has asked for nothing for too long.
        #expect([0, 11].contains(result["goaway"] as? Int), "\(result)")
    }

    @Test func aHeadWithoutEndEndsTheConnection() throws {
        let result = try outcome("continuations")
        #expect(result["closed"] as? Bool == true)
        #expect((result["sent"] as? Int ?? .max) < 5000, "\(result)")
    }

    @Test func whoDoesNotReadIsNotReadFrom() throws {
        var limits = WorkloadAPIServer.Limits()
        limits.frameBurst = 1 << 30
        limits.byteBurst = 1 << 30
        limits.writeDeadline = .milliseconds(500)
        let result = try outcome("unread", limits: limits)
        #expect((result["sent"] as? Int ?? .max) < 100_000, "\(result)")
    }

    @Test(arguments: ["http1", "silence", "preface", "many-streams"])
    func whoAsksForNothingIsNotKept(test: String) throws {
        var limits = WorkloadAPIServer.Limits()
        limits.idleDeadline = .milliseconds(300)
        #expect(try outcome(test, limits: limits)["closed"] as? Bool == true)
    }

    @Test func bytesWithoutMeaningCloseTheConnection() throws {
        #expect(try outcome("garbage")["closed"] as? Int == 200)
        #expect(try outcome("changed")["closed"] as? Int == 300)
    }

    @Test func oneWorkloadCannotTakeEveryConnection() throws {
        let server = try WorkloadAPITestServer(identity: Self.web)
        defer { server.stop() }
        let client = try server.start("hostile.py", ["hold"])
        #expect(try client.next()?["held"] as? Int == 64)
        server.identify(as: "spiffe://cluster.local/ns/shop/sa/other")
        // No certificate, but an answer.
        #expect(try server.run("hostile.py", "good").first?["grpc-status"] as? String == "14")
        client.finish()
        #expect(server.waitForConnections(0))
    }

    @Test(arguments: [
        ("large-head", "8"), ("huge-head", "8"), ("large-body", "8"), ("twice", "3"), ("no-message", "3"),
        ("short-message", "3"),
        ("two-messages", "3"), ("compressed", "12"), ("no-protobuf", "3"),
    ])
    func requestsThatCannotBeReadHaveAStatus(test: String, status: String) throws {
        let result = try outcome(test)
        #expect(result[":status"] as? String == "200", "\(result)")
        #expect(result["grpc-status"] as? String == status, "\(result)")
    }

    @Test(arguments: [("get", "405"), ("no-grpc", "415")])
    func whatIsNoCallAtAllHasAStatusOfHTTP(test: String, status: String) throws {
        let result = try outcome(test)
        #expect(result[":status"] as? String == status, "\(result)")
    }

    @Test func whatIsNoRequestIsReset() throws {
        let result = try outcome("no-path")
        // PROTOCOL_ERROR
        #expect(result["reset"] as? Int == 1, "\(result)")
        #expect(result["grpc-status"] == nil)
    }

    @Test func fieldsThatAreNotKnownAreNoError() throws {
        let result = try outcome("unknown-fields")
        #expect(result[":status"] as? String == "200")
        #expect(result["grpc-status"] == nil)
    }
}
