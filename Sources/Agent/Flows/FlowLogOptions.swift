/// Where flow records are kept on disk.
public struct FlowLogOptions: Sendable, Equatable {
    /// Nil: nowhere.
    public var file: String?
    /// Of one file: bytes.
    public var maxBytes = 100_000_000
    /// Files, the one that is written among them.
    public var files = 5

    public init() {}

    /// `100MB`, `512KiB`, `1GB`, or bytes: at least 4096 of them. Nil for anything else.
    public static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let units: [String: Int] = [
            "": 1, "B": 1, "KB": 1000, "MB": 1_000_000, "GB": 1_000_000_000, "KIB": 1 << 10, "MIB": 1 << 20,
            "GIB": 1 << 30,
        ]
        guard let count = Int(digits), let unit = units[text.dropFirst(digits.count).uppercased()] else { return nil }
        let (bytes, isTooMuch) = count.multipliedReportingOverflow(by: unit)
        return isTooMuch || bytes < 4096 || bytes > 1 << 44 ? nil : bytes
    }
}
