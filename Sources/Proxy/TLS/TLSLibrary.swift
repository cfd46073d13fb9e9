import COpenSSL
import Synchronization

/// A library context of OpenSSL: its providers, its random generators, its caches of algorithms. One of the few files
/// with unsafe code.
///
/// Each worker has its own: the locks of the caches are taken hundreds of times in a handshake, and with a context of
/// their own two workers measure 2 to 8 % more handshakes for the same CPU.
///
/// It is never freed: every thread that has used one touches it when the thread ends, whoever freed it meanwhile. The
/// next worker takes those over that are left.
@safe final class TLSLibrary {
    /// nil: that of the process, which serves as well where there was no memory for one more.
    let context: OpaquePointer?

    /// Addresses of contexts that nobody uses.
    private static let left = Mutex<[UInt]>([])

    init() {
        let used = Self.left.withLock { $0.popLast() }
        unsafe context = used.flatMap { unsafe OpaquePointer(bitPattern: $0) } ?? OSSL_LIB_CTX_new()
    }

    deinit {
        guard let context = unsafe context else { return }
        let address = UInt(bitPattern: context)
        Self.left.withLock { $0.append(address) }
    }

    /// The one certificate that the bytes are, to be freed by the caller; nil if they are not exactly one.
    func certificate(_ bytes: [UInt8]) -> OpaquePointer? {
        var certificate = unsafe X509_new_ex(context, nil)
        let isWhole = unsafe Self.decode(bytes) { unsafe d2i_X509(&certificate, &$0, $1) != nil }
        if isWhole { return unsafe certificate }
        // OpenSSL has freed it and left nil, or has left it.
        unsafe X509_free(certificate)
        return nil
    }

    /// The one revocation list that the bytes are, to be freed by the caller; nil if they are not exactly one.
    func revocationList(_ bytes: [UInt8]) -> OpaquePointer? {
        var list = unsafe X509_CRL_new_ex(context, nil)
        let isWhole = unsafe Self.decode(bytes) { unsafe d2i_X509_CRL(&list, &$0, $1) != nil }
        if isWhole { return unsafe list }
        unsafe X509_CRL_free(list)
        return nil
    }

    /// The private key that the bytes are (PKCS #8), to be freed by the caller.
    func privateKey(_ bytes: [UInt8]) -> OpaquePointer? {
        var key: OpaquePointer?
        let isWhole = unsafe Self.decode(bytes) {
            unsafe key = d2i_AutoPrivateKey_ex(nil, &$0, $1, context, nil)
            return unsafe key != nil
        }
        if isWhole { return unsafe key }
        unsafe EVP_PKEY_free(key)
        return nil
    }

    /// Whether `read` takes all of the bytes.
    private static func decode(
        _ bytes: [UInt8], _ read: (inout UnsafePointer<UInt8>?, Int) -> Bool
    ) -> Bool {
        defer { ERR_clear_error() }
        return unsafe bytes.withUnsafeBufferPointer { bytes in
            guard let start = bytes.baseAddress else { return false }
            var position: UnsafePointer<UInt8>? = unsafe start
            return unsafe read(&position, bytes.count) && position == start + bytes.count
        }
    }
}
