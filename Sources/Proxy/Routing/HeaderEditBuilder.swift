import Mesh

/// Puts successive modifications of header fields together into one: what is dropped, and what is written afterwards.
struct HeaderEditBuilder {
    /// Lower-case.
    private(set) var dropped: Set<String> = []
    private var fields: [(name: String, field: HeaderModification.Field)] = []
    /// In place of Host's value.
    private(set) var host: String?
    private let isRequest: Bool

    /// Fields that belong to the connection or frame the body: the proxy alone writes them.
    static let reserved: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade",
        "content-length",
    ]

    init(_ modification: HeaderModification, isRequest: Bool = false) {
        self.isRequest = isRequest
        apply(modification)
    }

    var isEmpty: Bool { dropped.isEmpty && fields.isEmpty && host == nil }

    /// The lines of the fields that are written.
    var text: String { fields.map { "\($0.field.name): \($0.field.value)\r\n" }.joined() }

    mutating func apply(_ modification: HeaderModification) {
        for name in modification.remove { drop(name.lowercased()) }
        for field in modification.set {
            let name = field.name.lowercased()
            guard write(field, name) else { continue }
            drop(name)
            fields.append((name, field))
        }
        for field in modification.add {
            let name = field.name.lowercased()
            if write(field, name) { fields.append((name, field)) }
        }
    }

    private mutating func drop(_ name: String) {
        fields.removeAll { $0.name == name }
        guard !Self.reserved.contains(name), !(isRequest && name == "host") else { return }
        dropped.insert(name)
    }

    /// Whether the field is written as a line.
    private mutating func write(_ field: HeaderModification.Field, _ name: String) -> Bool {
        guard Self.isValue(field.value) else { return false }
        // A request has exactly one Host.
        if isRequest, name == "host" || name == ":authority" {
            host = field.value
            return false
        }
        return Self.isToken(name) && !Self.reserved.contains(name)
    }

    /// RFC 9110 section 5.6.2.
    static func isToken(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// Whether it cannot end its line.
    static func isValue(_ value: String) -> Bool {
        value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 9 }
    }
}
