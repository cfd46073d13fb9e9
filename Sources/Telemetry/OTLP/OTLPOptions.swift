public import Proxy

/// Where telemetry goes that is pushed: a collector that takes OTLP over HTTP.
/// Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
public struct OTLPOptions: Sendable {
    /// The collector's base URL: `/v1/traces` and the others are appended to its path.
    public var endpoint: HTTPURL
    /// Fields that each request has, credentials for instance.
    public var headers: [(name: String, value: String)] = []
    /// For one request and its answer, milliseconds.
    public var timeout: UInt64 = 10_000

    public init(_ endpoint: HTTPURL) { self.endpoint = endpoint }

    /// `name=value,name=value`, where values may be percent-encoded, as in OTEL_EXPORTER_OTLP_HEADERS; nil for anything
    /// else, and for fields that cannot be sent.
    public static func headers(_ text: String) -> [(name: String, value: String)]? {
        var headers: [(name: String, value: String)] = []
        for part in text.split(separator: ",") {
            guard let equals = part.firstIndex(of: "="), let value = decoded(part[part.index(after: equals)...])
            else { return nil }
            let name = trimmed(part[..<equals])
            guard HTTPClient.Request.isField(name: name, value: value) else { return nil }
            headers.append((name, value))
        }
        return headers
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }

    /// nil: a `%` without two digits.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = trimmed(text).utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let digits = String(rest.prefix(2)), let value = UInt8(digits, radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Kinds of telemetry that a collector takes.
public enum OTLPSignal: String, Sendable, CaseIterable {
    case traces, logs

    /// Behind the endpoint's path.
    var path: String { "/v1/\(rawValue)" }
    /// Whose losses they are in `weft_events_lost_total`.
    public var source: String { "otlp_\(rawValue)" }
}
