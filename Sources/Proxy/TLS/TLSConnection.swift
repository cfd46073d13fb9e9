import CLinux
import COpenSSL
import Glibc

/// A TLS 1.3 connection over a non-blocking socket, which it does not own. Of the thread of its `TLSContexts`.
///
/// The handshake is libssl's. The records that follow are read by `RecordReader`, and made by the kernel or by `RecordWriter`:
/// libssl 3.0 allocates four times for each record, copies its bytes once more and needs a system call for each. A read or a
/// write allocates nothing in steady state. One of the few files with unsafe code.
@safe struct TLSConnection: ~Copyable {
    private let connection: OpaquePointer
    private let outcome: HandshakeOutcome
    /// Holds what the SSL_CTX and the library context point to.
    private let verifier: PeerVerifier
    /// Once it has failed it stays so.
    private var failure: TLSFailure?
    private var isEstablished = false
    private let descriptor: CInt
    private let kernel: KernelTLS
    /// Once the handshake is complete; and one of the writers then.
    private var reader: RecordReader?
    private var writer: RecordWriter?
    private var kernelWriter: KernelRecordWriter?
    private var isDrained = false
    /// The peer's records end at a FIN of which no event will tell: `hasMore` is true until it is found.
    var hasEnding = false

    /// After so many the key is changed: an AES-GCM key is good for 2^24.5 full records (RFC 8446 §5.5). Where the kernel
    /// has it and cannot change it, the connection is `isWorn` then, and fails after twice as many.
    var recordsPerKey: UInt64 = 1 << 23

    /// - Parameter connection: becomes owned.
    init(_ connection: OpaquePointer, verifier: PeerVerifier, descriptor: CInt, kernel: KernelTLS = .none) {
        unsafe self.connection = connection
        self.kernel = kernel
        self.verifier = verifier
        self.descriptor = descriptor
        outcome = HandshakeOutcome()
        unsafe SSL_set_ex_data(connection, 0, Unmanaged.passUnretained(outcome).toOpaque())
    }

    deinit { unsafe SSL_free(connection) }

    static func outcome(_ connection: OpaquePointer) -> HandshakeOutcome? {
        guard let outcome = unsafe SSL_get_ex_data(connection, 0) else { return nil }
        return unsafe Unmanaged<HandshakeOutcome>.fromOpaque(outcome).takeUnretainedValue()
    }

    /// Whom the peer has proved to be, once the handshake is complete.
    var peer: PeerIdentity? { isEstablished ? outcome.peer : nil }

    /// Never, as things are: each connection proves identities anew.
    var isResumed: Bool { unsafe SSL_session_reused(connection) == 1 }

    /// Whether the kernel encrypts what is written.
    var usesKernelTLS: Bool { kernelWriter != nil }

    /// Nothing new should be begun on it: its key is used up before long.
    var isWorn: Bool { kernelWriter?.isWorn(recordsPerKey) ?? false }

    /// Goes on with the handshake, to be called until it is complete or has failed.
    ///
    /// A client's is complete before the server has verified the client's certificate (RFC 8446 §4.4.4), so a client that
    /// is refused finds out with its first read.
    mutating func handshake() -> TLSStep {
        if let failure { return .failed(failure) }
        let result = unsafe SSL_do_handshake(connection)
        if result == 1 {
            guard outcome.peer != nil, isSpeakingHTTP2 else { return .failed(fail(.noALPN)) }
            guard takeRecords() else { return .failed(fail(.io)) }
            outcome.clearSecrets()
            isEstablished = true
            return .complete
        }
        switch stop(result) {
        case .wantsRead: return .wantsRead
        case .wantsWrite: return .wantsWrite
        case .failed(let failure): return .failed(failure)
        case .bytes, .closed: return .failed(fail(.peerClosed))
        }
    }

