/// The labels of a series as they are written between the braces. Two series are the same when these bytes are.
public struct MetricLabels: Hashable, Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public init(_ labels: [(name: String, value: String)]) {
        for (name, value) in labels { append(name, value) }
    }

    /// Appends one label; the value is escaped, the name has to be a valid label name.
    public mutating func append(_ name: String, _ value: String) {
        if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
        bytes.append(contentsOf: name.utf8)
        bytes.append(UInt8(ascii: "="))
        bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\\"), UInt8(ascii: "\""):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case UInt8(ascii: "\n"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(UInt8(ascii: "n"))
            default:
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// These labels and one more.
    public func adding(_ name: String, _ value: String) -> MetricLabels {
        var more = self
        more.append(name, value)
        return more
    }
}
