import COpenSSL

/// What AES-GCM suite of TLS 1.3 a connection uses (RFC 8446 §B.4).
enum RecordSuite: UInt16, CaseIterable {
    case aes128GCM = 0x1301
    case aes256GCM = 0x1302

    var keySize: Int { self == .aes128GCM ? 16 : 32 }
    /// Of the hash that secrets are made with, and so of those.
    var secretSize: Int { self == .aes128GCM ? 32 : 48 }
    var digest: StaticString { self == .aes128GCM ? "SHA2-256" : "SHA2-384" }
    var cipher: StaticString { self == .aes128GCM ? "AES-128-GCM" : "AES-256-GCM" }
}

/// The secret that the keys of one direction of a connection come from (RFC 8446 §7.1). One of the few files with unsafe
/// code.
struct TrafficSecret: BitwiseCopyable {
    static let capacity = 48

    private var storage = InlineArray<48, UInt8>(repeating: 0)
    private(set) var count = 0

    init() {}

    /// - Parameter bytes: at most `capacity`; what is beyond it is left out.
    init(_ bytes: some Sequence<UInt8>) {
        for byte in bytes.prefix(Self.capacity) {
            storage[count] = byte
            count += 1
        }
    }

    /// A line of NSS's key log format ("LABEL client_random secret") that has the secret by this label.
    init?(line: UnsafePointer<CChar>, label: StaticString) {
        var position = unsafe line
        for index in 0..<label.utf8CodeUnitCount {
            guard unsafe UInt8(bitPattern: position.pointee) == label.utf8Start[index] else { return nil }
            unsafe position += 1
        }
        guard unsafe position.pointee == 0x20 else { return nil }
        unsafe position += 1
        while unsafe position.pointee != 0x20 {
            guard unsafe position.pointee != 0 else { return nil }
            unsafe position += 1
        }
        unsafe position += 1
        while let high = unsafe Self.digit(position.pointee) {
            guard let low = unsafe Self.digit(position[1]), count < Self.capacity else { return nil }
            storage[count] = high << 4 | low
            count += 1
            unsafe position += 2
        }
        guard unsafe position.pointee == 0, count > 0 else { return nil }
    }

    private static func digit(_ character: CChar) -> UInt8? {
        switch UInt8(bitPattern: character) {
        case let byte where byte >= 0x30 && byte <= 0x39: byte - 0x30
        case let byte where byte >= 0x61 && byte <= 0x66: byte - 0x61 + 10
        case let byte where byte >= 0x41 && byte <= 0x46: byte - 0x41 + 10
        default: nil
        }
    }

    /// HKDF-Expand-Label with an empty context; nil: OpenSSL has no memory, or not the digest.
    ///
    /// No more is ever asked for than the digest has, which is the first block of HKDF-Expand: one HMAC.
    func expand(_ label: StaticString, _ size: Int, _ suite: RecordSuite, _ library: TLSLibrary) -> [UInt8]? {
        precondition(count == suite.secretSize && size <= suite.secretSize)
        var info: [UInt8] = [0, UInt8(size), UInt8(6 + label.utf8CodeUnitCount)]
        info += Array("tls13 ".utf8)
        for index in 0..<label.utf8CodeUnitCount { unsafe info.append(label.utf8Start[index]) }
        info += [0, 1]
        var output = [UInt8](repeating: 0, count: suite.secretSize)
        var length = 0
        let made = unsafe withUnsafeBytes(of: storage) { key in
            unsafe EVP_Q_mac(
                library.context, "HMAC", nil, suite.digest.pointer, nil, key.baseAddress, count, info, info.count,
                &output, output.count, &length)
        }
        guard unsafe made != nil, length == suite.secretSize else {
            ERR_clear_error()
            return nil
        }
        output.removeLast(output.count - size)
        return output
    }

    /// The next one, after a KeyUpdate (RFC 8446 §7.2).
    func next(_ suite: RecordSuite, _ library: TLSLibrary) -> TrafficSecret? {
        expand("traffic upd", suite.secretSize, suite, library).map { TrafficSecret($0) }
    }
}

extension StaticString {
    /// Ended by a zero byte, as C has them.
    var pointer: UnsafePointer<CChar> { unsafe UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}
