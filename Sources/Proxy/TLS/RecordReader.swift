import CLinux
import Glibc

/// What a TLS 1.3 peer sends once the handshake is done: its records, from the socket to plain bytes (RFC 8446 §5). One of
/// the few files with unsafe code.
///
/// One recv(2) takes several records, and each is decrypted straight to where its bytes are wanted.
@safe struct RecordReader: ~Copyable {
    enum Outcome {
        case bytes(Int)
        case wantsRead
        /// close_notify.
        case closed
        /// The number of another alert.
        case alert(UInt8)
        case fault(RecordFault)
        /// The socket's end, without close_notify.
        case ended
        case failed(CInt)
    }

    /// Records of the largest size that one recv(2) takes.
    private static let recordsAtOnce = 16
    private static let capacity = recordsAtOnce * (RecordCipher.headerSize + RecordCipher.largestBody)
    /// Records without data one after the other: as many as libssl takes.
    private static let idleLimit = 32
    private static let closeNotify: UInt8 = 0
    private static let userCanceled: UInt8 = 90

    private let isServer: Bool
    private let suite: RecordSuite
    private let library: TLSLibrary
    private let isPortable: Bool
    private var secret: TrafficSecret
    private var cipher: RecordCipher
    private var messages = PostHandshakeMessages()
    /// `capacity` bytes; nil: nothing is kept.
    private var memory: UnsafeMutableRawPointer?
    /// What has been received and not been decrypted.
    private var start = 0
    private var end = 0
    /// Plain bytes in front of it, for which there was no room.
    private var plainStart = 0
    private var plainEnd = 0
    private var idleRecords = 0
    /// What all reads say after the last bytes.
    private var ending: Outcome?
    /// The peer wants our keys to be changed.
    var isUpdateRequested = false
    /// recv(2) would say that there is nothing: what it said last was less than it could. An end behind the bytes is not
    /// known of then.
    private(set) var isDrained = false

    init?(
        isServer: Bool, _ suite: RecordSuite, _ secret: TrafficSecret, _ library: TLSLibrary, isPortable: Bool = false
    ) {
        guard let cipher = RecordCipher(.opening, suite, secret, library, isPortable: isPortable) else { return nil }
        self.isServer = isServer
        self.suite = suite
        self.secret = secret
        self.library = library
        self.isPortable = isPortable
        self.cipher = cipher
    }

    deinit { unsafe memory?.deallocate() }

    /// Decrypted bytes of as many records as there are and `target` has room for; it is not empty.
    mutating func read(_ descriptor: CInt, into target: UnsafeMutableRawBufferPointer) -> Outcome {
        guard let base = target.baseAddress else { return .wantsRead }
        var count = 0
        isDrained = false
        var hasReceived = false
        var wasShort = false
        while true {
            if plainStart < plainEnd, let memory = unsafe memory {
                let part = min(plainEnd - plainStart, target.count - count)
                unsafe (base + count).copyMemory(from: memory + plainStart, byteCount: part)
                plainStart += part
                count += part
                if count == target.count { return .bytes(count) }
            }
            if let ending { return count > 0 ? .bytes(count) : ending }
            if let size = recordSize {
                do throws(RecordFault) {
                    count += try unsafe open(
                        size, to: UnsafeMutableRawBufferPointer(rebasing: target[count...]))
                } catch {
                    ending = .fault(error)
                }
                if count == target.count { return .bytes(count) }
                continue
            }
            if ending != nil { continue }
            isDrained = wasShort
            if count > 0 { return .bytes(count) }
            if hasReceived, wasShort { return .wantsRead }
            switch receive(descriptor, &wasShort) {
            case .bytes: hasReceived = true
            case .wouldBlock:
                isDrained = true
                return .wantsRead
            case .end: ending = .ended
            case .failed(let error): ending = .failed(error)
            }
        }
    }

    /// Gives the memory back if nothing is in it.
    mutating func releaseBuffer() {
        guard start == end, plainStart == plainEnd else { return }
        unsafe memory?.deallocate()
        unsafe memory = nil
    }

