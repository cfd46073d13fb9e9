import CLinux
import COpenSSL
import Glibc

/// What is sent to a TLS 1.3 peer where the kernel makes the records (its `tls` module). One of the few files with unsafe
/// code.
///
/// The receiving direction is not given to it: a peer may change its keys whenever it likes (RFC 8446 §4.6.3), which kernels
/// cannot follow before Linux 6.14, and what comes unencrypted out of a socket must be looked at record by record.
@safe struct KernelRecordWriter {
    private let suite: RecordSuite
    private let library: TLSLibrary
    private let canUpdate: Bool
    private var secret: TrafficSecret
    /// What the key at hand has encrypted, in records of the largest size, of which small ones are parts.
    private var records: UInt64 { blocks / Self.blocksPerRecord }
    private var blocks: UInt64 = 0
    /// The peer wants the key to be changed in front of the next data.
    var mustUpdate = false

    /// Of AES.
    private static let blocksPerRecord = UInt64(RecordCipher.largestPlain / 16)

    /// nil: the kernel refuses, and the socket sends as before.
    /// - Parameters:
    ///   - descriptor: a connected TCP socket; all that libssl has sent is in its queue.
    ///   - secret: of which no record has been made.
    init?(
        _ descriptor: CInt, _ suite: RecordSuite, _ secret: TrafficSecret, _ library: TLSLibrary, _ kernel: KernelTLS
    ) {
        guard kernel != .none,
            unsafe Self.giveKey(suite, secret, library, to: { unsafe weft_kernel_tls_send(descriptor, $0, $1, $2) })
        else { return nil }
        self.suite = suite
        self.library = library
        self.secret = secret
        canUpdate = kernel == .updates
    }

    /// Whether the connection should be replaced by another: its key has made many records and cannot be changed.
    func isWorn(_ recordsPerKey: UInt64) -> Bool { !canUpdate && records >= recordsPerKey }

    /// Sends the bytes, or the first of them.
    /// - Parameter recordsPerKey: the key is changed after so many, or refused after twice as many if it cannot be.
    mutating func write(_ source: UnsafeRawBufferPointer, _ descriptor: CInt, recordsPerKey: UInt64) -> Transfer {
        if mustUpdate || records >= recordsPerKey, canUpdate {
            let result = changeKey(descriptor)
            guard case .bytes = result else { return result }
        }
        guard !mustUpdate, records < 2 * recordsPerKey else {
            alert(0, isFatal: false, descriptor)
            return .failed(ENOTSUP)
        }
        let result = unsafe Transfer(weft_send(descriptor, source.baseAddress, source.count, Sockets.sendFlags))
        if case .bytes(let count) = result {
            let made = (count + RecordCipher.largestPlain - 1) / RecordCipher.largestPlain
            // Of each, two for what is not data: the tag, and the kind with the length.
            blocks += UInt64((count + 15) / 16 + 2 * made)
        }
        return result
    }

    /// Sends an alert if that is possible at once; nobody waits for it.
    func alert(_ number: UInt8, isFatal: Bool, _ descriptor: CInt) {
        let bytes: [UInt8] = [isFatal ? 2 : 1, number]
        _ = unsafe weft_kernel_tls_record(descriptor, RecordKind.alert, bytes, bytes.count)
    }

    private mutating func changeKey(_ descriptor: CInt) -> Transfer {
        guard let next = secret.next(suite, library) else { return .failed(ENOMEM) }
        let message = RecordWriter.keyUpdate
        let result = unsafe Transfer(
            weft_kernel_tls_record(descriptor, RecordKind.handshake, message, message.count))
        guard case .bytes = result else { return result }
        guard
            unsafe Self.giveKey(suite, next, library, to: { unsafe weft_kernel_tls_change_key(descriptor, $0, $1, $2) })
        else { return .failed(ENOTSUP) }
        secret = next
        blocks = 0
        mustUpdate = false
        return result
    }

    private static func giveKey(
        _ suite: RecordSuite, _ secret: TrafficSecret, _ library: TLSLibrary,
        to take: (UnsafeRawPointer?, Int, UnsafeRawPointer?) -> CInt
    ) -> Bool {
        guard var key = secret.expand("key", suite.keySize, suite, library),
            let nonce = secret.expand("iv", RecordCipher.nonceSize, suite, library)
        else { return false }
        return unsafe key.withUnsafeMutableBytes { key in
            defer { unsafe OPENSSL_cleanse(key.baseAddress, key.count) }
            return unsafe nonce.withUnsafeBytes { unsafe take(key.baseAddress, key.count, $0.baseAddress) == 0 }
        }
    }
}
