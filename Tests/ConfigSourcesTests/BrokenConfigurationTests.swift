import Foundation
import Mesh
import Testing

@testable import ConfigSources

/// A configuration that cannot be accepted, and all that is to be said about it.
struct BrokenConfiguration: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var text: String
    var errors: [String]

    init(_ testDescription: String, _ text: String, _ errors: String...) {
        self.testDescription = testDescription
        self.text = text
        self.errors = errors
    }

    private static let service = """
        apiVersion: v1
        kind: Service
        metadata: { name: web, namespace: shop }
        spec:
          clusterIP: 127.96.0.10
        """

    private static let policy = """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: web, namespace: shop }
        spec:
        """

    private static let workload = """
        apiVersion: weft.dev/v1alpha1
        kind: Workload
        metadata: { name: web-1, namespace: shop }
        spec:
        """

    static let all: [BrokenConfiguration] = [
        BrokenConfiguration(
            "unknown kind", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }",
            "mesh.yaml:2: document 1: kind: unknown kind \"Deployment\" (known: AuthorizationPolicy, "
                + "BackendTLSPolicy, DestinationRule, EndpointSlice, ExtensionProvider, GRPCRoute, Gateway, GatewayClass, "
                + "HTTPRoute, Namespace, NetworkPolicy, PeerAuthentication, Pod, ReferenceGrant, RequestAuthentication, "
                + "Service, ServiceEntry, TCPRoute, TLSRoute, TrafficPolicy, VirtualService, Workload, List)"
        ),
        BrokenConfiguration(
            "unknown apiVersion", "apiVersion: v2\nkind: Service\nmetadata: { name: web }",
            "mesh.yaml:1: document 1: apiVersion: unknown apiVersion \"v2\" of Service (known: v1)"),
        BrokenConfiguration(
            "no kind", "apiVersion: v1\nmetadata: { name: web }",
            "mesh.yaml:1: document 1: kind: required, but missing"),
        BrokenConfiguration(
            "unknown field", "\(service)\n  ports: [{ port: 80 }]\n  selectors: { app: web }",
            "mesh.yaml:7: document 1: spec.selectors: unknown field"),
        BrokenConfiguration(
            "unknown field in an element", "\(service)\n  ports:\n  - port: 80\n    targetport: 8080",
            "mesh.yaml:8: document 1: spec.ports[0].targetport: unknown field"),
        BrokenConfiguration(
            "unknown value", "\(service)\n  ports: [{ port: 80, protocol: HTTP }]",
            "mesh.yaml:6: document 1: spec.ports[0].protocol: \"HTTP\" is not one of TCP, UDP, SCTP"),
        BrokenConfiguration(
            "wrong type: list for mapping", "\(service)\n  selector: [app, web]",
            "mesh.yaml:6: document 1: spec.selector: expected a mapping, found a list"),
        BrokenConfiguration(
            "wrong type: number for string", "\(service)\n  selector: { version: 2 }",
            "mesh.yaml:6: document 1: spec.selector.version: expected a string, found the number 2: put it in quotes"),
        BrokenConfiguration(
            "wrong type: string for number", "\(service)\n  ports: [{ port: \"80\" }]",
            "mesh.yaml:6: document 1: spec.ports[0].port: expected a port (1...65535), found the string \"80\""),
        BrokenConfiguration(
            "port 0", "\(service)\n  ports: [{ port: 0 }]",
            "mesh.yaml:6: document 1: spec.ports[0].port: 0 is not a port (1...65535)"),
        BrokenConfiguration(
            "port missing", "\(service)\n  ports: [{ name: http }]",
            "mesh.yaml:6: document 1: spec.ports[0].port: required, but missing"),
        BrokenConfiguration(
            "two ports without names", "\(service)\n  ports: [{ port: 80 }, { port: 81, name: b }]",
            "mesh.yaml:6: document 1: spec.ports: port 80 needs a name, because there is more than one port"),
        BrokenConfiguration(
            "bad address", "\(service.replacing("127.96.0.10", with: "127.96.0.300"))\n  ports: [{ port: 80 }]",
            "mesh.yaml:5: document 1: spec.clusterIP: \"127.96.0.300\" is not an IP address"),
        BrokenConfiguration(
            "bad name", service.replacing("name: web", with: "name: Web_1"),
            "mesh.yaml:3: document 1: metadata.name: \"Web_1\" is not a name: at most 253 of a-z, 0-9, \"-\" and "
                + "\".\", beginning and ending with a letter or digit"),
        BrokenConfiguration(
            "duplicate name", "\(service)\n---\n\(service)",
            "mesh.yaml:7: metadata.name: Service shop/web is defined twice: here and at mesh.yaml:1"),
        BrokenConfiguration(
            "duplicate key", "\(service)\n  clusterIP: 127.96.0.11",
            "mesh.yaml:6: document 1: the key \"clusterIP\" is there twice in one mapping"),
        BrokenConfiguration(
            "bad CIDR", "\(policy)\n  rules: [{ from: [{ source: { ipBlocks: [10.0.0.0/33] } }] }]",
            "mesh.yaml:5: document 1: spec.rules[0].from[0].source.ipBlocks[0]: \"10.0.0.0/33\" is not an address "
                + "block such as 10.1.0.0/16, 10.1.2.3 or 2001:db8::/32"),
        BrokenConfiguration(
            "unknown condition key", "\(policy)\n  rules: [{ when: [{ key: source.port, values: [\"1\"] }] }]",
            "mesh.yaml:5: document 1: spec.rules[0].when[0].key: unknown key \"source.port\""),
        BrokenConfiguration(
            "number as policy port", "\(policy)\n  rules: [{ to: [{ operation: { ports: [80] } }] }]",
            "mesh.yaml:5: document 1: spec.rules[0].to[0].operation.ports[0]: expected a string, found the number 80: "
                + "put it in quotes"),
        BrokenConfiguration(
            "unknown action", "\(policy)\n  action: BLOCK",
            "mesh.yaml:5: document 1: spec.action: \"BLOCK\" is not one of ALLOW, DENY, AUDIT, CUSTOM"),
        BrokenConfiguration(
            "cgroup above the root", "\(workload)\n  match: { cgroup: /system.slice/../.. }",
            "mesh.yaml:5: document 1: spec.match.cgroup: \"/system.slice/../..\" is not a path below the cgroup root, "
                + "such as /system.slice/web.service"),
        BrokenConfiguration(
            "the root cgroup", "\(workload)\n  match: { cgroup: / }",
            "mesh.yaml:5: document 1: spec.match.cgroup: the root cgroup holds every process of the machine: name one "
                + "below it"),
        BrokenConfiguration(
            "weight too large", "\(workload)\n  weight: 65536",
            "mesh.yaml:5: document 1: spec.weight: 65536 is not a weight (0...65535)"),
        BrokenConfiguration(
            "unknown annotation",
            """
            apiVersion: v1
            kind: Pod
            metadata: { name: web, annotations: { weft.dev/wieght: "9" } }
            spec: {}
            """,
            "mesh.yaml:3: document 1: metadata.annotations[\"weft.dev/wieght\"]: unknown annotation of a Pod"),
        BrokenConfiguration(
            "bad duration",
            """
            apiVersion: weft.dev/v1alpha1
            kind: TrafficPolicy
            metadata: { name: web }
            spec:
              targetRefs: [{ kind: Service, name: web }]
              loadBalancer: { sessionAffinity: { timeout: 1 hour } }
            """,
            "mesh.yaml:6: document 1: spec.loadBalancer.sessionAffinity.timeout: \"1 hour\" is not a duration such as "
                + "10s, 1m30s or 1h"),
        BrokenConfiguration(
            "several errors, in the second document",
            "\(service)\n---\n\(workload)\n  wieght: 1\n  ports: [{ port: 70000 }]",
            "mesh.yaml:11: document 2: spec.wieght: unknown field",
            "mesh.yaml:12: document 2: spec.ports[0].port: 70000 is not a port (1...65535)"),
        BrokenConfiguration(
            "an item of a List",
            """
            apiVersion: v1
            kind: List
            items:
            - apiVersion: v1
              kind: Namespace
              metadata: { name: shop }
            - apiVersion: v1
              kind: Service
              metadata: { name: web }
              spec: { ports: [{ port: 80, prot: UDP }] }
            """,
            "mesh.yaml:10: document 1: items[1].spec.ports[0].prot: unknown field"),
        BrokenConfiguration(
            "half-written file", "\(service)\n  ports: [{ port: 80, na",
            "mesh.yaml:7: document 1: not YAML: did not find expected ',' or '}', while parsing a flow mapping that "
                + "starts at line 6"),
        BrokenConfiguration(
            "a tab for indentation", "apiVersion: v1\nkind: Service\nmetadata:\n\tname: web",
            "mesh.yaml:4: document 1: not YAML: found character that cannot start any token, while scanning for the "
                + "next token"),
        BrokenConfiguration(
            "undefined alias", "\(service)\n  selector: *labels",
            "mesh.yaml:6: document 1: the alias *labels has no anchor &labels before it"),
        BrokenConfiguration(
            "merge key", "\(service)\n  <<: { type: ClusterIP }",
            "mesh.yaml:6: document 1: merge keys (\"<<\") are not supported: write the fields out"),
        BrokenConfiguration(
            "a tag", "\(service)\n  type: !!binary Q2x1c3RlcklQ",
            "mesh.yaml:6: document 1: the tag \"tag:yaml.org,2002:binary\" is not supported: leave it out"),
        BrokenConfiguration(
            "5,000 aliases",
            "a: &a [1]\nb: [" + String(repeating: "*a,", count: 5000) + "]",
            "mesh.yaml:2: document 1: more than 500 aliases in one document"),
        BrokenConfiguration(
            "billion laughs",
            "a0: &a0 [lol]\n"
                + (1...12).map { "a\($0): &a\($0) [" + String(repeating: "*a\($0 - 1),", count: 9) + "]\n" }.joined(),
            "mesh.yaml:6: document 1: the aliases of one document stand for more than 100000 values"),
        BrokenConfiguration(
            "an alias inside its own anchor", "a: &a [*a]",
            "mesh.yaml:1: document 1: the alias *a is inside its own anchor &a"),
        BrokenConfiguration(
            "100,000 levels", String(repeating: "[", count: 100_000),
            "mesh.yaml:1: document 1: values are nested deeper than 64 levels"),
        BrokenConfiguration(
            "65 levels", String(repeating: "[\n", count: 65),
            "mesh.yaml:65: document 1: values are nested deeper than 64 levels"),
        BrokenConfiguration(
            "a scalar document", "just a text",
            "mesh.yaml:1: document 1: expected an object with apiVersion and kind"),
    ]
}