    private mutating func receive(_ descriptor: CInt, _ wasShort: inout Bool) -> Transfer {
        let memory = unsafe self.memory ?? .allocate(byteCount: Self.capacity, alignment: 64)
        unsafe self.memory = memory
        // Less than a record is left.
        if start > 0 {
            unsafe memmove(memory, memory + start, end - start)
            end -= start
            start = 0
        }
        let room = Self.capacity - end
        let result = unsafe Transfer(recv(descriptor, memory + end, room, Sockets.receiveFlags))
        if case .bytes(let count) = result {
            end += count
            wasShort = count < room
        }
        return result
    }

    /// The size of the record at `start`, if all of it is there. Sets `ending` if it cannot be one.
    private var recordSize: Int? {
        mutating get {
            guard end - start >= RecordCipher.headerSize, let memory = unsafe memory else { return nil }
            let header = unsafe memory + start
            // Whatever is inside; its version means nothing (RFC 8446 §5.2).
            guard unsafe header.load(as: UInt8.self) == RecordKind.data else {
                ending = .fault(.unexpectedMessage)
                return nil
            }
            let high = unsafe Int(header.load(fromByteOffset: 3, as: UInt8.self))
            let body = unsafe high << 8 | Int(header.load(fromByteOffset: 4, as: UInt8.self))
            guard body <= RecordCipher.largestBody else {
                ending = .fault(.recordOverflow)
                return nil
            }
            // Room for its kind.
            guard body > RecordCipher.tagSize else {
                ending = .fault(.decodeError)
                return nil
            }
            let size = RecordCipher.headerSize + body
            return end - start >= size ? size : nil
        }
    }

    /// Decrypts the record at `start`, to `target` if that has room for it and where it is otherwise. The number of bytes
    /// in `target`.
    private mutating func open(_ size: Int, to target: UnsafeMutableRawBufferPointer) throws(RecordFault) -> Int {
        guard let memory = unsafe memory, let base = target.baseAddress else { return 0 }
        let header = unsafe memory + start
        let body = unsafe header + RecordCipher.headerSize
        let count = size - RecordCipher.headerSize
        let isDirect = target.count >= count - RecordCipher.tagSize
        let plain = unsafe isDirect ? base : body
        guard unsafe cipher.open(header: header, body: body, count: count, to: plain) else { throw .badRecord }
        var length = count - RecordCipher.tagSize
        // Padding is behind the kind (RFC 8446 §5.4).
        while length > 0, unsafe plain.load(fromByteOffset: length - 1, as: UInt8.self) == 0 { length -= 1 }
        guard length > 0 else { throw .unexpectedMessage }
        length -= 1
        guard length <= RecordCipher.largestPlain else { throw .recordOverflow }
        let kind = unsafe plain.load(fromByteOffset: length, as: UInt8.self)
        let offset = start + RecordCipher.headerSize
        start += size
        if kind == RecordKind.data, length > 0 {
            guard !messages.isPartial else { throw .unexpectedMessage }
            idleRecords = 0
            if isDirect { return length }
            (plainStart, plainEnd) = (offset, offset + length)
            return 0
        }
        idleRecords += 1
        guard idleRecords <= Self.idleLimit else { throw .unexpectedMessage }
        try take(kind, unsafe RawSpan(_unsafeStart: UnsafeRawPointer(plain), byteCount: length))
        return 0
    }

    private mutating func take(_ kind: UInt8, _ bytes: RawSpan) throws(RecordFault) {
        guard kind == RecordKind.handshake || !messages.isPartial else { throw .unexpectedMessage }
        switch kind {
        case RecordKind.data: break
        case RecordKind.handshake:
            guard let isRequest = try messages.take(bytes, isServer: isServer) else { return }
            guard let next = secret.next(suite, library),
                let cipher = RecordCipher(.opening, suite, next, library, isPortable: isPortable)
            else { throw .internalError }
            secret = next
            self.cipher = cipher
            if isRequest { isUpdateRequested = true }
        case RecordKind.alert:
            guard bytes.byteCount == 2 else { throw .decodeError }
            switch bytes[1] {
            case Self.closeNotify: ending = .closed
            case Self.userCanceled: break
            case let number: ending = .alert(number)
            }
        default: throw .unexpectedMessage
        }
    }
}
