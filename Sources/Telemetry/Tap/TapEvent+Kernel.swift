import WeftABI

extension TapEvent {
    /// Reads an event of the kernel's ring `taps`; nil if it is none.
    ///
    /// - Parameter bytes: a `struct weft_tap_event`.
    public init?(kernel bytes: RawSpan, directory: some NameDirectory, clock: WallClock) {
        guard bytes.byteCount >= MemoryLayout<weft_tap_event>.size else { return nil }
        let event = unsafe bytes.unsafeLoadUnaligned(as: weft_tap_event.self)
        let kind: Kind
        switch UInt32(event.kind) {
        case WEFT_TAP_REQUEST.rawValue: kind = .request
        case WEFT_TAP_RESPONSE.rawValue: kind = .response
        default: return nil
        }
        self.init(kind, ID(connection: event.cookie, number: UInt64(event.number)))
        func name(_ id: UInt64, _ name: String?) -> String? { id == 0 ? nil : name ?? "#" + String(id, radix: 16) }
        func endpoint(_ address: weft_address, _ port: UInt16) -> String? {
            address.high | address.low == 0 ? nil : AddressText.text(address, port: port)
        }
        time = clock.unixNanoseconds(monotonic: event.at_ns)
        lane = Terms.lane(event.lane)
        direction = UInt32(event.reporter) == WEFT_REPORTER_DESTINATION.rawValue ? "inbound" : "outbound"
        let source = directory.workload(event.source)
        from = name(event.source, source?.fullName)
        sourcePrincipal = source.flatMap { $0.principal.isEmpty ? nil : $0.principal }
        to = name(event.service, directory.service(event.service)?.fullName)
        destination = name(event.destination, directory.workload(event.destination)?.fullName)
        sourceAddress = endpoint(event.client_address, event.client_port)
        destinationAddress = endpoint(event.server_address, event.server_port)
        if kind == .request {
            let start = Self.lineOffset
            takeLine(bytes.extracting(start..<start + min(Int(event.line_length), Int(WEFT_TAP_LINE))))
        } else {
            status = event.status == 0 ? nil : event.status
            outcome = Terms.outcome(event.outcome)
            durationMicroseconds = event.duration_us
            firstByteMicroseconds = event.first_byte_us == 0 ? nil : event.first_byte_us
            requestBytes = event.request_bytes
            responseBytes = event.response_bytes
        }
    }

    private static var lineOffset: Int { MemoryLayout<weft_tap_event>.offset(of: \.line) ?? 0 }

    /// Method and target of a request's first line, as far as it is there.
    private mutating func takeLine(_ line: RawSpan) {
        let bytes = unsafe line.withUnsafeBytes { unsafe Array($0) }
        // The line may have been cut; what it has at its end otherwise is no part of it.
        let kept = bytes.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") && $0 != 0 }
        let parts = kept.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty else { return }
        method = String(decoding: first, as: UTF8.self)
        guard parts.count == 2 else { return }
        let target = parts[1].prefix { $0 != UInt8(ascii: " ") }
        if !target.isEmpty { path = String(decoding: target, as: UTF8.self) }
    }
}
