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

    public init() {}

    /// What the kernel is told for a snapshot.
    func decide(_ snapshot: MeshSnapshot) -> Acceleration {
        var decision = Acceleration()
        decision.capBytes = capBytes
        decision.controlShare = controlShare
        if mode == .optedIn {
            decision.workloads = Set(
                snapshot.workloads.values.lazy.filter { $0.isLocal && $0.isAccelerated }.map(\.name))
        }
        return decision
    }
}
