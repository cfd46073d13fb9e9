import BPF
import Doctor
import Glibc
import WeftABI

/// Whether connections may go around the TCP stack on this node: `GET /v1/probes` of the agent, or what can be found out
/// without one.
struct LaneChecks {
    let pins: PinOptions
    let runDirectory: String
    /// Whether the probes are made even if their results are known.
    let isAnew: Bool

    private struct Answer: Decodable {
        struct Lane: Decodable {
            /// `on`, `paused` or `off`.
            var state: String
            var reason: String
            var optedIn: Int
        }
        var lane: Lane
        var problem: String?
        var report: BehaviourReport?
    }

    func all() -> [CheckItem] {
        let agent = AdminClient(runDirectory: runDirectory)
        guard let answer = try? ask(agent) else { return [withoutAgent] + probes(nil, isNeeded: isAnew) }
        let isOn = answer.lane.state == "on"
        let isWanted = answer.lane.optedIn > 0
        let lane = CheckItem(
            "accelerated lane", isOn || !isWanted ? .ok : .warn,
            "\(answer.lane.state): \(answer.lane.reason)",
            advice: "connections go by TCP meanwhile, and nothing else is different")
        return [lane] + probes(answer.report, isNeeded: isAnew || isWanted, problem: answer.problem)
    }

    private func ask(_ agent: AdminClient) throws(Failure) -> Answer {
        guard isAnew else { return try agent.get("/v1/probes", as: Answer.self) }
        return try agent.post("/v1/probes", as: Answer.self, seconds: 60)
    }

    /// What is pinned goes on by itself.
    private var withoutAgent: CheckItem {
        guard let settings = (try? pins.open()).flatMap({ try? $0.settings.get(0) }) else {
            return CheckItem("accelerated lane", .ok, "off: nothing is installed")
        }
        let isOn = settings.acceleration != 0
        return CheckItem(
            "accelerated lane", .ok,
            isOn ? "on, as the agent left it" : "off or paused, as the agent left it; start weftd to find out why")
    }

    /// - Parameters:
    ///   - report: what is known already.
    ///   - isNeeded: whether somebody wants the lane: then a failed probe is a failure of the node.
    private func probes(_ report: BehaviourReport?, isNeeded: Bool, problem: String? = nil) -> [CheckItem] {
        let bad: CheckItem.State = isNeeded ? .fail : .warn
        do throws(Unprobed) {
            let known = if let report { report } else { try find(problem) }
            return known.probes.map { CheckItem($0, failing: bad) }
        } catch {
            return [
                CheckItem(
                    "probes", bad, "they could not be made: \(error.reason)",
                    advice: "without them nothing is accelerated, and the rest works")
            ]
        }
    }

    private struct Unprobed: Error { let reason: String }

    private func find(_ problem: String?) throws(Unprobed) -> BehaviourReport {
        if let problem { throw Unprobed(reason: problem) }
        let cache = BehaviourCache(runDirectory: runDirectory)
        if !isAnew, let known = cache.read() { return known }
        guard geteuid() == 0 else { throw Unprobed(reason: "run as root") }
        do throws(BPFError) {
            let found = try BehaviourProbes.run()
            cache.write(found)
            return found
        } catch {
            throw Unprobed(reason: error.description)
        }
    }
}

extension CheckItem {
    fileprivate init(_ probe: BehaviourProbe, failing: State) {
        let finding = probe.verdict == .pass ? probe.detail : "\(probe.verdict.rawValue): \(probe.detail)"
        self.init(
            "probe: \(probe.name)", probe.verdict == .fail ? failing : .ok, finding,
            advice: "no connection of this node is accelerated; a kernel without this fault may be")
        verdict = probe.verdict.rawValue
    }
}
