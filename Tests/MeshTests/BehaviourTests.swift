import Foundation
import Testing

extension NodeTests {
    /// What a node knows of its kernel before it accelerates anything.
    @Suite("Behaviour probes")
    struct Behaviour {
        private static let optIn = """
            apiVersion: weft.dev/v1alpha1
            kind: TrafficPolicy
            metadata: { name: fast, namespace: shop }
            spec:
              targetRefs: [{ group: "", kind: Namespace, name: shop }]
              acceleration: "On"

            """

        @Test("A node whose workloads opt in probes its kernel once, and says what it found")
        func optedIn() throws {
            try Sandbox.run { sandbox in
                let shop = Shop(sandbox: sandbox, node: try Node(sandbox))
                let node = shop.node
                for name in ["web", "alice", "mallory"] { try sandbox.makeCgroup(name) }
                let flags = ["--acceleration", "opted-in"]
                try node.start(shop.manifest([]), flags)
                let kept = "\(node.runDirectory)/probes.json"
                #expect(try node.scrape().matching("weft_kernel_probe").isEmpty)
                #expect(!FileManager.default.fileExists(atPath: kept))

                try shop.apply(Self.optIn)
                try node.waitForMetrics("the kernel is probed") { !$0.matching("weft_kernel_probe").isEmpty }
                let samples = try node.scrape().matching("weft_kernel_probe")
                let verdicts = Dictionary(
                    samples.map { ($0.labels["probe"] ?? "", $0.labels["verdict"] ?? "") }, uniquingKeysWith: { $1 })
                #expect(samples.count == verdicts.count && samples.allSatisfy { $0.value == 1 })
                #expect(verdicts["order"] == "works-with-guard" && verdicts["half-close"] == "pass")
                #expect(!verdicts.values.contains("fail"), "\(verdicts)")
                #expect(FileManager.default.fileExists(atPath: kept))

                // The same by the command line, for people and programs.
                let items = try node.weftJSON("check").array
                let lane = try #require(items.first { $0["check"].string == "accelerated lane" })
                #expect(lane["state"].string == "ok" && lane["finding"].string?.hasPrefix("on: ") == true, "\(lane)")
                let probes = items.filter { $0["verdict"].string != nil }
                #expect(
                    Dictionary(
                        probes.map { ($0["check"].string ?? "", $0["verdict"].string ?? "") }, uniquingKeysWith: { $1 })
                        == Dictionary(uniqueKeysWithValues: verdicts.map { ("probe: \($0)", $1) }))
                let anew = try node.weft("check", "--probes")
                #expect(anew.status == 0, "\(anew.output)\(anew.errors)")
                #expect(anew.output.contains("probe: order"), "\(anew.output)")
                #expect(node.agentLog.components(separatedBy: "probed what the kernel does").count == 3)

                // A new agent on the same kernel knows already.
                try node.terminate()
                try node.start(flags)
                try node.waitForMetrics("what was found is known") { !$0.matching("weft_kernel_probe").isEmpty }
                #expect(!node.agentLog.contains("probed what the kernel does"))
            }
        }

        @Test("Without an agent, check finds it out by itself")
        func withoutAgent() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let result = try node.weft("check", "--probes", "-o", "json")
                let probes = try JSON(result.output).array.filter { $0["verdict"].string != nil }
                #expect(probes.count > 20, "\(result.output)\(result.errors)")
                #expect(!probes.contains { $0["verdict"].string == "fail" }, "\(result.output)")
                #expect(FileManager.default.fileExists(atPath: "\(node.runDirectory)/probes.json"))
            }
        }
    }
}
