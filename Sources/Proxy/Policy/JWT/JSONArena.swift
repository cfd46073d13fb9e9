/// Room for one JSON text and its values, filled anew for each. One of the few files with unsafe code.
@safe struct JSONArena: ~Copyable {
    private let base: UnsafeMutableBufferPointer<UInt8>
    private let places: UnsafeMutableBufferPointer<JSONNode>
    private(set) var byteCount = 0
    private(set) var nodeCount = 0

    /// - Parameters:
    ///   - bytes: the longest text.
    ///   - nodes: the most values in it.
    init(bytes: Int, nodes: Int) {
        unsafe base = .allocate(capacity: bytes)
        unsafe places = .allocate(capacity: nodes)
    }

    deinit {
        unsafe base.deallocate()
        unsafe places.deallocate()
    }

    var capacity: Int { unsafe base.count }

    mutating func removeAll() {
        byteCount = 0
        nodeCount = 0
    }

    /// False: there is no room.
    mutating func append(byte: UInt8) -> Bool {
        guard byteCount < capacity else { return false }
        unsafe base[byteCount] = byte
        byteCount += 1
        return true
    }

    mutating func append(_ bytes: RawSpan) -> Bool {
        guard bytes.byteCount <= capacity - byteCount else { return false }
        for index in 0..<bytes.byteCount { unsafe base[byteCount + index] = bytes[index] }
        byteCount += bytes.byteCount
        return true
    }

    /// What was read; meaningful after `read()` has succeeded.
    var view: JSONView {
        @_lifetime(borrow self)
        get {
            let text = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(base)).extracting(0..<byteCount)
            let nodes = unsafe Span(_unsafeElements: UnsafeBufferPointer(places)).extracting(0..<nodeCount)
            let view = JSONView(text: text, nodes: nodes)
            return unsafe _overrideLifetime(view, borrowing: self)
        }
    }

    subscript(index: Int) -> UInt8 {
        @inline(__always) get {
            precondition(index >= 0 && index < byteCount)
            return unsafe base[index]
        }
        @inline(__always) set {
            precondition(index >= 0 && index < byteCount)
            unsafe base[index] = newValue
        }
    }

    /// False: there is no room.
    mutating func append(_ node: JSONNode) -> Bool {
        guard unsafe nodeCount < places.count else { return false }
        unsafe places[nodeCount] = node
        nodeCount += 1
        return true
    }

    mutating func close(_ node: Int) {
        precondition(node >= 0 && node < nodeCount)
        unsafe places[node].end = UInt32(nodeCount)
    }
}
