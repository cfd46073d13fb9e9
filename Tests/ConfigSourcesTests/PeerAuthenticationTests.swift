import Mesh
import Testing

@testable import ConfigSources

/// Source: https://istio.io/latest/docs/reference/config/security/peer_authentication/
@Suite("PeerAuthentication")
struct PeerAuthenticationTests {
    private func text(_ spec: String, namespace: String = "shop") -> String {
        HTTPMesh.object("security.istio.io/v1", "PeerAuthentication", "own", spec, namespace: namespace)
    }

    private let web = "---\n" + WorkloadTests.shop + "\n"

    static let modes: [(String, MutualTLSMode)] = [
        ("{ mtls: { mode: STRICT } }", .strict), ("{ mtls: { mode: PERMISSIVE } }", .permissive),
        ("{ mtls: { mode: DISABLE } }", .disable), ("{ mtls: { mode: UNSET } }", .permissive),
        ("{ mtls: {} }", .permissive),
        ("{}", .permissive), ("", .permissive),
    ]

    @Test("has Istio's modes; nothing and UNSET leave it to the wider one", arguments: modes)
    func mode(_ spec: String, _ mode: MutualTLSMode) throws {
        #expect(try snapshot(web + text(spec)).workload("shop", "web-1").mutualTLS == mode)
    }

    @Test("of the root namespace is for the mesh, and UNSET inherits it")
    func inheritance() throws {
        let mesh = text("{ mtls: { mode: STRICT } }", namespace: "istio-system")
        #expect(
            try snapshot(web + mesh + text("{ mtls: { mode: UNSET } }")).workload("shop", "web-1").mutualTLS == .strict)
    }

    @Test("has modes of ports for the workloads that it chooses")
    func ports() throws {
        let spec = """
            { selector: { matchLabels: { version: v2 } }, mtls: { mode: STRICT },
              portLevelMtls: { 8080: { mode: DISABLE }, "9090": { mode: UNSET } } }
            """
        let mesh = try snapshot(web + text(spec))
        let (first, second) = (try mesh.workload("shop", "web-1"), try mesh.workload("shop", "web-2"))
        #expect(first.mutualTLS == .strict && first.portMutualTLS == [8080: .disable])
        #expect(second.mutualTLS == .permissive && second.portMutualTLS == [:])
    }

    static let wrong: [(String, String)] = [
        ("{ mtls: { mode: strict } }", "spec.mtls.mode: \"strict\" is not one of UNSET, DISABLE, PERMISSIVE, STRICT"),
        ("{ mtls: STRICT }", "spec.mtls: expected a mapping, found the string \"STRICT\""),
        ("{ mtls: { mod: STRICT } }", "spec.mtls.mod: unknown field"),
        ("{ mode: STRICT }", "spec.mode: unknown field"),
        (
            "{ portLevelMtls: { 80: { mode: STRICT } } }",
            "spec.portLevelMtls: ports are for workloads that spec.selector chooses"
        ),
        (
            "{ selector: { matchLabels: { a: b } }, portLevelMtls: { 0: { mode: STRICT } } }",
            "spec.portLevelMtls.0: \"0\" is not a port (1...65535)"
        ),
        (
            "{ selector: { matchLabels: { a: b } }, portLevelMtls: { http: { mode: STRICT } } }",
            "spec.portLevelMtls.http: \"http\" is not a port (1...65535)"
        ),
        ("{ selector: { app: web } }", "spec.selector.app: unknown field"),
    ]

    @Test("with what it cannot have is refused", arguments: wrong)
    func refused(_ spec: String, _ error: String) throws {
        #expect(try errors(of: text(spec)) == [error])
    }
}
