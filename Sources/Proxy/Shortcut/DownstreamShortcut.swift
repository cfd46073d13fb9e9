import WeftABI

/// What a client's connection has to do with the programs that may decide about its requests.
struct DownstreamShortcut: BitwiseCopyable {
    /// The client's socket, whose place in the shared memory this is; 0: the programs decide nothing here.
    var client: UInt64 = 0
    /// Bytes received from the client, modulo 2^32.
    var taken: UInt32 = 0
    /// The programs may take, or have taken, the next request.
    var isOffered = false
    /// What the client sends waits for the end of a response that goes past the worker.
    var isWaiting = false
    /// The leg that has ended, or speaks, while a response is awaited from it: it is looked at again in a while.
    var suspect = Self.none
    /// Offers in a row of which nothing was taken, and requests for which none is made therefore.
    var fruitless: UInt8 = 0
    var rest: UInt8 = 0
    /// The table that its requests are decided by, and its generation; 0: none yet.
    var table: UInt32 = 0
    var generation: UInt32 = 0
    /// FNV-1a of the Host that the table is for.
    var host: UInt64 = 0
    /// Requests that the programs have taken, as far as they are counted.
    var requests: UInt64 = 0
    /// Upstreams; `.max`: none.
    var legs = InlineArray<8, UInt32>(repeating: .max)
    var legCount: UInt8 = 0
    /// The standby process has the client's socket, and those of all legs.
    var isHeld = false
    var areLegsHeld = false

    static let none = UInt8.max
    static let capacity = Int(WEFT_SHORTCUT_LEGS)
}
