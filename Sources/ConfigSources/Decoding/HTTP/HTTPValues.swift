import Mesh

/// The characters of HTTP and URL syntax.
enum HTTPSyntax {
    /// A token (RFC 9110 §5.6.2): field names, methods, cookie names.
    static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: tokenMarks.contains(byte)
                }
            }
    }

    private static let tokenMarks = Set("!#$%&'*+-.^_`|~".utf8)

    /// A field value (RFC 9110 §5.5): visible characters, with spaces and tabs between them.
    static func isFieldValue(_ text: String) -> Bool {
        func isBlank(_ byte: UInt8?) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        let bytes = text.utf8
        return bytes.allSatisfy { ($0 > 0x20 && $0 != 0x7f) || isBlank($0) } && !isBlank(bytes.first)
            && !isBlank(bytes.last)
    }

    /// `pchar`, "/" and percent escapes (RFC 3986 §3.3).
    static func isPath(_ text: String) -> Bool {
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                continue
            case UInt8(ascii: "%"):
                guard rest.prefix(2).count(where: isHexDigit) == 2 else { return false }
                rest = rest.dropFirst(2)
            default: guard pathMarks.contains(byte) else { return false }
            }
        }
        return true
    }

    private static let pathMarks = Set("-/._~!$&'()*+,;=:@".utf8)

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 32)
    }

    /// A host name in lower case (RFC 1123), at most 253 characters.
    static func isHostname(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard (1...253).contains(bytes.count) else { return false }
        return bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            func isWord(_ byte: UInt8?) -> Bool {
                guard let byte else { return false }
                return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            }
            return isWord(label.first) && isWord(label.last)
                && label.allSatisfy { isWord($0) || $0 == UInt8(ascii: "-") }
        }
    }
}

extension YAMLValue {
    /// Reports a list that is longer than the API allows.
    func checkCount(_ maximum: Int, of what: String) {
        guard isSequence else { return }
        var count = 0
        forEachElement { _ in count += 1 }
        if count > maximum { report("\(count) \(what), but at most \(maximum) are allowed") }
    }

    /// A string of 1 to `maximum` bytes.
    func text(maximum: Int, what: String) -> String? {
        guard let text = string() else { return nil }
        guard (1...maximum).contains(text.utf8.count) else {
            report(text.isEmpty ? "\(what) is required" : "\(what) of more than \(maximum) characters")
            return nil
        }
        return text
    }

    /// A header's name, as written.
    func headerName() -> String? {
        guard let text = text(maximum: 256, what: "a header name") else { return nil }
        guard HTTPSyntax.isToken(text) else {
            report("\"\(text.prefix(64))\" is not a header name (RFC 9110 §5.6.2)")
            return nil
        }
        return text
    }

    /// A header's value, in which only letters, marks, spaces and tabs are.
    func headerValue(allowsEmpty: Bool = false) -> String? {
        if allowsEmpty, let text = string(), text.isEmpty { return text }
        guard let text = text(maximum: 4096, what: "a header value") else { return nil }
        guard HTTPSyntax.isFieldValue(text) else {
            report("\"\(text.prefix(64))\" is not a header value (RFC 9110 §5.5)")
            return nil
        }
        return text
    }

    /// A host name without a wildcard.
    func hostname() -> String? {
        guard let text = string() else { return nil }
        guard HTTPSyntax.isHostname(text) else {
            report("\"\(text.prefix(64))\" is not a host name such as web.example.com (lower case, no port)")
            return nil
        }
        return text
    }

    /// An HTTP method as on the wire.
    func methodName() -> String? {
        choice([
            "GET": "GET", "HEAD": "HEAD", "POST": "POST", "PUT": "PUT", "DELETE": "DELETE", "CONNECT": "CONNECT",
            "OPTIONS": "OPTIONS", "TRACE": "TRACE", "PATCH": "PATCH",
        ])
    }

    /// A regular expression in the syntax of RE2.
    func expression(maximum: Int = 1024) -> String? {
        guard let text = text(maximum: maximum, what: "an expression") else { return nil }
        if let problem = RegularExpressionSyntax.problem(in: text) {
            report("\"\(text.prefix(64))\" is not a regular expression in the syntax of RE2: \(problem)")
            return nil
        }
        return text
    }

