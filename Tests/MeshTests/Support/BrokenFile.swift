import Foundation
import Testing

/// A file that no configuration may hold, and what has to be said about it.
struct BrokenFile: Sendable, CustomTestStringConvertible {
    let name: String
    let content: Data
    /// The line that the error names; nil when it is of no place in the file.
    let line: Int?
    /// What the error names: path, value, or reason.
    let words: [String]

    var testDescription: String { name }

    init(_ name: String, line: Int?, saying words: [String], _ text: String) {
        self.init(name, line: line, saying: words, Data(text.utf8))
    }

    init(_ name: String, line: Int?, saying words: [String], _ content: Data) {
        self.name = name
        self.line = line
        self.words = words
        self.content = content
    }

    private static func service(_ spec: String, name: String = "broken", extra: String = "") -> String {
        """
        apiVersion: v1
        kind: Service
        metadata: { name: \(name), namespace: shop }
        \(extra)spec:
          clusterIP: 127.96.0.77
        \(spec)

        """
    }

    private static func policy(_ spec: String) -> String {
        """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: broken, namespace: shop }
        spec:
        \(spec)

        """
    }

    /// Every kind of breakage. The good configuration beside it is a Service shop/web in mesh.yaml.
    static let all: [BrokenFile] = [
        BrokenFile(
            "unknown kind", line: 2, saying: ["kind", "Gadget"],
            "apiVersion: v1\nkind: Gadget\nmetadata: { name: a, namespace: shop }\n"),
        BrokenFile(
            "unknown version", line: 1, saying: ["apiVersion", "v7"],
            "apiVersion: v7\nkind: Service\nmetadata: { name: a, namespace: shop }\nspec: {}\n"),
        BrokenFile(
            "no kind", line: 1, saying: ["kind"], "apiVersion: v1\nmetadata: { name: a, namespace: shop }\n"),
        BrokenFile(
            "no name", line: 3, saying: ["metadata.name"], "apiVersion: v1\nkind: Service\nmetadata: {}\nspec: {}\n"),
        BrokenFile(
            "a name that is none", line: 3, saying: ["metadata.name", "Web_1"],
            service("  ports: [{ port: 80 }]", name: "Web_1")),
        BrokenFile(
            "unknown field", line: 6, saying: ["spec.clusterIp"], service("  clusterIp: 127.96.0.78")),
        BrokenFile(
            "unknown field deep inside", line: 7, saying: ["spec.ports[0].prot"],
            service("  ports:\n  - { name: a, port: 80, prot: TCP }")),
        BrokenFile(
            "unknown value", line: 7, saying: ["spec.ports[0].protocol", "TCQ"],
            service("  ports:\n  - { port: 80, protocol: TCQ }")),
        BrokenFile("wrong type: number for list", line: 6, saying: ["spec.ports"], service("  ports: 80")),
        BrokenFile(
            "wrong type: text for number", line: 7, saying: ["spec.ports[0].port", "http"],
            service("  ports:\n  - { port: http }")),
        BrokenFile("port 0", line: 7, saying: ["spec.ports[0].port", "0"], service("  ports:\n  - { port: 0 }")),
        BrokenFile(
            "port 65536", line: 7, saying: ["spec.ports[0].port", "65536"], service("  ports:\n  - { port: 65536 }")),
        BrokenFile(
            "address out of range", line: 5, saying: ["spec.clusterIP", "127.96.0.300"],
            "apiVersion: v1\nkind: Service\nmetadata: { name: a, namespace: shop }\nspec:\n"
                + "  clusterIP: 127.96.0.300\n  ports: [{ port: 80 }]\n"),
        BrokenFile(
            "bad CIDR", line: 6, saying: ["ipBlocks[0]", "10.0.0.0/33"],
            policy("  rules:\n  - from: [{ source: { ipBlocks: [\"10.0.0.0/33\"] } }]")),
        BrokenFile("unknown action", line: 5, saying: ["spec.action", "PERMIT"], policy("  action: PERMIT")),
        BrokenFile(
            "duplicate name", line: 1, saying: ["shop/web", "mesh.yaml"],
            service("  ports: [{ port: 80 }]", name: "web")),
        BrokenFile(
            "duplicate key", line: 6, saying: ["clusterIP"],
            "apiVersion: v1\nkind: Service\nmetadata: { name: a, namespace: shop }\nspec:\n"
                + "  clusterIP: 127.96.0.77\n  clusterIP: 127.96.0.78\n  ports: [{ port: 80 }]\n"),
        BrokenFile(
            "duration that is none", line: 7, saying: ["timeout", "fast"],
            "apiVersion: weft.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: { name: a, namespace: shop }\nspec:\n"
                + "  targetRefs: [{ group: \"\", kind: Service, name: web }]\n  loadBalancer:\n"
                + "    sessionAffinity: { timeout: fast }\n"),
        BrokenFile(
            "weight out of range", line: 6, saying: ["spec.weight", "70000"],
            "apiVersion: weft.dev/v1alpha1\nkind: Workload\nmetadata: { name: a, namespace: shop }\nspec:\n"
                + "  serviceAccount: a\n  weight: 70000\n"),
        BrokenFile(
            "IPv6 address in an IPv4 slice", line: 6, saying: ["endpoints[0].addresses[0]", "fd00::1"],
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                + "metadata: { name: a, namespace: shop, labels: { kubernetes.io/service-name: web } }\n"
                + "addressType: IPv4\nendpoints:\n- addresses: [\"fd00::1\"]\nports: [{ port: 80 }]\n"),
        BrokenFile(
            "second of three documents", line: 5, saying: ["document 2", "Gadget"],
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: one }\n---\nkind: Gadget\napiVersion: v1\n"
                + "metadata: { name: a, namespace: shop }\n---\napiVersion: v1\nkind: Namespace\n"
                + "metadata: { name: two }\n"),
        BrokenFile(
            "half-written file", line: nil, saying: ["wrong.yaml:"],
            "apiVersion: v1\nkind: Service\nmetadata: { name: a, namespace: shop }\nspec:\n  ports: [{ port: 80, na"),
        BrokenFile(
            "half-written text", line: nil, saying: ["wrong.yaml:"],
            "apiVersion: v1\nkind: Service\nmetadata: { name: \"unfini"),
        BrokenFile(
            "tab as indentation", line: nil, saying: ["wrong.yaml:"],
            "apiVersion: v1\nkind: Service\nmetadata:\n\tname: a\n"),
        BrokenFile(
            "5,000-alias bomb", line: nil, saying: ["alias"],
            "apiVersion: v1\nkind: Service\nmetadata: { name: a, namespace: shop }\nspec:\n"
                + "  x: &a [1, 2, 3]\n  y: [\([String](repeating: "*a", count: 5000).joined(separator: ", "))]\n"),
        BrokenFile(
            "a billion laughs", line: nil, saying: ["alias"],
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
                + (1...9).map { n in
                    "a\(n): &a\(n) [\([String](repeating: "*a\(n - 1)", count: 10).joined(separator: ", "))]\n"
                }.joined()),
        BrokenFile(
            "nested without end", line: nil, saying: ["nest"], String(repeating: "[", count: 100_000)),
        BrokenFile(
            "binary file", line: nil, saying: ["wrong.yaml"],
            Data([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0] + (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 37) })),
        BrokenFile(
            "text that is not UTF-8", line: nil, saying: ["UTF-8"],
            Data("apiVersion: v1\nkind: Namespace\nmetadata: { name: \"".utf8) + Data([0xc3, 0x28])
                + Data("\" }\n".utf8)),
        BrokenFile("a list at the top", line: 1, saying: ["wrong.yaml:1"], "- a\n- b\n"),
    ]
}
