/// A socket whose bytes a stream sends: they are read when the frame that carries them is made, straight behind its
/// header.
struct HTTP2Source: BitwiseCopyable {
    var descriptor: CInt = -1
    /// The peer may have bytes: its answer was positive.
    var isOpen = false
    /// The socket may have bytes to read.
    var isReadable = false
    /// A FIN or an error is behind them.
    var hasEnding = false
    /// nghttp2 asks no more until it is told to.
    var isDeferred = false
    /// END_STREAM has been sent.
    var hasEnded = false
    /// Whoever reads what it says is told of every piece.
    var isFollowed = false
    /// Bytes that were read.
    var byteCount: UInt64 = 0
}
