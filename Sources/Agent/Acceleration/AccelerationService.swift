import CLinux
import Certification
import Dispatch
import FoundationEssentials
import Logging
import Mesh
import Telemetry
import WeftABI

/// Keeps the verdicts about workloads that opted in to acceleration. It costs nothing while none did.
final class AccelerationService {
    /// Between two turns; shorter while a workload is watched.
    private static let interval = Duration.seconds(2)
    private static let watchingInterval = Duration.milliseconds(500)

    /// Called on the reactor's thread when the verdicts have changed.
    var onChange: () -> Void = {}
    /// What the kernel has seen workloads do since it was asked last: bits of `weft_evidence`.
    var conduct: (_ workloads: [ObjectName]) -> [ObjectName: UInt32] = { _ in [:] }
    private(set) var verdicts = AccelerationVerdicts()
    /// Whether FIONREAD counts what went around TCP on this kernel; nil: not known.
    var isFIONREADRight: Bool?
    /// Why connections are not accelerated on this node at all; nil: they are.
    var laneProblem: String? {
        didSet { if laneProblem != oldValue { judge() } }
    }

    private let reactor: Reactor
    private let mount: String
    private let queue = DispatchQueue(label: "weft.acceleration")
    private let watch: Confined
    private var places: [AccelerationWatch.Place] = []
    private var findings = AccelerationWatch.Findings(certificates: CertificateStore())
    private var timer: Reactor.TimerID?
    private let logger = Logger(label: "weftd.acceleration")
    private var reports = LogLimiter()
    private var isStopped = false

    /// - Parameters:
    ///   - mount: where the cgroup v2 hierarchy is mounted.
    ///   - seconds: how long a workload is watched.
    init(stateDirectory: String, mount: String, seconds: Double, reactor: Reactor) {
        self.reactor = reactor
        self.mount = mount
        watch = Confined(AccelerationWatch(stateDirectory: stateDirectory, seconds: seconds))
    }

    /// Takes the workloads that opted in.
    func take(_ snapshot: MeshSnapshot) {
        let local = snapshot.workloads.values.filter { $0.isLocal && $0.cgroup != nil }
        let paths = Dictionary(grouping: local.compactMap { $0.cgroup }, by: \.self).keys
        places = local.filter(\.isAccelerated).compactMap { workload in
            guard let cgroup = workload.cgroup else { return nil }
            // Their own workloads' processes are not this one's.
            let others = paths.filter { $0.hasPrefix(cgroup + "/") }.map { unsafe weft_cgroup_id(mount + $0) }
            return AccelerationWatch.Place(
                name: workload.name,
                processes: CgroupProcesses(directory: mount + cgroup, others: Set(others.filter { $0 != 0 })))
        }.sorted { $0.name < $1.name }
        judge()
        if !places.isEmpty, timer == nil { turn() }
    }

    func stop() {
        isStopped = true
        if let timer { reactor.cancel(timer) }
        timer = nil
    }

    private func turn() {
        timer = nil
        guard !places.isEmpty, !isStopped else { return }
        let (mailbox, service, watch) = (reactor.mailbox, ReactorLocal(self, of: reactor), watch)
        let (places, isFIONREADRight) = (places, isFIONREADRight)
        let seen = conduct(places.map(\.name)).mapValues { Self.evidence($0) }.filter { !$0.value.isEmpty }
        queue.async {
            for (name, evidence) in seen {
                watch.value.refute(name, evidence, time: Date.now.formatted(.iso8601))
            }
            let findings = watch.value.turn(
                places, isFIONREADRight: isFIONREADRight, now: Double(Reactor.now()) / 1e9,
                time: Date.now.formatted(.iso8601))
            mailbox.post { service.get(on: $0).take(findings) }
        }
    }

    private func take(_ findings: AccelerationWatch.Findings) {
        if let problem = findings.problem, reports.admit("certificates") != nil {
            logger.error("certificates cannot be kept: \(problem)")
        }
        self.findings = findings
        judge()
        guard !isStopped, timer == nil else { return }
        let interval = findings.watching.isEmpty ? Self.interval : Self.watchingInterval
        timer = reactor.after(interval) { [unowned self] in turn() }
    }

    /// What accelerated sockets themselves have shown.
    private static func evidence(_ bits: UInt32) -> [Evidence] {
        let kinds: [(weft_evidence, EvidenceKind, String)] = [
            (WEFT_EVIDENCE_BLOCKING, .blocking, "a send on a descriptor without O_NONBLOCK"),
            (WEFT_EVIDENCE_ULP, .ulp, "an upper layer protocol was put on a socket"),
            (WEFT_EVIDENCE_LOW_WATER, .lowWater, "SO_RCVLOWAT was set on a socket"),
            (WEFT_EVIDENCE_INQ, .inq, "TCP_INQ was set on a socket"),
        ]
        return kinds.filter { bits & $0.0.rawValue != 0 }.map { _, kind, what in
            Evidence(kind: kind, weight: .refutes, what: what, place: "an accelerated connection")
        }
    }

    private func judge() {
        let new = AccelerationVerdicts(
            places.map(\.name), programs: findings.programs, certificates: findings.certificates,
            kernel: Certifier.kernel, laneProblem: laneProblem
        ).following(verdicts, time: Date.now.formatted(.iso8601))
        guard new != verdicts else { return }
        report(new)
        let isOther = new.accelerated != verdicts.accelerated
        verdicts = new
        if isOther { onChange() }
    }

    private func report(_ new: AccelerationVerdicts) {
        for (name, verdict) in new.verdicts.sorted(by: { $0.key < $1.key }) {
            let old = verdicts.verdicts[name]
            guard old?.reason != verdict.reason else { continue }
            let metadata: Logger.Metadata = ["workload": "\(name)"]
            switch verdict.reason {
            case .certified: logger.info("accelerated: \(verdict.message)", metadata: metadata)
            case .refuted: logger.warning("not accelerated: \(verdict.message)", metadata: metadata)
            case .notCertified, .laneUnavailable:
                logger.info("not accelerated: \(verdict.message)", metadata: metadata)
            }
        }
    }

    /// Carries the watch to the queue, which alone uses it.
    private final class Confined: @unchecked Sendable {
        // Safe: `value` is used on the serial queue only.
        let value: AccelerationWatch
        init(_ value: AccelerationWatch) { self.value = value }
    }
}
