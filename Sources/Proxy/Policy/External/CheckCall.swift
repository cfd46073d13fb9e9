import CLinux

/// A question to an authorizer that speaks gRPC, and who wants the answer.
struct CheckCall: Sendable {
    let endpoint: weft_endpoint
    /// `Host`, for `:authority`.
    let authority: [UInt8]
    /// With gRPC's prefix of five bytes.
    let message: [UInt8]
    /// The request's: the authorizer's spans belong to it.
    let trace: TraceContext
    /// CLOCK_MONOTONIC, nanoseconds.
    let deadline: UInt64
    let mailbox: WorkerMailbox
    /// In the worker's slab, with its generation there.
    let exchange: UInt32
    let generation: UInt32
}

/// What came of it.
struct CheckReply: Sendable {
    let exchange: UInt32
    let generation: UInt32
    var verdict = CheckVerdict.error
    /// As `CheckRoom.changes` and `body`.
    var changes: [UInt8] = []
    var body: [UInt8] = []
}
