import KernelPlane
import Mesh

/// Whether connections of this node are accelerated, and why not.
struct AccelerationState: Encodable {
    enum State: String, Encodable {
        case on, paused, off
    }

    var state: State
    /// A sentence.
    var reason: String
    /// Workloads of this node that have opted in.
    var optedIn: Int
}

extension Agent {
    /// A node pays only for what its rules need.
    func probeIfNeeded(_ snapshot: MeshSnapshot) {
        guard options.acceleration.mode != .off, plane.redirectProblem == nil,
            !AccelerationOptions.optedIn(snapshot).isEmpty
        else { return }
        behaviour.demand()
    }

    /// Why nothing may be accelerated on this node, in a sentence; nil: it may.
    var laneProblem: String? { plane.redirectProblem ?? behaviour.laneProblem }

    /// What may go from socket to socket, with what is known now.
    func accelerationDecision(_ snapshot: MeshSnapshot) -> Acceleration {
        options.acceleration.decide(snapshot, acceleration.verdicts, isKernelFit: laneProblem == nil)
    }

    var accelerationState: AccelerationState {
        let optedIn = AccelerationOptions.optedIn(config.snapshot).count
        func state(_ state: AccelerationState.State, _ reason: String) -> AccelerationState {
            AccelerationState(state: state, reason: reason, optedIn: optedIn)
        }
        guard options.acceleration.mode != .off else { return state(.off, "weftd was started with --acceleration off") }
        guard optedIn > 0 else { return state(.off, "no workload of this node has opted in (acceleration: On)") }
        if let problem = laneProblem { return state(.off, problem) }
        if plane.acceleration.isPaused { return state(.paused, "nothing is redirected for now, on any connection") }
        let count = plane.acceleration.workloads.count
        guard count > 0 else { return state(.off, "no workload that has opted in was seen to be fit for it yet") }
        return state(.on, "\(count) of \(optedIn) workloads that have opted in are accelerated")
    }
}
