import Mesh

/// Which workloads are accelerated, and why others that opted in are not.
struct AccelerationVerdicts: Sendable, Equatable {
    /// What became of a workload that opted in.
    struct Verdict: Sendable, Equatable {
        var reason: Reason
        /// For people.
        var message: String
        /// Since when the reason is this one (RFC 3339, UTC).
        var since: String

        init(_ reason: Reason, message: String, since: String = "") {
            self.reason = reason
            self.message = message
            self.since = since
        }
    }

    enum Reason: String, Sendable, CaseIterable {
        /// Every program of it that has TCP connections was seen to do nothing that it must not.
        case certified = "Certified"
        /// That is not known of every program yet.
        case notCertified = "NotCertified"
        /// A program of it was seen to do what it must not.
        case refuted = "Refuted"
        /// The node's kernel does not do it right.
        case laneUnavailable = "LaneUnavailable"

        /// The value of the label `state`.
        var state: String {
            switch self {
            case .certified: "accelerated"
            case .notCertified: "not_certified"
            case .refuted: "refuted"
            case .laneUnavailable: "unavailable"
            }
        }
    }

    /// Only workloads of this node that opted in.
    private(set) var verdicts: [ObjectName: Verdict]

    init(_ verdicts: [ObjectName: Verdict] = [:]) { self.verdicts = verdicts }

    /// Whether a workload's connections with others that are accelerated too may go around the TCP stack.
    func isAccelerated(_ workload: ObjectName) -> Bool { verdicts[workload]?.reason == .certified }

    /// The workloads that are accelerated.
    var accelerated: Set<ObjectName> { Set(verdicts.keys.filter { isAccelerated($0) }) }

    /// With the times of those before, where the reason has not changed.
    func following(_ old: AccelerationVerdicts, time: String) -> AccelerationVerdicts {
        var new = self
        for (name, verdict) in verdicts {
            let before = old.verdicts[name]
            new.verdicts[name]?.since = before?.reason == verdict.reason ? before?.since ?? time : time
        }
        return new
    }
}
