import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// Configurations that follow each other.
@Suite(.serialized)
struct ChangeTests {
    private static let servers = "tcp(18081, b'one'); tcp(18082, b'two')"

    @Test("A drained endpoint that leaves the configuration keeps its connections until its deadline")
    func drainedEndpointLeaves() throws {
        let sandbox = try Sandbox("leaves")
        let plane = try sandbox.plane()
        let client = try Interpreter(sandbox, Self.servers)
        let workloads = [sandbox.workload("client")]
        #expect(
            try plane.apply(sandbox.snapshot([sandbox.service("web", "127.96.1.1", to: 18081)], workloads)).isEmpty)
        let backend = try #require(try plane.withMaps { try $0.backends.keys() }.first)
        try client.expect("globals().update(c=socket.create_connection(('127.96.1.1', 80), 20)) or c.recv(9)", "b'one'")

        let deadline = KernelPlane.monotonicNow + 2_000_000_000
        #expect(try plane.drain([backend], deadlineNanoseconds: deadline).isEmpty)
        let moved = sandbox.snapshot([try sandbox.service("web", "127.96.1.1", to: 18082)], workloads, generation: 2)
        #expect(try plane.apply(moved).isEmpty)
        plane.tidy()
        #expect(try plane.sweep().ended == 0)
        try client.expect("c.send(b'x') and c.recv(9)", "b'one'")
        try client.expect("get('127.96.1.1', 80)", "two")

        while KernelPlane.monotonicNow < deadline { Thread.sleep(forTimeInterval: 0.05) }
        let result = try plane.sweep()
        #expect(result.ended == 1)
        #expect(result.doomed.map { UInt32($0.reason) } == [WEFT_DOOM_DRAINED.rawValue])
        try client.expect("c.recv(9)", "ECONNABORTED")
        plane.tidy()
        #expect(plane.drains.isEmpty)
        #expect(try plane.withMaps { try $0.backends.keys() }.count == 1)
    }

    @Test("Two services exchange their addresses in one change")
    func servicesExchangeAddresses() throws {
        let sandbox = try Sandbox("exchange")
        let plane = try sandbox.plane()
        let client = try Interpreter(sandbox, Self.servers)
        func mesh(_ first: String, _ second: String, _ generation: UInt64) throws -> MeshSnapshot {
            sandbox.snapshot(
                [try sandbox.service("one", first, to: 18081), try sandbox.service("two", second, to: 18082)],
                [sandbox.workload("client")], generation: generation)
        }
        #expect(try plane.apply(mesh("127.96.1.1", "127.96.1.2", 1)).isEmpty)
        try client.expect("get('127.96.1.1', 80), get('127.96.1.2', 80)", "('one', 'two')")
        #expect(try plane.apply(mesh("127.96.1.2", "127.96.1.1", 2)).isEmpty)
        try client.expect("get('127.96.1.1', 80), get('127.96.1.2', 80)", "('two', 'one')")
        #expect(try plane.withMaps { try $0.services.count() } == 2)
    }

    @Test("Two workloads exchange their ports in one change, and their policies go with them")
    func workloadsExchangePorts() throws {
        let sandbox = try Sandbox("ports")
        let plane = try sandbox.plane()
        let client = try Interpreter(sandbox, Self.servers)
        func mesh(_ first: UInt16, _ second: UInt16, _ generation: UInt64) throws -> MeshSnapshot {
            func owner(_ port: UInt16) -> String { port == first ? "open" : "guarded" }
            return sandbox.snapshot(
                [
                    try sandbox.service("one", "127.96.1.1", to: 18081, workload: owner(18081)),
                    try sandbox.service("two", "127.96.1.2", to: 18082, workload: owner(18082)),
                ],
                [
                    sandbox.workload("client"),
                    sandbox.workload("open", ports: [first], addresses: ["127.0.0.1"], enrolled: false),
                    sandbox.workload("guarded", ports: [second], addresses: ["127.0.0.1"], enrolled: false),
                ], [sandbox.policy("nobody", of: "guarded")], generation: generation)
        }
        #expect(try plane.apply(mesh(18081, 18082, 1)).isEmpty)
        try client.expect("get('127.96.1.1', 80)", "one")
        try client.expect("get('127.96.1.2', 80)", "EPERM")
        #expect(try plane.apply(mesh(18082, 18081, 2)).isEmpty)
        try client.expect("get('127.96.1.1', 80)", "EPERM")
        try client.expect("get('127.96.1.2', 80)", "two")
    }

    @Test("Nothing can be drained before the first configuration, and what is in force stays")
    func drainBeforeTheFirstConfiguration() throws {
        let sandbox = try Sandbox("first")
        let mesh = sandbox.snapshot([try sandbox.service("web", "127.96.1.1", to: 18081)], [sandbox.workload("client")])
        let client = try Interpreter(sandbox, Self.servers)
        do {
            let plane = try sandbox.plane()
            #expect(try plane.apply(mesh).isEmpty)
        }
        // A new agent on the same pins, whose configuration has not been read yet.
        let plane = try sandbox.plane()
        let backend = try #require(try plane.withMaps { try $0.backends.keys() }.first)
        let error = #expect(throws: BPFError.self) {
            try plane.drain([backend], deadlineNanoseconds: KernelPlane.monotonicNow)
        }
        #expect(error?.errno == EAGAIN)
        plane.tidy()
        try client.expect("get('127.96.1.1', 80)", "one")
    }

    @Test("A workload whose policies do not fit into `policy_ids` is named, and nobody comes to it")
    func fullPolicyIdentities() throws {
        let sandbox = try Sandbox("full")
        let plane = try sandbox.plane(limits: ["policy_ids": 4])
        let client = try Interpreter(sandbox, Self.servers)
        func mesh(_ principals: Int, _ generation: UInt64) throws -> MeshSnapshot {
            let others = (0..<principals).map { "other-\($0)" }
            return sandbox.snapshot(
                [
                    try sandbox.service("one", "127.96.1.1", to: 18081, workload: "open"),
                    try sandbox.service("two", "127.96.1.2", to: 18082, workload: "guarded"),
                ],
                [
                    sandbox.workload("client"),
                    sandbox.workload("open", ports: [18081], addresses: ["127.0.0.1"], enrolled: false),
                    sandbox.workload("guarded", ports: [18082], addresses: ["127.0.0.1"], enrolled: false),
                ] + others.map { sandbox.workload($0, enrolled: false) },
                [
                    sandbox.policy(
                        "many", of: "guarded", allowing: (["client"] + others).map { "cluster.local/ns/shop/sa/\($0)" })
                ], generation: generation)
        }
        let failures = try plane.apply(mesh(8, 1))
        #expect(failures.map(\.kind) == ["Workload"])
        #expect(failures.first?.name == ObjectName(namespace: "shop", name: "guarded"))
        #expect(failures.first?.message.contains("policy_ids") == true)
        try client.expect("get('127.96.1.2', 80)", "EPERM")
        try client.expect("get('127.96.1.1', 80)", "one")
        // With room it is taken.
        #expect(try plane.apply(mesh(2, 2)).isEmpty)
        try client.expect("get('127.96.1.2', 80)", "two")
    }
}
