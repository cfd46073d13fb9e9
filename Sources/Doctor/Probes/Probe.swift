/// One thing that an application may rely on, tried on sockets that are members of a lane.
struct Probe: Sendable {
    /// What keeps applications from what is wrong.
    enum Keeper: Sendable {
        /// The redirect's program itself: it has to show that in the probe.
        case program
        /// Sockets, or workloads, that do this are not admitted.
        case admission
    }

    /// What was seen.
    struct Observation: Sendable {
        /// As it is without redirect.
        let holds: Bool
        /// A clause without a full stop.
        let seen: String

        init(_ holds: Bool, _ seen: String) {
            self.holds = holds
            self.seen = seen
        }
    }

    let name: String
    let keeper: Keeper
    /// A sentence: how applications are kept from it if it does not hold.
    let remedy: String
    let observe: @Sendable (ProbeLane) throws(ProbeProblem) -> Observation

    init(
        _ name: String, keptBy keeper: Keeper = .program, _ remedy: String = "The guard keeps it from applications.",
        _ observe: @escaping @Sendable (ProbeLane) throws(ProbeProblem) -> Observation
    ) {
        self.name = name
        self.keeper = keeper
        self.remedy = remedy
        self.observe = observe
    }

    /// Tries it without the guard and with it.
    func verdict(unguarded: ProbeLane, guarded: ProbeLane) -> BehaviourProbe {
        let kept: Observation
        do throws(ProbeProblem) {
            kept = try observe(guarded)
        } catch {
            return BehaviourProbe(name: name, verdict: .fail, detail: "It could not be tried: \(error.description).")
        }
        // What goes wrong without the guard is no reason to distrust what was seen with it.
        let bare: Observation
        do throws(ProbeProblem) {
            bare = try observe(unguarded)
        } catch {
            bare = Observation(false, error.description)
        }
        switch (bare.holds, kept.holds) {
        case (true, true):
            return BehaviourProbe(name: name, verdict: .pass, detail: "\(sentence(kept.seen)).")
        case (false, true):
            return BehaviourProbe(
                name: name, verdict: .worksWithGuard,
                detail: "Without the guard \(bare.seen); with it \(kept.seen). \(remedy)")
        case (_, false) where keeper == .admission:
            return BehaviourProbe(
                name: name, verdict: .worksWithGuard, detail: "\(sentence(kept.seen)). \(remedy)")
        case (_, false):
            return BehaviourProbe(
                name: name, verdict: .fail,
                detail: "\(sentence(kept.seen)). Nothing keeps this from applications: the lane stays off.")
        }
    }

    /// Names of functions keep their small letters.
    private func sentence(_ clause: String) -> String {
        clause.prefix { $0 != " " }.contains("(") ? clause : clause.prefix(1).uppercased() + clause.dropFirst()
    }
}
