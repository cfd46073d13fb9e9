/// Room for the parts of the request that is being looked at: its fields, and its path and host where they are not in
/// their normal forms. One for each worker: it is filled for one request, and read before the next. One of the few files
/// with unsafe code.
@safe struct RequestReader: ~Copyable {
    var fields = FieldTable()
    private let path: UnsafeMutableBufferPointer<UInt8>
    private var pathCount = 0
    private let host: UnsafeMutableBufferPointer<UInt8>
    private var hostCount = 0

    init() {
        unsafe path = .allocate(capacity: HeadLimits.target + 1)
        unsafe host = .allocate(capacity: HeadLimits.target)
    }

    deinit {
        unsafe path.deallocate()
        unsafe host.deallocate()
    }

    /// Prepares the path and the host of a request that was parsed into `fields`. nil: they are fit to be looked at.
    mutating func normalize(_ head: RequestHead, _ bytes: RawSpan, rejectsEncodedSlashes: Bool) -> PathError? {
        if head.hostHasUppercase {
            hostCount = min(Int(head.host.count), unsafe host.count)
            for index in 0..<hostCount {
                let byte = bytes[Int(head.host.start) + index]
                unsafe host[index] = byte.isUppercase ? byte | 0x20 : byte
            }
        }
        if head.path.isEmpty {
            unsafe path[0] = UInt8(ascii: head.form == .asterisk ? "*" : "/")
            pathCount = 1
        } else if head.needsNormalization {
            var output = unsafe MutableSpan(_unsafeElements: path)
            switch PathNormalizer.normalize(
                bytes[head.path], rejectsEncodedSlashes: rejectsEncodedSlashes, into: &output)
            {
            case .normalized(let count): pathCount = count
            case .rejected(let error): return error
            }
        }
        return nil
    }

    /// The request, valid until the next one is parsed.
    @_lifetime(borrow self)
    func view(_ head: RequestHead, _ bytes: RawSpan, source: UInt64, client: ClientAddress) -> RequestView {
        let path =
            head.path.isEmpty || head.needsNormalization
            ? unsafe RawSpan(_unsafeStart: path.baseAddress.unsafelyUnwrapped, byteCount: pathCount) : bytes[head.path]
        let host =
            head.hostHasUppercase
            ? unsafe RawSpan(_unsafeStart: host.baseAddress.unsafelyUnwrapped, byteCount: hostCount) : bytes[head.host]
        let view = RequestView(
            bytes: bytes, head: head, fields: fields.fields, path: path, host: host, source: source, client: client)
        return unsafe _overrideLifetime(view, borrowing: self)
    }
}
