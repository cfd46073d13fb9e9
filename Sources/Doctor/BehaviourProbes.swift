public import BPF
import BPFImages
import Glibc

/// Behaviour probes: what sockets whose bytes go past TCP do on this kernel, tried on connections of this process over
/// 127.0.0.1. Kernels differ in it from one stable release to the next, so nothing is concluded from version numbers.
///
/// Everything is tried twice: with the lane's own program and its guard, and with one that has none, which shows what the
/// guard is for. Nothing is pinned, nothing is attached to a cgroup, and no other socket of the machine is touched.
public enum BehaviourProbes {
    static let all: [Probe] =
        OrderProbes.all + EndingProbes.all + UnreadProbes.all + ReadinessProbes.all + ReadingProbes.all
        + PressureProbes.all + AdmissionProbes.all

    /// The names of the probes, in their order.
    public static let names = all.map(\.name)

    /// In milliseconds: what works takes a fraction of it, also on an emulated processor.
    private static let budget: Int64 = 20_000

    /// Makes all probes, which takes some tenths of a second. Needs what loading programs needs.
    ///
    /// - Throws: `BPFError` when the programs cannot be loaded: then nothing is known, and the lane cannot be used either.
    public static func run() throws(BPFError) -> BehaviourReport {
        try run(.guarded(image: ObjectImage.redirect.bytes))
    }

    /// - Parameter program: what is to be guarded.
    static func run(_ program: ProbeLane.Program) throws(BPFError) -> BehaviourReport {
        let started = Patience.now
        let unguarded = try ProbeLane(.unguarded)
        let guarded = try ProbeLane(program)
        let probes = all.map { probe in
            guard Patience.now - started < budget else {
                return BehaviourProbe(
                    name: probe.name, verdict: .fail,
                    detail: "It was not tried: those before it took more than \(budget / 1000) s.")
            }
            return probe.verdict(unguarded: unguarded, guarded: guarded)
        }
        return BehaviourReport(
            kernel: .current, ranAt: Int64(time(nil)), milliseconds: Int(Patience.now - started), probes: probes)
    }
}
