import CLinux
import Glibc

/// Parts of memory that one call sends behind each other. One of the few files with unsafe code: whoever adds a part keeps
/// its memory until the parts are removed.
@safe struct SocketVector: ~Copyable {
    private static let capacity = 64

    private let parts: UnsafeMutablePointer<iovec>
    private var first = 0
    private var count = 0
    private(set) var byteCount = 0

    init() { unsafe parts = .allocate(capacity: Self.capacity) }

    deinit { unsafe parts.deallocate() }

    var isFull: Bool { count == Self.capacity }

    @unsafe mutating func add(_ bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return }
        precondition(count < Self.capacity)
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe parts[count] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        }
        count += 1
        byteCount += bytes.byteCount
    }

    mutating func removeAll() {
        first = 0
        count = 0
        byteCount = 0
    }

    /// Sends all parts, and keeps what was not taken.
    mutating func send(_ descriptor: CInt) -> Transfer {
        let sent: Int
        if count - first == 1 {
            // Most often there is one, and without a vector the kernel has less to look at.
            sent = unsafe Glibc.send(descriptor, parts[first].iov_base, parts[first].iov_len, Sockets.sendFlags)
        } else {
            var message = unsafe msghdr()
            unsafe message.msg_iov = parts + first
            unsafe message.msg_iovlen = count - first
            sent = unsafe sendmsg(descriptor, &message, Sockets.sendFlags)
        }
        guard sent > 0 else { return Transfer(sent) }
        byteCount -= sent
        var rest = sent
        while first < count, unsafe rest >= parts[first].iov_len {
            rest -= unsafe Int(parts[first].iov_len)
            first += 1
        }
        if rest > 0 {
            unsafe parts[first].iov_base += rest
            unsafe parts[first].iov_len -= rest
        }
        return .bytes(sent)
    }

    /// What is left of the parts, one after the other; nil at their end.
    @_lifetime(immortal)
    mutating func removeFirst() -> RawSpan? {
        guard first < count else { return nil }
        let part = unsafe parts[first]
        first += 1
        guard let base = unsafe part.iov_base else { return nil }
        let count = unsafe Int(part.iov_len)
        byteCount -= count
        let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
        return unsafe _overrideLifetime(span, copying: ())
    }
}
