import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// An agent that starts where one of an earlier layout has run: its pins are in another directory, its programs attached.
@Suite(.serialized)
struct OlderLayoutTests {
    private func plane(_ sandbox: Sandbox, layout: UInt32, cgroup: String? = nil) throws -> KernelPlane {
        try KernelPlane(
            .init(
                pinDirectory: "\(sandbox.directory)/bpf/weft/v\(layout)", cgroup: cgroup ?? sandbox.cgroup,
                cgroupMount: sandbox.cgroupMount))
    }

    private func exists(_ sandbox: Sandbox, _ layout: UInt32) -> Bool {
        FileManager.default.fileExists(atPath: "\(sandbox.directory)/bpf/weft/v\(layout)")
    }

    private let present = UInt32(WEFT_LAYOUT)

    /// The present programs stand for earlier ones: what is asked is which of two attached sets does what, and when.
    @Test func theEarlierProgramsAreInForceUntilTheLaterOnesAreProgrammed() throws {
        let sandbox = try Sandbox("layouts")
        defer { for layout in [present, present - 1] { remove(sandbox, layout) } }
        let older = try plane(sandbox, layout: present - 1)
        let served = try sandbox.service("web", "127.96.1.1", to: 20080, workload: "client")
        let left = try sandbox.service("gone", "127.96.1.2", to: 20080, workload: "client")
        let workload = sandbox.workload("client", ports: [20080], addresses: ["127.0.0.1"])
        #expect(try older.apply(sandbox.snapshot([served, left], [workload])).isEmpty)
        older.leave()
        let python = try Interpreter(sandbox)
        try python.expect("tcp(20080, b'served')", "None")
        try python.expect("get('127.96.1.1', 80)", "served")
        let before = try older.totals(of: served).opened
        _ = consume older

        let later = try plane(sandbox, layout: present)
        #expect(later.removeOlderLayouts().isEmpty)
        try python.expect("get('127.96.1.1', 80)", "served")
        #expect(try later.totals(of: served).opened == 0)

        #expect(try later.apply(sandbox.snapshot([served], [workload])).isEmpty)
        let removals = later.removeOlderLayouts()
        #expect(removals.map(\.problem) == [nil])
        #expect(removals.first.map { $0.removed.count > 20 } == true)
        #expect(!exists(sandbox, present - 1))
        #expect(before == 1)
        try python.expect("get('127.96.1.1', 80)", "served")
        #expect(try later.totals(of: served).opened == 1)
        // What only the earlier ones knew is no service any more.
        try python.expect("get('127.96.1.2', 80)", "ECONNREFUSED")
        #expect(later.removeOlderLayouts().isEmpty)
    }

    @Test func aRunningAgentsLayoutAndOneOfAnotherCgroupStay() throws {
        let sandbox = try Sandbox("layouts-kept")
        defer { for layout in [present, present - 1, present - 2] { remove(sandbox, layout) } }
        for cgroup in ["one", "two"] {
            try FileManager.default.createDirectory(
                atPath: "\(sandbox.cgroup)/\(cgroup)", withIntermediateDirectories: true)
        }
        let running = try plane(sandbox, layout: present - 1, cgroup: "\(sandbox.cgroup)/one")
        let foreign = try plane(sandbox, layout: present - 2, cgroup: "\(sandbox.cgroup)/two")
        _ = consume foreign
        let later = try plane(sandbox, layout: present, cgroup: "\(sandbox.cgroup)/one")
        #expect(try later.apply(sandbox.snapshot([])).isEmpty)
        let problems = later.removeOlderLayouts().map { $0.problem ?? "" }
        #expect(problems.count == 2)
        #expect(problems.first?.contains("is attached to another cgroup") == true)
        #expect(problems.last?.contains("another agent is running on it") == true)
        #expect(exists(sandbox, present - 1) && exists(sandbox, present - 2))

        _ = consume running
        #expect(
            later.removeOlderLayouts().filter { $0.problem == nil }.map { $0.path.suffix(3) } == ["/v\(present - 1)"])
        #expect(!exists(sandbox, present - 1) && exists(sandbox, present - 2))
    }

    private func remove(_ sandbox: Sandbox, _ layout: UInt32) {
        _ = try? PinDirectory(path: "\(sandbox.directory)/bpf/weft/v\(layout)").uninstall()
    }
}
