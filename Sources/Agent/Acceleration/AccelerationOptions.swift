import KernelPlane
import Mesh

/// Which connections within the node may go from socket to socket.
public struct AccelerationOptions: Sendable {
    public enum Mode: String, Sendable, CaseIterable {
        /// Of workloads that have opted in, those whose processes were seen to be fit for it.
        case certified
        /// Of all workloads that have opted in.
        case optedIn = "opted-in"
        /// Of none.
        case off
    }

    public var mode = Mode.certified
    /// See `Acceleration.capBytes`.
    public var capBytes = Acceleration().capBytes
    /// See `Acceleration.controlShare`.
    public var controlShare = Acceleration().controlShare

    /// How long the programs of a workload are watched before they are certified.
    public var watchTime = Duration.seconds(5)

    public init() {}

    /// What the kernel is told for a snapshot.
    ///
    /// - Parameters:
    ///   - verdicts: about the workloads that have opted in.
    ///   - isKernelFit: whether redirected connections are right on this kernel (see `BehaviourService`).
    func decide(_ snapshot: MeshSnapshot, _ verdicts: AccelerationVerdicts, isKernelFit: Bool) -> Acceleration {
        var decision = Acceleration()
        decision.capBytes = capBytes
        decision.controlShare = controlShare
        guard isKernelFit else { return decision }
        switch mode {
        case .certified: decision.workloads = Self.optedIn(snapshot).filter { verdicts.isAccelerated($0) }
        case .optedIn: decision.workloads = Self.optedIn(snapshot)
        case .off: break
        }
        return decision
    }

    /// Workloads of this node that have opted in.
    static func optedIn(_ snapshot: MeshSnapshot) -> Set<ObjectName> {
        Set(snapshot.workloads.values.lazy.filter { $0.isLocal && $0.isAccelerated }.map(\.name))
    }
}
