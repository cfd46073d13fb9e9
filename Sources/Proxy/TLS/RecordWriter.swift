import CLinux
import Glibc

/// What is sent to a TLS 1.3 peer once the handshake is done: plain bytes in records (RFC 8446 §5). One of the few files
/// with unsafe code.
///
/// Several records go out with one send(2).
@safe struct RecordWriter: ~Copyable {
    /// Records of the largest size that one send(2) takes. Who reads them is woken with the first, and had better find many.
    private static let recordsAtOnce = 16
    private static let overhead = RecordCipher.headerSize + 1 + RecordCipher.tagSize
    private static let keyUpdateSize = keyUpdate.count + overhead
    private static let capacity = recordsAtOnce * (overhead + RecordCipher.largestPlain + keyUpdateSize)
    /// A KeyUpdate that asks for none in return.
    static let keyUpdate: [UInt8] = [24, 0, 0, 1, 0]

    private let suite: RecordSuite
    private let library: TLSLibrary
    private let isPortable: Bool
    private var secret: TrafficSecret
    private var cipher: RecordCipher
    /// `capacity` bytes; nil: nothing is kept.
    private var memory: UnsafeMutableRawPointer?
    /// Records that the socket has not taken.
    private var start = 0
    private var end = 0
    /// How many bytes of what was offered last are in them and have not been reported as taken.
    private var sealed = 0
    /// The socket has taken a part, and nothing is put behind the rest.
    private var isBlocked = false
    /// The key is changed in front of the next data.
    var mustUpdate = false

    init?(_ suite: RecordSuite, _ secret: TrafficSecret, _ library: TLSLibrary, isPortable: Bool = false) {
        guard let cipher = RecordCipher(.sealing, suite, secret, library, isPortable: isPortable) else { return nil }
        self.suite = suite
        self.secret = secret
        self.library = library
        self.isPortable = isPortable
        self.cipher = cipher
    }

    deinit { unsafe memory?.deallocate() }

    /// Sends the bytes, or the first of them. What was offered and not taken is offered again, at least as much, before
    /// anything else: it may have been sealed already.
    /// - Parameters:
    ///   - isLast: false: they may wait for others, that one call sends; `flush` says that there are none.
    ///   - recordsPerKey: the key is changed after so many.
    mutating func write(
        _ source: UnsafeRawBufferPointer, _ descriptor: CInt, isLast: Bool, recordsPerKey: UInt64
    ) -> Transfer {
        var taken = 0
        while true {
            if !isBlocked {
                guard unsafe seal(UnsafeRawBufferPointer(rebasing: source[(taken + sealed)...]), recordsPerKey) else {
                    return .failed(ENOMEM)
                }
                if !isLast, hasRoom {
                    taken += sealed
                    sealed = 0
                    return .bytes(taken)
                }
            }
            guard start < end else { return .bytes(taken) }
            switch flush(descriptor) {
            case .bytes:
                taken += sealed
                sealed = 0
            case let result: return taken > 0 ? .bytes(taken) : result
            }
            if taken == source.count { return .bytes(taken) }
        }
    }

    /// Sends what waits. `bytes`: nothing does any more.
    mutating func flush(_ descriptor: CInt) -> Transfer {
        guard start < end else { return .bytes(0) }
        let whole = end - start
        let result = send(descriptor)
        isBlocked = true
        guard case .bytes(let count) = result else { return result }
        // The socket's event will say when there is room for the rest.
        guard count == whole else { return .wouldBlock }
        (start, end) = (0, 0)
        isBlocked = false
        return .bytes(count)
    }

    /// For another record of the largest size, and a change of keys.
    private var hasRoom: Bool {
        Self.capacity - end >= Self.overhead + RecordCipher.largestPlain + Self.keyUpdateSize
    }

    /// Sends an alert if that is possible at once; nobody waits for it.
    mutating func alert(_ number: UInt8, isFatal: Bool, _ descriptor: CInt) {
        guard start == end else { return }
        let bytes: (UInt8, UInt8) = (isFatal ? 2 : 1, number)
        let memory = unsafe takeMemory()
        (start, end) = (0, 0)
        unsafe withUnsafeBytes(of: bytes) { end = unsafe cipher.seal($0, kind: RecordKind.alert, to: memory) }
        _ = send(descriptor)
        (start, end) = (0, 0)
        isBlocked = false
    }

    /// Gives the memory back if nothing is in it.
    mutating func releaseBuffer() {
        guard start == end else { return }
        unsafe memory?.deallocate()
        unsafe memory = nil
    }

    private mutating func takeMemory() -> UnsafeMutableRawPointer {
        let memory = unsafe self.memory ?? .allocate(byteCount: Self.capacity, alignment: 64)
        unsafe self.memory = memory
        return unsafe memory
    }

    /// Makes records of as much as there is room for. False: there is no memory for another key.
    private mutating func seal(_ source: UnsafeRawBufferPointer, _ recordsPerKey: UInt64) -> Bool {
        var position = 0
        while position < source.count, hasRoom {
            let memory = unsafe takeMemory()
            let count = min(source.count - position, RecordCipher.largestPlain)
            if mustUpdate || cipher.sequence >= recordsPerKey {
                guard unsafe changeKey(memory) else { return false }
            }
            let part = unsafe UnsafeRawBufferPointer(rebasing: source[position..<position + count])
            end += unsafe cipher.seal(part, kind: RecordKind.data, to: memory + end)
            position += count
        }
        sealed += position
        return true
    }

    private mutating func changeKey(_ memory: UnsafeMutableRawPointer) -> Bool {
        guard let next = secret.next(suite, library),
            let cipher = RecordCipher(.sealing, suite, next, library, isPortable: isPortable)
        else { return false }
        unsafe Self.keyUpdate.withUnsafeBytes {
            end += unsafe self.cipher.seal($0, kind: RecordKind.handshake, to: memory + end)
        }
        secret = next
        self.cipher = cipher
        mustUpdate = false
        return true
    }

    private mutating func send(_ descriptor: CInt) -> Transfer {
        guard let memory = unsafe memory else { return .wouldBlock }
        let result = unsafe Transfer(Glibc.send(descriptor, memory + start, end - start, Sockets.sendFlags))
        if case .bytes(let count) = result { start += count }
        return result
    }
}
