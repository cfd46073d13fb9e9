import ConfigSources
import KernelPlane
import Mesh

/// What is known about the configuration.
struct ConfigState {
    /// In force.
    var snapshot = MeshSnapshot()
    var table = StatusTable()
    /// Of the newest reading; empty if it was taken.
    var errors: [ConfigError] = []
    /// Objects that the kernel could not be given.
    var failures: [ProgrammingFailure] = []
    /// Whether the kernel was given the snapshot at all.
    var isProgrammed = false
    /// When the snapshot was programmed (RFC 3339).
    var programmedAt = ""
    /// When the last configuration was taken, in seconds since the epoch.
    var acceptedAt: Double?

    /// With what became of workloads that opted in to acceleration.
    func statuses(_ verdicts: AccelerationVerdicts) -> [ObjectStatus] {
        statuses.map { status in
            guard ResourceKind(rawValue: status.kind) == .workload || ResourceKind(rawValue: status.kind) == .pod,
                let verdict = verdicts.verdicts[status.name]
            else { return status }
            var status = status
            status.conditions.append(
                Condition(
                    type: .accelerated, status: verdict.reason == .certified ? .yes : .no,
                    reason: verdict.reason.rawValue, message: verdict.message,
                    observedGeneration: status.conditions.first?.observedGeneration ?? 0,
                    lastTransitionTime: verdict.since))
            return status
        }
    }

    /// Every object's status. The `Programmed` conditions are made here, when somebody asks, and not at every change.
    var statuses: [ObjectStatus] {
        var table = table
        var messages: [ObjectKey: String] = [:]
        for failure in failures {
            let kinds: [ResourceKind] =
                switch failure.kind {
                case "Service": [.service]
                case "Workload": [.workload, .pod]
                default: [.authorizationPolicy]
                }
            for kind in kinds { messages[ObjectKey(kind, failure.name)] = failure.message }
            // A service that stands for a workload is nobody's object.
            if let workload = failure.name.workloadOfService {
                for kind in [ResourceKind.workload, .pod] { messages[ObjectKey(kind, workload)] = failure.message }
            }
        }
        table.recordProgramming(failures: messages, time: programmedAt)
        return table.statuses
    }
}
