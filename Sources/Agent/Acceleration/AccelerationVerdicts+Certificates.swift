import Certification
import Mesh

extension AccelerationVerdicts {
    /// What follows for the workloads that opted in.
    ///
    /// - Parameters:
    ///   - programs: those that run in each workload now.
    ///   - laneProblem: why connections are not accelerated on this node at all; nil: they are.
    init(
        _ workloads: some Sequence<ObjectName>, programs: [ObjectName: RunningPrograms], certificates: CertificateStore,
        kernel: String, laneProblem: String?
    ) {
        var verdicts: [ObjectName: Verdict] = [:]
        for name in workloads {
            verdicts[name] =
                laneProblem.map { Verdict(.laneUnavailable, message: $0) }
                ?? Self.verdict(
                    programs[name] ?? RunningPrograms(),
                    { certificates.certificate(of: $0, workload: name, kernel: kernel) })
        }
        self.init(verdicts)
    }

    private static func verdict(_ programs: RunningPrograms, _ certificate: (Program) -> Certificate?) -> Verdict {
        var certified: Certificate?
        var missing: Program?
        for program in programs.all.sorted(by: { $0.path < $1.path }) {
            let known = certificate(program)
            switch known?.verdict {
            case .no?: return Verdict(.refuted, message: "\(program.path): \(known?.summary ?? "")")
            case .yes?: certified = known
            case .unknown?, nil: if programs.usingTCP.contains(program) { missing = missing ?? program }
            }
        }
        if let ended = programs.ended.first {
            return Verdict(.refuted, message: "a process that ended: \(ended.what): \(ended.why)")
        }
        if let missing {
            let what = certificate(missing)?.summary ?? "it is not known yet what it does with its connections"
            return Verdict(.notCertified, message: "\(missing.path): \(what)")
        }
        guard let certified else {
            return Verdict(.notCertified, message: "none of its processes was seen to use a TCP connection yet")
        }
        return Verdict(.certified, message: "\(certified.program.path): \(certified.summary)")
    }
}

/// The programs of a workload that run now.
struct RunningPrograms: Sendable, Equatable {
    var all: Set<Program> = []
    /// Those that have TCP connections.
    var usingTCP: Set<Program> = []
    /// What processes that ended before their program was known did in the last watch, and must not.
    var ended: [Evidence] = []
}
