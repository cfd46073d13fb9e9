import Foundation
import Testing

/// The tests' own ground: what a test makes goes away with it, whatever happened.
extension NodeTests {
    @Suite("The tests themselves")
    struct SandboxTests {
        @Test("A sandbox leaves nothing behind: no process, cgroup, namespace, mount or file")
        func leavesNothing() throws {
            var name = ""
            var pid: pid_t = 0
            struct Interrupted: Error {}
            #expect(throws: Interrupted.self) {
                try Sandbox.run { sandbox in
                    name = sandbox.name
                    _ = try Node(sandbox)
                    let namespace = try sandbox.makeNamespace("a")
                    pid = try sandbox.start(["sleep", "600"], in: "one/two", namespace: namespace).pid
                    throw Interrupted()
                }
            }
            #expect(kill(pid, 0) != 0)
            #expect(traces(of: name).isEmpty)
        }

        @Test("What a killed run left behind is removed by the next")
        func sweepsLeftovers() throws {
            let root = try #require(Host.cgroupRoot)
            // A process id that certainly nobody has: the kernel's limit is 2^22.
            let name = "weft-test-4194305-1"
            try FileManager.default.createDirectory(atPath: "\(root)/\(name)/web", withIntermediateDirectories: true)
            try FileManager.default.createDirectory(atPath: "/tmp/\(name)/bpf", withIntermediateDirectories: true)
            try Sandbox.run { sandbox in
                try sandbox.check(["mount", "-t", "bpf", "bpf", "/tmp/\(name)/bpf"])
                try sandbox.check(["ip", "netns", "add", "\(name)-a"])
                let orphan = try sandbox.start(
                    ["sh", "-c", "echo $$ > \(root)/\(name)/web/cgroup.procs; exec sleep 600"])
                try eventually("the orphan is in its cgroup") {
                    try String(contentsOfFile: "\(root)/\(name)/web/cgroup.procs", encoding: .utf8)
                        .contains("\(orphan.pid)")
                }
                #expect(!traces(of: name).isEmpty)
                Sandbox.sweep()
                #expect(traces(of: name).isEmpty)
                try orphan.wait(timeout: 5)
            }
        }

        @Test("Servers and clients of the tests keep exact books without a mesh between them")
        func books() throws {
            try Sandbox.run { sandbox in
                try sandbox.serve(["a,tcp,127.96.200.1,8080", "t,transfer,127.96.200.1,8081"], in: "server")
                #expect(try sandbox.pick("127.96.200.1", 8080, count: 50).names == ["a": 50])
                let answer = try sandbox.client(
                    "transfer",
                    ["targets": [["127.96.200.1", 8081, "tcp"]], "count": 20, "seed": 1, "largest": 5000])
                #expect(answer["books"][0]["connections"].int == 20)
                #expect(answer["books"][0]["errors"].int == 0)
                #expect(try sandbox.connect("127.96.200.1", 9).result == "ECONNREFUSED")
                let held = try sandbox.hold("127.96.200.1", 8080, count: 3)
                #expect(held.names == ["a", "a", "a"])
                #expect(try held.echo() == 3)
                try held.close()
            }
        }

        private func traces(of name: String) -> [String] {
            let mounts = FileManager.default.contents(atPath: "/proc/self/mountinfo") ?? Data()
            var found = String(decoding: mounts, as: UTF8.self).contains("/tmp/\(name)/") ? ["mount"] : []
            for place in ["/tmp", "/var/run/netns", Host.cgroupRoot ?? ""] {
                let entries = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
                found += entries.filter { $0 == name || $0.hasPrefix("\(name)-") }.map { "\(place)/\($0)" }
            }
            return found
        }
    }
}