    /// A status code in `range`.
    func statusCode(_ range: ClosedRange<Int64> = 200...599) -> UInt16? {
        integer(range, what: "a status code").map { UInt16($0) }
    }

    func count32(_ range: ClosedRange<Int64> = 0...Int64(UInt32.max)) -> UInt32? {
        integer(range).map { UInt32($0) }
    }

    // MARK: - Decimals

    /// A number, decimals allowed.
    func decimal(_ range: ClosedRange<Double>, what: String = "a number") -> Double? {
        let limits = "(\(range.lowerBound.formatted)...\(range.upperBound.formatted))"
        guard let value = number else {
            if !isNull { report("expected \(what) \(limits)") }
            return nil
        }
        guard range.contains(value) else {
            report("\(value.formatted) is not \(what) \(limits)")
            return nil
        }
        return value
    }

    /// Percent, as parts of a million.
    func percentage() -> UInt32? {
        decimal(0...100, what: "a percentage").map { UInt32(($0 * 10_000).rounded()) }
    }

    // MARK: - Durations

    /// A Gateway API duration (GEP-2257: `([0-9]{1,5}(h|m|s|ms)){1,4}`) in milliseconds.
    func milliseconds(atLeast minimum: UInt32 = 0) -> UInt32? {
        guard let text = string() else { return nil }
        guard let value = GatewayDuration.milliseconds(text), let result = UInt32(exactly: value) else {
            report("\"\(text.prefix(64))\" is not a duration such as 10s, 500ms or 1m30s")
            return nil
        }
        guard result >= minimum else {
            report("\(text) is less than \(minimum)ms")
            return nil
        }
        return result
    }

    /// A duration in whole seconds, at least one.
    func wholeSeconds() -> UInt32? {
        guard let milliseconds = milliseconds() else { return nil }
        guard milliseconds % 1000 == 0, milliseconds > 0 else {
            report("\(string() ?? "") is not in whole seconds, at least 1s")
            return nil
        }
        return milliseconds / 1000
    }

    /// One of Istio's durations: protobuf's (`1.5s`) and Go's (`1m30s`, `250ms`), in milliseconds.
    func istioMilliseconds(atLeast minimum: UInt32 = 0) -> UInt32? {
        guard let text = string() else { return nil }
        guard let value = GatewayDuration.decimalMilliseconds(text), value < Double(UInt32.max) else {
            report("\"\(text.prefix(64))\" is not a duration such as 10s, 0.5s, 500ms or 1m30s")
            return nil
        }
        guard value >= Double(minimum) else {
            report("\(text) is less than \(minimum)ms")
            return nil
        }
        return UInt32(value.rounded())
    }
}

/// The forms in which durations are written.
enum GatewayDuration {
    /// GEP-2257.
    static func milliseconds(_ text: String) -> Int? {
        var total = 0
        var parts = 0
        var rest = text[...]
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest[digits.endIndex...]
            let unit = rest.prefix { ("a"..."z").contains($0) }
            rest = rest[unit.endIndex...]
            let factors = ["h": 3_600_000, "m": 60000, "s": 1000, "ms": 1]
            guard (1...5).contains(digits.count), let value = Int(digits), let factor = factors[String(unit)] else {
                return nil
            }
            total += value * factor
            parts += 1
        }
        return (1...4).contains(parts) ? total : nil
    }

    /// Numbers with decimals and units down to nanoseconds.
    static func decimalMilliseconds(_ text: String) -> Double? {
        var total = 0.0
        var rest = text[...]
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) || $0 == "." }
            rest = rest[digits.endIndex...]
            let unit = rest.prefix { ("a"..."z").contains($0) }
            rest = rest[unit.endIndex...]
            let factors = ["h": 3_600_000, "m": 60000, "s": 1000, "ms": 1, "us": 1e-3, "ns": 1e-6]
            guard (1...16).contains(digits.count), digits.first != ".", digits.last != ".", let value = Double(digits),
                let factor = factors[String(unit)]
            else { return nil }
            total += value * factor
        }
        return total
    }
}

extension Double {
    /// Without decimals where it has none.
    fileprivate var formatted: String { self == rounded() && abs(self) < 1e15 ? "\(Int(self))" : "\(self)" }
}
