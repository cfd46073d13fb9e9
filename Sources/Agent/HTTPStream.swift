/// The writer of a response that stays open: one text line (NDJSON) after the other, until either side ends it.
///
/// Confined to the reactor's thread. Writing never blocks; a reader that lags behind by more than the limit gets a last
/// line that says so and loses its connection.
public final class HTTPStream {
    /// Called once when the stream is over, whoever ended it.
    public var onClose: (() -> Void)? {
        didSet { if !isOpen { finish() } }
    }

    private weak var connection: HTTPConnection?
    /// Whether what is written still reaches the reader.
    public private(set) var isOpen = true

    init(connection: HTTPConnection) { self.connection = connection }

    /// Appends bytes to the response. Returns false when the stream is over and nothing was written.
    @discardableResult
    public func write(_ bytes: [UInt8]) -> Bool {
        guard isOpen, let connection else { return false }
        return connection.append(toStream: bytes)
    }

    /// Ends the response after what was written.
    public func end() {
        guard isOpen else { return }
        let connection = connection
        finish()
        connection?.endStream()
    }

    /// The connection is gone or takes no more.
    func finish() {
        isOpen = false
        connection = nil
        guard let onClose else { return }
        self.onClose = nil
        onClose()
    }
}
