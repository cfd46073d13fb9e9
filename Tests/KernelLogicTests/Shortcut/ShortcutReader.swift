import WeftABI

/// bpf/lib/shortcut.h over bytes in memory: what the program does with the head that a message begins with.
@safe final class ShortcutReader {
    enum Kind: Int32, Sendable { case request, response }

    private let scan: UnsafeMutablePointer<weft_http_scan>
    private let place: UnsafeMutablePointer<weft_shortcut_head>
    private let window: UnsafeMutableRawPointer

    init() {
        unsafe scan = .allocate(capacity: 1)
        unsafe scan.initialize(to: weft_http_scan())
        unsafe place = .allocate(capacity: 1)
        unsafe place.initialize(to: weft_shortcut_head())
        let offset = MemoryLayout<weft_http_scan>.offset(of: \.window) ?? 0
        unsafe window = UnsafeMutableRawPointer(scan) + offset
    }

    deinit {
        unsafe scan.deallocate()
        unsafe place.deallocate()
    }

    /// Of what was read last.
    var head: weft_shortcut_head { unsafe place.pointee }
    var hasHost: Bool { head.seen & WEFT_SHORTCUT_HAS_HOST.rawValue != 0 }
    var hasLength: Bool { head.seen & WEFT_SHORTCUT_HAS_LENGTH.rawValue != 0 }
    var isChunked: Bool { head.seen & WEFT_SHORTCUT_CHUNKED.rawValue != 0 }
    var headLength: Int { Int(head.line) }
    var host: Range<Int> { Int(head.host)..<Int(head.host) + Int(head.host_length) }
    /// As much of it as is compared.
    var path: [UInt8] {
        unsafe withUnsafeBytes(of: &place.pointee.path) { unsafe Array($0.prefix(Int(place.pointee.path_length))) }
    }

    /// Whether the bytes begin with a head that the program understands. What an earlier one has left in the window stays
    /// behind the bytes, as it does there.
    ///
    /// - Parameter count: of the bytes, how many the message has.
    func reads(_ bytes: [UInt8], _ kind: Kind, count: Int? = nil) -> Bool {
        let wanted = min(count ?? bytes.count, bytes.count, Int(WEFT_HTTP_ROOM))
        guard wanted > 0 else { return false }
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            unsafe window.copyMemory(from: base, byteCount: wanted)
        }
        switch kind {
        case .request: return unsafe weft_shortcut_read_request(place, scan, UInt32(wanted)) != 0
        case .response: return readsResponse(UInt32(wanted))
        }
    }

    func reads(_ text: String, _ kind: Kind) -> Bool { reads(Array(text.utf8), kind) }

    private func readsResponse(_ end: UInt32) -> Bool {
        guard unsafe weft_shortcut_status_line(place, scan, end) != 0 else { return false }
        for _ in 0..<Int(WEFT_SHORTCUT_LINES) {
            guard unsafe weft_shortcut_line(place, scan, 1) != 0 else { return false }
            if head.seen & WEFT_SHORTCUT_COMPLETE.rawValue != 0 { return true }
        }
        return false
    }

    /// How much is in the chunks that the bytes are from `start` to their end; nil: the program does not take them.
    func content(ofChunks bytes: [UInt8], from start: Int) -> Int? {
        var place = start
        var content = 0
        for number in 0..<Int(WEFT_SHORTCUT_CHUNKS) {
            let line = bytes.dropFirst(place).prefix(Int(WEFT_SHORTCUT_CHUNK_LINE))
            guard !line.isEmpty else { return nil }
            unsafe line.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                unsafe window.copyMemory(from: base, byteCount: buffer.count)
            }
            let length = unsafe weft_shortcut_chunk(self.place, scan, UInt32(line.count), number == 0 ? 1 : 0)
            guard length > 0 else { return nil }
            place += Int(length)
            if head.chunk == 0 { return place == bytes.count ? content : nil }
            place += Int(head.chunk)
            content += Int(head.chunk)
        }
        return nil
    }

    /// What is in the window, margin included, before the next head is read into it.
    func soil(_ bytes: [UInt8]) {
        let room = Int(WEFT_HTTP_ROOM) + Int(WEFT_HTTP_MARGIN)
        guard !bytes.isEmpty else { return }
        for index in 0..<room {
            unsafe window.storeBytes(of: bytes[index % bytes.count], toByteOffset: index, as: UInt8.self)
        }
    }
}
