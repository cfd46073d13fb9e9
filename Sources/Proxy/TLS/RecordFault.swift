/// What a record carries (RFC 8446 §5.1).
enum RecordKind {
    static let alert: UInt8 = 21
    static let handshake: UInt8 = 22
    static let data: UInt8 = 23
}

/// What is wrong with what a peer has sent, by the alert that tells it so (RFC 8446 §6.2).
enum RecordFault: UInt8, Error {
    case unexpectedMessage = 10
    case badRecord = 20
    case recordOverflow = 22
    case decodeError = 50
    /// No memory for other keys.
    case internalError = 80

    var failure: TLSFailure {
        switch self {
        case .badRecord: .badRecord
        case .internalError: .io
        default: .protocolError
        }
    }
}

/// The messages that come after a handshake (RFC 8446 §4.6): of those that are allowed without having been asked for,
/// only the change of keys is of interest.
struct PostHandshakeMessages: BitwiseCopyable {
    private static let newSessionTicket: UInt8 = 4
    private static let keyUpdate: UInt8 = 24
    /// As large as a ticket of libssl's ever is, with room.
    private static let largestTicket = 1 << 16

    private var header: UInt32 = 0
    private var headerCount = 0
    /// Bytes of the message at hand that have not come.
    private var left = 0

    /// Whether a message has begun and not ended: nothing else may come in between.
    var isPartial: Bool { headerCount > 0 }

    /// Takes a record's bytes. nil: no change of keys; otherwise whether ours has to be changed, too.
    mutating func take(_ bytes: RawSpan, isServer: Bool) throws(RecordFault) -> Bool? {
        guard bytes.byteCount > 0 else { throw .unexpectedMessage }
        for index in 0..<bytes.byteCount {
            if headerCount < 4 {
                header = header << 8 | UInt32(bytes[index])
                headerCount += 1
                guard headerCount == 4 else { continue }
                left = Int(header & 0xff_ffff)
                switch UInt8(header >> 24) {
                case Self.keyUpdate: guard left == 1 else { throw .decodeError }
                case Self.newSessionTicket:
                    guard !isServer else { throw .unexpectedMessage }
                    guard left > 0, left <= Self.largestTicket else { throw .decodeError }
                default: throw .unexpectedMessage
                }
                continue
            }
            left -= 1
            guard left == 0 else { continue }
            let isKeyUpdate = header >> 24 == UInt32(Self.keyUpdate)
            self = Self()
            guard isKeyUpdate else { continue }
            // What follows has other keys, so it cannot be in the same record (RFC 8446 §5.1).
            guard index == bytes.byteCount - 1 else { throw .unexpectedMessage }
            switch bytes[index] {
            case 0: return false
            case 1: return true
            default: throw .decodeError
            }
        }
        return nil
    }
}
