import Mesh
import Testing

@testable import Agent

@Suite struct WorkloadIdentityTests {
    private static func workload(_ name: String, cgroup: String?, isLocal: Bool = true) -> MeshWorkload {
        MeshWorkload(
            name: ObjectName(namespace: "shop", name: name), serviceAccount: name, isLocal: isLocal, cgroup: cgroup)
    }

    @Test(
        arguments: [
            ("/shop.slice/web.service", "web"), ("/shop.slice/web.service/worker/1", "web"),
            ("/shop.slice/web.service/inner", "inner"), ("/shop.slice/web.service/inner/1", "inner"),
            ("/shop.slice/web.service/", "web"), ("/shop.slice/web.service2", nil), ("/shop.slice", nil), ("/", nil),
            ("", nil),
            ("/elsewhere", nil), ("/remote", nil),
        ] as [(String, String?)])
    func theNearestEnclosingCgroupDecides(cgroup: String, account: String?) {
        var snapshot = MeshSnapshot()
        for workload in [
            Self.workload("web", cgroup: "/shop.slice/web.service"),
            Self.workload("inner", cgroup: "/shop.slice/web.service/inner/"),
            Self.workload("remote", cgroup: "/remote", isLocal: false), Self.workload("none", cgroup: nil),
        ] {
            snapshot.workloads[workload.name] = workload
        }
        let identities = WorkloadIdentities(snapshot, trustDomain: "example.org")
        #expect(identities.spiffeID(ofCgroup: cgroup) == account.map { "spiffe://example.org/ns/shop/sa/\($0)" })
    }

    @Test func aWorkloadOfTheWholeHierarchyIsThere() {
        var snapshot = MeshSnapshot()
        let workload = Self.workload("all", cgroup: "/")
        snapshot.workloads[workload.name] = workload
        let identities = WorkloadIdentities(snapshot, trustDomain: "example.org")
        #expect(identities.spiffeID(ofCgroup: "/any") == "spiffe://example.org/ns/shop/sa/all")
    }

    @Test(
        arguments: [
            ("0::/a/b\n", "/a/b"), ("12:memory:/x\n1:name=systemd:/y\n0::/a\n", "/a"), ("0::/\n", "/"),
            ("12:memory:/x\n", nil), ("0::/../other\n", nil), ("0::/a/../b\n", nil), ("", nil), ("0::\n", nil),
            ("1:name=0::/a:/x\n", nil),
        ] as [(String, String?)])
    func theUnifiedHierarchyIsTheOneThatCounts(text: String, path: String?) {
        #expect(PeerProcess.unifiedPath(text) == path)
    }

    @Test(arguments: [
        ("plain text", "plain text"), ("100 %", "100 %25"), ("é\n", "%C3%A9%0A"), ("\u{7f}", "%7F"),
    ])
    func messagesOfStatusesAreASCII(text: String, encoded: String) {
        #expect(GRPCStatus.encode(text) == encoded)
    }
}
