/// Why a peer's connection is ended although nghttp2 would go on with it, or where nghttp2 itself gave up.
public enum HTTP2Violation: UInt8, Sendable, CaseIterable {
    case protocolError, emptyFrames, priorities, windowUpdates, controlFrames, resets, headers, outbound

    /// As metrics and logs name it.
    public var text: String {
        switch self {
        case .protocolError: "protocol_error"
        case .emptyFrames: "empty_frame_flood"
        case .priorities: "priority_flood"
        case .windowUpdates: "window_update_flood"
        case .controlFrames: "control_frame_flood"
        case .resets: "rapid_reset"
        case .headers: "header_flood"
        case .outbound: "outbound_queue"
        }
    }
}

/// How much of what costs the receiver more than the sender one peer may send: bounds as Envoy has them, since a
/// well-behaved peer stays far below. What nghttp2 bounds itself (CONTINUATION, settings of one frame, acknowledgements
/// that wait) is left to it.
struct HTTP2Guard: BitwiseCopyable {
    /// Permissions that come back with time.
    struct Bucket: BitwiseCopyable {
        private var level: UInt32
        private let capacity: UInt32
        private let perSecond: UInt32
        private var filled: UInt64 = 0

        init(_ capacity: UInt32, perSecond: UInt32) {
            level = capacity
            self.capacity = capacity
            self.perSecond = perSecond
        }

        /// - Parameter tick: milliseconds.
        mutating func take(_ tick: UInt64) -> Bool {
            let gained = (tick &- filled) &* UInt64(perSecond) / 1_000
            if gained > 0 {
                level = UInt32(min(UInt64(capacity), UInt64(level) + gained))
                filled = tick
            }
            guard level > 0 else { return false }
            level -= 1
            return true
        }
    }

    /// Streams that the peer or we have opened.
    var streams: UInt64 = 0
    /// In units of 16 KiB begun, so that large frames may be answered as if they were several.
    var dataSent: UInt64 = 0
    private var emptyFrames: UInt32 = 0
    private var priorities: UInt64 = 0
    private var windowUpdates: UInt64 = 0
    private var control = Bucket(200, perSecond: 50)
    private var resets = Bucket(250, perSecond: 25)
    private var headers = Bucket(100, perSecond: 10)

    private static let endStream: UInt8 = 0x1
    private static let acknowledgement: UInt8 = 0x1

    /// A frame's header has come (RFC 9113 §4.1). nil: go on.
    mutating func frame(type: UInt8, flags: UInt8, length: Int, tick: UInt64) -> HTTP2Violation? {
        switch type {
        case 0x0, 0x1, 0x9:
            let isEmpty = length == 0 && flags & Self.endStream == 0
            emptyFrames = isEmpty ? emptyFrames + 1 : 0
            return emptyFrames > 1 ? .emptyFrames : nil
        case 0x2:
            priorities += 1
            return priorities > 100 * (1 + streams) ? .priorities : nil
        case 0x8:
            windowUpdates += 1
            return windowUpdates > 5 + 2 * (streams + 10 * dataSent) ? .windowUpdates : nil
        case 0x3: return nil
        case 0x4, 0x6:
            if flags & Self.acknowledgement != 0 { return nil }
            return control.take(tick) ? nil : .controlFrames
        // GOAWAY, and what neither side knows.
        default: return control.take(tick) ? nil : .controlFrames
        }
    }

    /// A stream ended before it was of use to anybody: the peer has taken it back, or it was malformed (CVE-2023-44487,
    /// CVE-2025-8671).
    mutating func wastedStream(tick: UInt64) -> HTTP2Violation? { resets.take(tick) ? nil : .resets }

    /// A header block was larger than is read.
    mutating func oversizedHeaders(tick: UInt64) -> HTTP2Violation? { headers.take(tick) ? nil : .headers }
}
