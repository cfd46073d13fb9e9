import FoundationEssentials

/// A line of the agent's `/v1/tap`.
struct TapLine: Decodable, Equatable {
    var event: String
    var id: String?
    var time: String?
    var lane: String?
    var direction: String?
    var from: String?
    var sourcePrincipal: String?
    var to: String?
    var destination: String?
    var sourceAddress: String?
    var destinationAddress: String?
    var method: String?
    var authority: String?
    var path: String?
    var status: UInt16?
    var outcome: String?
    var flags: String?
    var durationMicroseconds: UInt64?
    var firstByteMicroseconds: UInt64?
    var requestBytes: UInt64?
    var responseBytes: UInt64?
    /// Of `dropped`: requests beyond the viewer's rate, and events that were lost on their way.
    var overRate: UInt64?
    var lost: UInt64?

    private enum CodingKeys: String, CodingKey {
        case event, id, time, lane, direction, from, to, destination, method, authority, path, status, outcome, flags,
            lost
        case sourcePrincipal = "source_principal"
        case sourceAddress = "source_address"
        case destinationAddress = "destination_address"
        case durationMicroseconds = "duration_us"
        case firstByteMicroseconds = "first_byte_us"
        case requestBytes = "request_bytes"
        case responseBytes = "response_bytes"
        case overRate = "over_rate"
    }

    init(_ line: [UInt8]) throws(Failure) {
        if let end = StreamEnd(line) { throw .unknown(end.error) }
        do {
            self = try JSONDecoder().decode(TapLine.self, from: Data(line))
        } catch {
            throw .unknown("a line of the agent's tap is not understood (is it of another version?): \(error)")
        }
    }

    /// As Linkerd's tap prints it.
    ///
    /// - Parameter isWide: with workloads and service beside the addresses.
    /// - Returns: nil for what is no request.
    func text(isWide: Bool) -> String? {
        guard event == "request" || event == "response" else { return nil }
        var line = event == "request" ? "req" : "rsp"
        func add(_ key: String, _ value: String?) {
            if let value { line += " \(key)=\(Self.escaped(value))" }
        }
        add("id", id)
        add("proxy", direction == "inbound" ? "in" : "out")
        add("lane", lane)
        add("src", sourceAddress ?? "-")
        add("dst", destinationAddress ?? "-")
        if isWide {
            add("src_res", from ?? sourcePrincipal)
            add("dst_res", destination)
            add("dst_svc", to)
        }
        add(":method", method)
        add(":authority", authority)
        add(":path", path)
        guard event == "response" else { return line }
        add(":status", status.map { "\($0)" } ?? "-")
        add("latency", firstByteMicroseconds.map { "\($0)µs" })
        add("duration", durationMicroseconds.map { "\($0)µs" })
        add("request-length", requestBytes.map { "\($0)B" })
        add("response-length", responseBytes.map { "\($0)B" })
        if let outcome, !["complete", "via_upstream"].contains(outcome) { add("outcome", outcome) }
        add("flags", flags)
        return line
    }

    /// What a client has chosen cannot end the value, the line or a terminal's mode.
    private static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnfit) else { return text }
        return text.unicodeScalars.reduce(into: "") { escaped, scalar in
            guard isUnfit(scalar) else { return escaped.unicodeScalars.append(scalar) }
            let digits = String(scalar.value, radix: 16)
            escaped += scalar == "\\" ? #"\\"# : #"\x"# + (digits.utf8.count == 1 ? "0" : "") + digits
        }
    }

    private static func isUnfit(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value <= 0x20 || (0x7f...0xa0).contains(scalar.value) || scalar == "\\"
            || scalar.properties.generalCategory == .format || scalar.properties.generalCategory == .lineSeparator
            || scalar.properties.generalCategory == .paragraphSeparator
    }
}
