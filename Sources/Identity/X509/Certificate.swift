// Unsafe code of this file: X509 handles, which live as long as the objects that own them.

import COpenSSL
import Glibc
public import Mesh

/// An X.509 certificate (RFC 5280), read from DER. Nothing but its form has been checked.
@safe public final class Certificate: @unchecked Sendable, Equatable {
    // Safe to share: the certificate is not changed after `init`, which also makes OpenSSL cache what it derives.
    let pointer: OpaquePointer
    public let der: [UInt8]
    /// Seconds since 1970.
    public let notBefore: Int64
    public let notAfter: Int64

    /// Reads DER; what comes after the certificate is an error too.
    public init(der: [UInt8]) throws(IdentityError) {
        let decoded = unsafe OpenSSL.decoded(
            der, { place, count in unsafe d2i_X509(nil, place, count) }, free: { unsafe X509_free($0) })
        guard let decoded = unsafe decoded else { throw IdentityError(.malformed, "it is not an X.509 certificate") }
        // Extensions that contradict each other or are not encoded as they should be show here (EXFLAG_INVALID).
        guard unsafe X509_check_purpose(decoded, -1, 0) == 1,
            let notBefore = unsafe Self.seconds(X509_get0_notBefore(decoded)),
            let notAfter = unsafe Self.seconds(X509_get0_notAfter(decoded))
        else {
            ERR_clear_error()
            unsafe X509_free(decoded)
            throw IdentityError(.malformed, "the certificate has extensions or times that are not valid")
        }
        unsafe pointer = decoded
        self.der = der
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    deinit { unsafe X509_free(pointer) }

    public static func == (a: Certificate, b: Certificate) -> Bool { a.der == b.der }

    /// SHA-256 of the DER.
    public var fingerprint: [UInt8] { OpenSSL.sha256(der) }

    /// In hexadecimal digits, as `openssl x509 -serial` prints it but in lower case.
    public var serial: String {
        unsafe Self.text(serial: X509_get0_serialNumber(pointer))
    }

    /// In the form of RFC 2253: `CN=node-a,O=Weft`.
    public var subject: String { unsafe Self.text(X509_get_subject_name(pointer)) }
    public var issuer: String { unsafe Self.text(X509_get_issuer_name(pointer)) }

    /// The first common name of the subject.
    public var commonName: String? {
        let name = unsafe X509_get_subject_name(pointer)
        let index = unsafe X509_NAME_get_index_by_NID(name, NID_commonName, -1)
        guard index >= 0, let entry = unsafe X509_NAME_get_entry(name, index),
            let value = unsafe X509_NAME_ENTRY_get_data(entry)
        else { return nil }
        return String(decoding: unsafe OpenSSL.bytes(of: value), as: UTF8.self)
    }

    /// The URIs of the subject's alternative names.
    public var uris: [String] {
        guard let extensionValue = unsafe X509_get_ext_d2i(pointer, NID_subject_alt_name, nil, nil) else {
            ERR_clear_error()
            return []
        }
        let names = OpaquePointer(extensionValue)
        defer { unsafe GENERAL_NAMES_free(names) }
        var uris: [String] = []
        let count = unsafe OPENSSL_sk_num(names)
        for index in 0..<max(count, 0) {
            guard let raw = unsafe OPENSSL_sk_value(names, index) else { continue }
            let name = unsafe raw.assumingMemoryBound(to: GENERAL_NAME.self)
            guard unsafe name.pointee.type == GEN_URI, let uri = unsafe name.pointee.d.uniformResourceIdentifier else {
                continue
            }
            uris.append(String(decoding: unsafe OpenSSL.bytes(of: uri), as: UTF8.self))
        }
        return uris
    }

    /// Its SPIFFE id: that of its only URI. Nil if it has none or several (X509-SVID §2: those have to be refused).
    public var spiffeID: SPIFFEID? {
        let uris = self.uris
        return uris.count == 1 ? SPIFFEID(uris[0]) : nil
    }

    /// Whether it may sign certificates: CA:true, and keyCertSign where the usage is given.
    public var isAuthority: Bool {
        let flags = unsafe X509_get_extension_flags(pointer)
        guard flags & UInt32(EXFLAG_CA) != 0 else { return false }
        return unsafe flags & UInt32(EXFLAG_KUSAGE) == 0 || X509_get_key_usage(pointer) & UInt32(KU_KEY_CERT_SIGN) != 0
    }

    /// How many authorities may follow below; nil: any number.
    public var pathLength: Int? {
        let length = unsafe X509_get_pathlen(pointer)
        return length < 0 ? nil : Int(length)
    }

    /// The subject key identifier, in hexadecimal digits; nil if it has none.
    public var keyIdentifier: String? {
        guard let identifier = unsafe X509_get0_subject_key_id(pointer) else { return nil }
        return hexadecimal(unsafe OpenSSL.bytes(of: identifier))
    }

    /// Whether its key signed itself.
    public var isSelfSigned: Bool { isSigned(by: self) }

    /// Whether `other` is named as its issuer and its key made the signature.
    public func isSigned(by other: Certificate) -> Bool {
        guard unsafe X509_check_issued(other.pointer, pointer) == X509_V_OK,
            let key = unsafe X509_get0_pubkey(other.pointer)
        else { return false }
        let result = unsafe X509_verify(pointer, key)
        ERR_clear_error()
        return result == 1
    }

    /// Whether `key` is its private key.
    public func belongs(to key: PrivateKey) -> Bool {
        let result = unsafe X509_check_private_key(pointer, key.pointer)
        ERR_clear_error()
        return result == 1
    }

    static func text(serial: UnsafePointer<ASN1_INTEGER>?) -> String {
        guard let value = unsafe ASN1_INTEGER_to_BN(serial, nil) else { return "" }
        defer { unsafe BN_free(value) }
        guard let text = unsafe BN_bn2hex(value) else { return "" }
        defer { unsafe CRYPTO_free(text, nil, 0) }
        return unsafe String(cString: text).lowercased()
    }

    static func text(_ name: OpaquePointer?) -> String {
        guard let output = unsafe BIO_new(BIO_s_mem()) else { return "" }
        defer { unsafe BIO_free(output) }
        guard unsafe X509_NAME_print_ex(output, name, 0, weft_rfc2253_utf8()) >= 0 else { return "" }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe BIO_read(output, $0.baseAddress, CInt($0.count)) }
        return count > 0 ? String(decoding: bytes[..<Int(count)], as: UTF8.self) : ""
    }

    /// Seconds since 1970.
    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        var parts = unsafe tm()
        guard unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Int64(unsafe timegm(&parts))
    }
}