    /// Goes on without libssl, which has read nothing behind the handshake and has written nothing. False: no memory.
    private mutating func takeRecords() -> Bool {
        let identifier = unsafe SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(connection))
        guard let suite = RecordSuite(rawValue: identifier), unsafe SSL_has_pending(connection) == 0,
            outcome.clientSecret.count == suite.secretSize, outcome.serverSecret.count == suite.secretSize
        else { return false }
        let isServer = unsafe SSL_is_server(connection) == 1
        let (ours, theirs) =
            isServer ? (outcome.serverSecret, outcome.clientSecret) : (outcome.clientSecret, outcome.serverSecret)
        reader = RecordReader(isServer: isServer, suite, theirs, verifier.library)
        kernelWriter = KernelRecordWriter(descriptor, suite, ours, verifier.library, kernel)
        if kernelWriter == nil { writer = RecordWriter(suite, ours, verifier.library) }
        unsafe SSL_free_buffers(connection)
        return reader != nil && (writer != nil || kernelWriter != nil)
    }

    /// Decrypted bytes, of as many records as have arrived and `target` has room for.
    ///
    /// Records may be waiting in memory, of which the socket's event knows nothing: read until `wantsRead`, or as long as
    /// `hasMore`.
    /// - Parameter target: not empty.
    mutating func read(into target: UnsafeMutableRawBufferPointer) -> TLSResult {
        guard failure == nil, let outcome = unsafe reader?.read(descriptor, into: target) else {
            return .failed(failure ?? .protocolError)
        }
        return result(outcome)
    }

    /// Whether another read may give something before the socket's next event.
    var hasMore: Bool { hasEnding || !isDrained }

    private mutating func result(_ outcome: RecordReader.Outcome) -> TLSResult {
        isDrained = reader?.isDrained ?? false
        if reader?.isUpdateRequested == true {
            reader?.isUpdateRequested = false
            writer?.mustUpdate = true
            kernelWriter?.mustUpdate = true
        }
        switch outcome {
        case .bytes(let count): return .bytes(count)
        case .wantsRead: return .wantsRead
        case .closed: return .closed
        case .alert(let number): return .failed(fail(TLSFailure(alert: number)))
        case .fault(let fault):
            alert(fault.rawValue, isFatal: true)
            return .failed(fail(fault.failure))
        case .ended: return .failed(fail(.peerClosed))
        case .failed(let error): return .failed(fail(TLSFailure(socket: error)))
        }
    }

    /// Takes the bytes or the first of them: all that the socket has room for, in whole records.
    ///
    /// A record that the socket took only in part is kept encrypted. So bytes that were offered and not taken must be
    /// offered again, at least as many, before others; they may have moved.
    /// - Parameters:
    ///   - source: not empty.
    ///   - isLast: false: they may wait for others, that go out with the same call; `flush` has to follow.
    mutating func write(_ source: UnsafeRawBufferPointer, isLast: Bool = true) -> TLSResult {
        guard failure == nil else { return .failed(failure ?? .protocolError) }
        if let transfer = unsafe writer?.write(source, descriptor, isLast: isLast, recordsPerKey: recordsPerKey) {
            return result(transfer)
        }
        if let transfer = unsafe kernelWriter?.write(source, descriptor, recordsPerKey: recordsPerKey) {
            return result(transfer)
        }
        return .failed(.protocolError)
    }

    private mutating func result(_ transfer: Transfer) -> TLSResult {
        switch transfer {
        case .bytes(let count): return .bytes(count)
        case .wouldBlock, .end: return .wantsWrite
        case .failed(let error): return .failed(fail(TLSFailure(socket: error)))
        }
    }

    /// Sends what `write` has let wait. `bytes`: nothing waits any more.
    mutating func flush() -> TLSResult {
        guard failure == nil, isEstablished else { return .failed(failure ?? .protocolError) }
        guard let transfer = writer?.flush(descriptor) else { return .bytes(0) }
        return result(transfer)
    }

    /// Says that nothing more will be written, if the socket takes it; reads go on.
    mutating func shutdown() {
        guard failure == nil, isEstablished else { return }
        alert(0, isFatal: false)
    }

    private mutating func alert(_ number: UInt8, isFatal: Bool) {
        writer?.alert(number, isFatal: isFatal, descriptor)
        kernelWriter?.alert(number, isFatal: isFatal, descriptor)
    }

    /// Gives the buffers of a connection that is idle back; the next read and write make new ones.
    mutating func releaseBuffers() {
        reader?.releaseBuffer()
        writer?.releaseBuffer()
    }

    func stillAccepted(by verifier: PeerVerifier, now: Int64) -> TLSFailure? {
        unsafe verifier.stillAccepts(outcome, connection: connection, now: now)
    }

    /// `h2` was agreed on, and nothing else.
    private var isSpeakingHTTP2: Bool {
        var name: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        unsafe SSL_get0_alpn_selected(connection, &name, &length)
        guard length == 2, let name = unsafe name else { return false }
        return unsafe name[0] == 0x68 && name[1] == 0x32
    }

    /// Why an operation did not go on.
    private mutating func stop(_ result: CInt) -> TLSResult {
        let systemError = weft_errno()
        // libssl takes any error in the thread's queue for its own; what others have left there is none of this connection.
        if ERR_GET_LIB(ERR_peek_last_error()) != ERR_LIB_SSL { ERR_clear_error() }
        switch unsafe SSL_get_error(connection, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .closed
        case SSL_ERROR_SSL:
            return .failed(fail(outcome.failure ?? TLSFailure(reason: ERR_GET_REASON(ERR_peek_last_error()))))
        default:
            return .failed(fail(TLSFailure(socket: systemError)))
        }
    }

    private mutating func fail(_ reason: TLSFailure) -> TLSFailure {
        failure = reason
        ERR_clear_error()
        return reason
    }
}
