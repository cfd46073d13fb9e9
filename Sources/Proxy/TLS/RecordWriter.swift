import CLinux
import Glibc

/// What is sent to a TLS 1.3 peer once the handshake is done: plain bytes in records (RFC 8446 §5). One of the few files
/// with unsafe code.
///
/// Several records go out with one send(2).
@safe struct RecordWriter: ~Copyable {
    /// Records of the largest size that one send(2) takes.
    private static let recordsAtOnce = 4
    private static let overhead = RecordCipher.headerSize + 1 + RecordCipher.tagSize
    private static let keyUpdateSize = keyUpdate.count + overhead
    private static let capacity = recordsAtOnce * (overhead + RecordCipher.largestPlain + keyUpdateSize)
    /// A KeyUpdate that asks for none in return.
    private static let keyUpdate: [UInt8] = [24, 0, 0, 1, 0]

    private let suite: RecordSuite
    private let library: TLSLibrary
    private let isPortable: Bool
    private var secret: TrafficSecret
    private var cipher: RecordCipher
    /// `capacity` bytes; nil: nothing is kept.
    private var memory: UnsafeMutableRawPointer?
    /// Records that the socket has not taken, and the plain bytes that are in those that it was given last.
    private var start = 0
    private var end = 0
    private var sealed = 0
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
    /// - Parameter recordsPerKey: the key is changed after so many.
    mutating func write(_ source: UnsafeRawBufferPointer, _ descriptor: CInt, recordsPerKey: UInt64) -> Transfer {
        var taken = 0
        while true {
            if start < end {
                let whole = end - start
                let result = send(descriptor)
                guard case .bytes(let count) = result else { return taken > 0 ? .bytes(taken) : result }
                // The socket's event will say when there is room for the rest.
                guard count == whole else { return taken > 0 ? .bytes(taken) : .wouldBlock }
                taken += sealed
                sealed = 0
            }
            guard taken < source.count else { return .bytes(taken) }
            guard unsafe seal(UnsafeRawBufferPointer(rebasing: source[taken...]), recordsPerKey) else {
                return .failed(ENOMEM)
            }
        }
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
        let memory = unsafe takeMemory()
        (start, end, sealed) = (0, 0, 0)
        for _ in 0..<Self.recordsAtOnce {
            let count = min(source.count - sealed, RecordCipher.largestPlain)
            guard count > 0 else { break }
            if mustUpdate || cipher.sequence >= recordsPerKey {
                guard unsafe changeKey(memory) else { return false }
            }
            let part = unsafe UnsafeRawBufferPointer(rebasing: source[sealed..<sealed + count])
            end += unsafe cipher.seal(part, kind: RecordKind.data, to: memory + end)
            sealed += count
        }
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