@Suite("Broken configuration")
struct BrokenConfigurationTests {
    static let good = """
        apiVersion: v1
        kind: Service
        metadata: { name: good, namespace: shop }
        spec: { clusterIP: 127.96.0.1, ports: [{ port: 80 }] }
        """

    @Test(
        "gives its precise errors, leaves the last good configuration in force, and heals by repair",
        arguments: BrokenConfiguration.all)
    func broken(_ configuration: BrokenConfiguration) throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("mesh.yaml", Self.good)
        let before = try #require(source.reload().snapshot)

        try directory.write("mesh.yaml", configuration.text)
        let outcome = source.reload()
        #expect(outcome.snapshot == nil)
        #expect(outcome.errors.map(\.description) == configuration.errors)
        #expect(outcome.statuses.map(\.name.name) == ["good"])

        try directory.write("mesh.yaml", Self.good)
        let healed = source.reload()
        #expect(healed.errors == [])
        #expect(healed.snapshot == before)
    }

    static let otherFiles: [(String, Data, String)] = [
        (
            "binary", Data([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2]),
            "mesh.yaml:1: document 1: not a text in UTF-8 (control characters are not allowed, byte 0x7f)"
        ),
        (
            "invalid UTF-8", Data("kind: List\nitems: ".utf8) + Data([0xff, 0xfe]),
            "mesh.yaml:2: document 1: not a text in UTF-8 (invalid leading UTF-8 octet, byte 0xff)"
        ),
        (
            "UTF-16", Data([0xff, 0xfe, 0x61, 0]),
            "mesh.yaml:1: document 1: not a text in UTF-8 (invalid leading UTF-8 octet, byte 0xff)"
        ),
    ]

    @Test("that is no text says so", arguments: otherFiles)
    func notText(_ name: String, _ data: Data, _ error: String) throws {
        let directory = try ConfigDirectory()
        try directory.write("mesh.yaml", data)
        let outcome = validate(directory: directory.path, options: MeshOptions(node: "n"))
        #expect(outcome.snapshot == nil)
        #expect(outcome.errors.map(\.description) == [error])
    }

    @Test("in a file that cannot be read names the file and the system's reason")
    func unreadable() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("good.yaml", Self.good)
        #expect(source.reload().snapshot != nil)
        // A link that leads nowhere cannot be read by anyone, root included.
        try FileManager.default.createSymbolicLink(
            atPath: directory.url("lost.yaml").path, withDestinationPath: "nowhere.yaml")
        let outcome = source.reload()
        #expect(outcome.snapshot == nil)
        #expect(outcome.errors.map(\.description) == ["lost.yaml: cannot be read: No such file or directory"])
        try directory.remove("lost.yaml")
        #expect(source.reload().errors == [])
    }

    @Test("too large a file, and what is no file")
    func notAFile() throws {
        let directory = try ConfigDirectory()
        try directory.write("large.yaml", "")
        let large = try FileHandle(forWritingTo: directory.url("large.yaml"))
        try large.truncate(atOffset: 65 << 20)
        #expect(unsafe mkfifo(directory.url("pipe.yaml").path, 0o600) == 0)
        let outcome = validate(directory: directory.path, options: MeshOptions(node: "n"))
        #expect(
            outcome.errors.map(\.description) == [
                "large.yaml: is larger than 64 MiB", "pipe.yaml: is not a regular file",
            ])
    }

    @Test("in one file names that file and rejects the others' changes too, until it is repaired")
    func oneOfMany() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("a.yaml", Self.good)
        try directory.write("b.yaml", Self.good.replacing("good", with: "other").replacing("0.1,", with: "0.2,"))
        let first = try #require(source.reload().snapshot)
        #expect(first.services.count == 2)

        try directory.write("a.yaml", "kind: Nothing")
        try directory.remove("b.yaml")
        let outcome = source.reload()
        #expect(Set(outcome.errors.map(\.file)) == ["a.yaml"])
        #expect(outcome.statuses.count == 2)
        #expect(source.reload().snapshot == nil)

        try directory.remove("a.yaml")
        let healed = try #require(source.reload().snapshot)
        #expect(healed.services.isEmpty)
        #expect(healed.generation == first.generation + 1)
    }

    @Test("of one name in two files names both places, and is healed by removing either")
    func duplicateInTwoFiles() throws {
        let directory = try ConfigDirectory()
        let source = directory.source()
        try directory.write("b.yaml", Self.good)
        #expect(source.reload().snapshot != nil)
        try directory.write("a.yaml", "# the same again\n" + Self.good)
        let error = "b.yaml:1: metadata.name: Service shop/good is defined twice: here and at a.yaml:2"
        #expect(source.reload().errors.map(\.description) == [error])
        try directory.remove("b.yaml")
        let outcome = source.reload()
        #expect(outcome.errors == [])
        #expect(outcome.status(.service, "shop", "good")?.source == SourceLocation(file: "a.yaml", line: 2))
    }
}
