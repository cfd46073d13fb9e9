import BPF
import BPFImages
import CLinux
import Foundation
import Testing

@testable import Doctor

extension BPFTests {
    /// The behaviour probes tell the truth about this kernel, and about programs that are not right.
    @Suite struct BehaviourProbes {
        private typealias Verdict = BehaviourProbe.Verdict

        private func verdicts(_ report: BehaviourReport) -> [String: Verdict] {
            Dictionary(uniqueKeysWithValues: report.probes.map { ($0.name, $0.verdict) })
        }

        @Test func theyKnowWhatThisKernelDoes() throws {
            let report = try Doctor.BehaviourProbes.run()
            let found = verdicts(report)
            let text = report.probes.map { "\($0.verdict.rawValue) \($0.name): \($0.detail)" }.joined(separator: "\n")
            for name in [
                "completeness", "half-close", "end-after-data", "reset", "fionread-plain", "fionread-writer", "poll",
                "epoll-level", "epoll-edge", "peek",
            ] { #expect(found[name] == .pass, "\(text)") }
            for name in [
                "order", "failed-redirect", "peer-not-admitted", "splice", "waitall", "blocking-receive", "low-water",
                "back-pressure", "memory", "pause", "blocking-writer", "blocking-reader",
            ] { #expect(found[name] == .worksWithGuard, "\(text)") }
            // Before Linux 6.18.14 and its like in other series, redirected bytes were not counted; since then they are.
            if report.kernel.release.hasPrefix("6.1.") {
                #expect(found["fionread-redirected"] == .worksWithGuard, "\(text)")
            }
            if report.kernel.release.hasPrefix("6.18.44") { #expect(found["fionread-redirected"] == .pass, "\(text)") }
            #expect(report.enablesAcceleration, "\(text)")
            #expect(report.probes.map(\.name) == Doctor.BehaviourProbes.names)
            #expect(report.kernel == .current)
            #expect(report.milliseconds < 10_000)
        }

        @Test func aRedirectWithoutAnyGuardFails() throws {
            let report = try Doctor.BehaviourProbes.run(.unguarded)
            let failed = Set(report.failures.map(\.name))
            #expect(
                failed == [
                    "order", "failed-redirect", "peer-not-admitted", "close-unread", "low-water", "back-pressure",
                    "memory",
                    "pause", "blocking-writer", "blocking-reader",
                ])
            #expect(!report.enablesAcceleration)
        }

        struct Fault: Sendable, CustomTestStringConvertible {
            let testDescription: String
            let right: String
            let wrong: String
            /// Probes that have to fail, among others.
            let failing: Set<String>
        }

        @Test(arguments: [
            Fault(
                testDescription: "promotion before the reader has taken what went by TCP",
                right: "!has_read_tcp(reader, writer)", wrong: "0", failing: ["order", "pause"]),
            Fault(
                testDescription: "no bound",
                right: "direction->outstanding + size > node->redirect_cap", wrong: "0",
                failing: ["back-pressure", "memory"]),
            Fault(
                testDescription: "no look at the descriptor of the sender",
                right: "!(descriptor_flags(sender) & O_NONBLOCK)", wrong: "0", failing: ["blocking-writer"]),
            Fault(
                testDescription: "no pause", right: "!node->acceleration", wrong: "0", failing: ["pause"]),
        ])
        func aGuardWithOneFaultFails(_ fault: Fault) throws {
            let report = try Doctor.BehaviourProbes.run(.guarded(image: Self.compile(fault)))
            let failed = Set(report.failures.map(\.name))
            #expect(failed.isSuperset(of: fault.failing), "\(failed)")
            #expect(!report.enablesAcceleration)
        }

        /// The lane's own program, with one condition of its guard replaced.
        private static func compile(_ fault: Fault) throws -> [UInt8] {
            let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent()
            let source = try String(contentsOf: root.appending(path: "bpf/redirect.bpf.c"), encoding: .utf8)
            try #require(source.components(separatedBy: fault.right).count == 2, "the guard says it otherwise now")
            return try BPFTestObject.compile(
                source.replacing(fault.right, with: fault.wrong), ["-I", root.appending(path: "bpf").path])
        }
    }
}
