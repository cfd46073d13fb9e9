import WeftABI

/// One entry of a map, decoded.
struct MapEntry: Equatable, Sendable {
    /// The key as it is typed for `map get`.
    var key: String
    var record: Record
}

/// How one of Weft's maps is read, shown and searched.
struct MapTable: Sendable {
    let name: String
    let summary: String
    /// How its keys are typed.
    let keyForm: String
    let dump: @Sendable (NodeMaps, Resolver) throws -> [MapEntry]
    /// The entries that a typed key names.
    let find: @Sendable (NodeMaps, Resolver, String) throws -> [MapEntry]
    let size: @Sendable (NodeMaps) throws -> MapSize

    /// - Parameters:
    ///   - parse: the exact key that a text names; nil if it names none. Without an entry of that key the entries are
    ///     searched for those whose key reads the same.
    ///   - key: the text of a key.
    ///   - fields: all facts of an entry, those of its key first.
    init<Key, Value>(
        _ name: String, _ summary: String, keyForm: String,
        reader: @escaping @Sendable (NodeMaps) -> MapReader<Key, Value>,
        parse: @escaping @Sendable (String, Resolver) throws -> Key?,
        key: @escaping @Sendable (Key, Resolver) -> String,
        fields: @escaping @Sendable (Key, Value, Resolver) -> [Field]
    ) {
        @Sendable func entry(_ entryKey: Key, _ value: Value, _ resolver: Resolver) -> MapEntry {
            MapEntry(key: key(entryKey, resolver), record: Record(fields(entryKey, value, resolver)))
        }
        self.name = name
        self.summary = summary
        self.keyForm = keyForm
        size = { try reader($0).size() }
        dump = { maps, resolver in
            try reader(maps).entries().map { entry($0.key, $0.value, resolver) }.sorted(by: Self.precedes)
        }
        find = { maps, resolver, text in
            if let exact = try parse(text, resolver), let value = try reader(maps).get(exact) {
                return [entry(exact, value, resolver)]
            }
            return try reader(maps).entries().map { entry($0.key, $0.value, resolver) }
                .filter { Self.names(text, $0.key) }
                .sorted(by: Self.precedes)
        }
    }

    /// A text names a key whole, by the part before `/`, or by what follows or precedes `@` or `#`.
    private static func names(_ text: String, _ key: String) -> Bool {
        key == text || key.hasSuffix("@" + text) || ["/", "@", "#"].contains { key.hasPrefix(text + $0) }
    }

    /// By the first two columns, then by the key.
    private static func precedes(_ a: MapEntry, _ b: MapEntry) -> Bool {
        naturally("\(a.record.sortKey)\t\(a.key)", "\(b.record.sortKey)\t\(b.key)")
    }

    static func named(_ name: String) -> MapTable? { all.first { $0.name == name } }

    static let all: [MapTable] =
        serviceTables + proxyTables + workloadTables + policyTables + counterTables + accelerationTables + stateTables
}

/// Alphabetical order in which runs of digits count as numbers: `10.0.0.9` before `10.0.0.10`.
func naturally(_ a: String, _ b: String) -> Bool {
    var left = Array(a.utf8)[...]
    var right = Array(b.utf8)[...]
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    while let x = left.first, let y = right.first {
        if isDigit(x), isDigit(y) {
            let first = left.prefix(while: isDigit).drop { $0 == 0x30 }
            let second = right.prefix(while: isDigit).drop { $0 == 0x30 }
            if first.count != second.count { return first.count < second.count }
            if !first.elementsEqual(second) { return first.lexicographicallyPrecedes(second) }
            left = left.drop(while: isDigit)
            right = right.drop(while: isDigit)
        } else if x != y {
            return x < y
        } else {
            left = left.dropFirst()
            right = right.dropFirst()
        }
    }
    return left.isEmpty && !right.isEmpty
}
