/// How a call of gRPC ended.
/// Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
struct GRPCStatus: Error, Equatable {
    enum Code: Int {
        case invalidArgument = 3
        case permissionDenied = 7
        case resourceExhausted = 8
        case unimplemented = 12
        case unavailable = 14
    }

    let code: Code
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    var fields: [(name: String, value: String)] {
        [("grpc-status", "\(code.rawValue)"), ("grpc-message", Self.encode(message))]
    }

    /// Everything but visible ASCII, and the percent sign, is escaped.
    static func encode(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            if (0x20...0x7e).contains(byte), byte != UInt8(ascii: "%") {
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += byte < 16 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return encoded
    }
}

/// Messages of gRPC as they are in the body: a byte that says whether it is compressed, four bytes of length, the message.
enum GRPCFrame {
    static let prefix = 5

    static func wrap(_ message: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [0]
        bytes.reserveCapacity(Self.prefix + message.count)
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: message.count >> shift))
        }
        bytes += message
        return bytes
    }

    /// The one message that `body` has to be.
    static func unwrap(_ body: [UInt8]) throws(GRPCStatus) -> ArraySlice<UInt8> {
        guard body.count >= prefix else { throw GRPCStatus(.invalidArgument, "the request has no message") }
        guard body[0] == 0 else { throw GRPCStatus(.unimplemented, "compressed messages are not read") }
        let length = body[1..<prefix].reduce(0) { $0 << 8 | Int($1) }
        guard length == body.count - prefix else {
            throw GRPCStatus(.invalidArgument, "the request is not one message of the length that it says")
        }
        return body[prefix...]
    }
}
