import Foundation
import Testing

extension NodeTests {
    /// A start that cannot succeed: one clear sentence, an exit code, and nothing half attached.
    @Suite("Starts that have to fail")
    struct StartTests {
        private func fails(
            _ node: Node, _ arguments: [String], saying words: [String], at location: SourceLocation = #_sourceLocation
        ) throws {
            let result = try node.sandbox.run(arguments, timeout: 30)
            #expect(result.status != 0 && result.status < 128, "ended with \(result.status)", sourceLocation: location)
            let text = result.errors + result.output
            for word in words {
                #expect(text.localizedCaseInsensitiveContains(word), "says \(text)", sourceLocation: location)
            }
            for trace in ["Fatal error", "Thread 0", "stack dump", "*** ", ".swift:"] {
                #expect(!text.contains(trace), "a stack trace: \(text)", sourceLocation: location)
            }
            let sentences = text.split(separator: "\n").count
            #expect(sentences <= 6, "more than a few sentences: \(text)", sourceLocation: location)
        }

        @Test("Without privileges")
        func unprivileged() throws {
            try Sandbox.run { sandbox in
                try Host.require([("setpriv", "util-linux")])
                let node = try Node(sandbox)
                // Everything but the privileges is in order.
                try sandbox.check(["chmod", "-R", "a+rwX", sandbox.directory])
                let drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
                try fails(node, drop + node.agentArguments(), saying: ["root"])
                #expect(node.pins.isEmpty)
                #expect(try !node.isAttached())
            }
        }

        @Test("As root, but without the capabilities that it takes")
        func withoutCapabilities() throws {
            try Sandbox.run { sandbox in
                try Host.require([("setpriv", "util-linux")])
                let node = try Node(sandbox)
                let drop = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon,-net_admin", "--inh-caps=-all"]
                try fails(node, drop + node.agentArguments(), saying: ["CAP_"])
                #expect(node.pins.isEmpty)
                #expect(try !node.isAttached())
            }
        }

        /// The kernel that runs the tests has everything; one without BTF is had by hiding it from the agent.
        @Test("On a kernel that lacks a feature")
        func missingFeature() throws {
            try Sandbox.run { sandbox in
                try Host.require([("unshare", "util-linux")])
                let node = try Node(sandbox)
                let hide = [
                    "unshare", "--mount", "sh", "-c",
                    "mount --bind /dev/null /sys/kernel/btf/vmlinux && exec \"$0\" \"$@\"",
                ]
                try fails(node, hide + node.agentArguments(), saying: ["kernel lacks", "weft check"])
                #expect(node.pins.isEmpty)
                #expect(try !node.isAttached())
            }
        }

        @Test("With a cgroup that is none", arguments: ["/nonexistent/cgroup", "/tmp"])
        func wrongCgroup(path: String) throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try fails(node, node.agentArguments(["--cgroup", path]), saying: [path, "cgroup"])
                #expect(node.pins.isEmpty)
            }
        }

        @Test("With a pin directory that is on no bpffs")
        func wrongPinDirectory() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let path = "\(sandbox.directory)/plain"
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
                try fails(node, node.agentArguments(["--pin-dir", "\(path)/weft"]), saying: [path, "bpf"])
                #expect(try !node.isAttached())
                #expect(try FileManager.default.contentsOfDirectory(atPath: path).isEmpty)
            }
        }

        @Test("A second agent on the same pins; the first goes on")
        func secondAgent() throws {
            try Shop.run { shop in
                let node = shop.node
                let pins = Set(node.pins)
                let other = try Node(shop.sandbox, name: "node-b")
                try fails(
                    node, other.agentArguments(["--pin-dir", node.pinDirectory]), saying: [node.pinDirectory])
                #expect(Set(node.pins) == pins)
                #expect(try shop.connect(from: "alice").server == "web")
                #expect(node.agent?.isRunning == true)
                #expect(try node.scrape().sum("weft_config_generation") >= 1)
            }
        }

        @Test("With a port that is taken: the kernel is left as it was")
        func portTaken() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let port = try Host.freePort()
                try sandbox.serve(["x,tcp,127.0.0.1,\(port)"], in: "servers")
                try fails(
                    node, node.agentArguments(["--metrics-listen", "127.0.0.1:\(port)"]), saying: ["127.0.0.1:\(port)"])
                #expect(try !node.isAttached())
                #expect(node.pins.filter { $0.hasPrefix("links/") }.isEmpty)
            }
        }

        @Test("With flags that make no sense: a clear sentence, and nothing is left")
        func wrongFlags() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let flags = [
                    (["--no-such-flag"], "--no-such-flag"), (["--map-limit", "nosuchmap=4"], "nosuchmap"),
                    (["--map-limit", "backends=x"], "backends=x"), (["--metrics-listen", "nonsense"], "nonsense"),
                ]
                for (extra, word) in flags {
                    let result = try sandbox.run(node.agentArguments(extra), timeout: 30)
                    #expect([1, 2].contains(result.status), "\(extra): \(result.status) \(result.errors)")
                    #expect(result.errors.contains(word), "\(result.errors)")
                }
                #expect(node.pins.isEmpty)
            }
        }
    }
}
