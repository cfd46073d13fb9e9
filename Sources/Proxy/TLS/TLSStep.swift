enum TLSRole: Sendable { case client, server }

/// What a step of a handshake did.
enum TLSStep {
    case complete
    /// Nothing now; the socket's event will say when.
    case wantsRead
    case wantsWrite
    case failed(TLSFailure)
}

/// What a read or a write did.
enum TLSResult {
    case bytes(Int)
    /// Nothing now; the socket's event will say when.
    case wantsRead
    case wantsWrite
    /// The peer has sent its close_notify, so nothing is missing (reads only).
    case closed
    case failed(TLSFailure)
}
