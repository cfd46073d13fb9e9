public import Mesh
import WeftABI

/// Which connections within the node may go from socket to socket, and how much of them at a time.
public struct Acceleration: Sendable, Equatable {
    /// Both ends of a connection have to be of these.
    public var workloads: Set<ObjectName> = []
    /// Nothing more is redirected for now, on any connection.
    public var isPaused = false
    /// Bytes of one direction of a connection that may wait for their reader outside of TCP, which then makes the writer wait.
    public var capBytes: UInt32 = 512 * 1024
    /// Of 10,000 connections that could be accelerated, how many stay with TCP, for the others to be compared with.
    public var controlShare: UInt32 = 100

    public init() {}

    func write(to settings: inout weft_settings) {
        settings.acceleration = workloads.isEmpty || isPaused ? 0 : 1
        settings.redirect_cap = capBytes
        settings.control_share = controlShare
    }
}
