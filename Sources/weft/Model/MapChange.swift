import Glibc

/// A difference between two looks at a map.
enum MapChange: Equatable {
    case added(MapEntry)
    case changed(from: MapEntry, to: MapEntry)
    case removed(MapEntry)

    /// In the order of the keys, as both looks have them.
    static func changes(from old: [MapEntry], to new: [MapEntry]) -> [MapChange] {
        let before = Dictionary(old.map { ($0.key, $0) }) { first, _ in first }
        let after = Set(new.map(\.key))
        let present: [MapChange] = new.compactMap { entry in
            guard let known = before[entry.key] else { return .added(entry) }
            return known.record.value == entry.record.value ? nil : .changed(from: known, to: entry)
        }
        return present + old.filter { !after.contains($0.key) }.map { .removed($0) }
    }

    /// One line for people; of a changed entry one with all fields that changed.
    var lines: [String] {
        switch self {
        case .added(let entry): ["+ \(entry.key)  \(Self.summary(entry))"]
        case .removed(let entry): ["- \(entry.key)"]
        case .changed(let old, let new):
            ["~ \(new.key)  " + Self.changedFields(old, new).map(\.text).joined(separator: "  ")]
        }
    }

    var style: Style {
        switch self {
        case .added: .good
        case .changed: .plain
        case .removed: .bad
        }
    }

    func value(at time: String) -> Value {
        switch self {
        case .added(let entry):
            ["time": .string(time), "change": "added", "key": .string(entry.key), "entry": entry.record.value]
        case .removed(let entry):
            ["time": .string(time), "change": "removed", "key": .string(entry.key), "previous": entry.record.value]
        case .changed(let old, let new):
            [
                "time": .string(time), "change": "changed", "key": .string(new.key), "entry": new.record.value,
                "previous": old.record.value,
            ]
        }
    }

    private static func summary(_ entry: MapEntry) -> String {
        entry.record.fields.filter { $0.title != nil && $0.text != entry.key && $0.text != "-" }
            .map { "\($0.name)=\($0.text)" }.joined(separator: " ")
    }

    private static func changedFields(_ old: MapEntry, _ new: MapEntry) -> [(name: String, text: String)] {
        new.record.fields.compactMap { field in
            guard let before = old.record.fields.first(where: { $0.name == field.name }), before.value != field.value,
                !field.name.isEmpty
            else { return nil }
            let (from, to) = (
                before.text.isEmpty ? before.value.cell : before.text,
                field.text.isEmpty ? field.value.cell : field.text
            )
            // A rounded amount may read the same before and after; of a histogram only its summary is of interest.
            if from == to, case .object = field.value { return nil }
            let shown = from == to ? (before.value.cell, field.value.cell) : (from, to)
            return (field.name, "\(field.name) \(shown.0) → \(shown.1)" + increase(before.value, field.value))
        }
    }

    /// ` (+3)` for counters.
    private static func increase(_ old: Value, _ new: Value) -> String {
        guard case .integer(let old) = old, case .integer(let new) = new, new > old else { return "" }
        return " (+\(new - old))"
    }
}

/// The time of day, `15:04:05`.
func clockTime() -> String {
    var now = time(nil)
    var local = unsafe tm()
    unsafe localtime_r(&now, &local)
    func two(_ number: CInt) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return unsafe "\(two(local.tm_hour)):\(two(local.tm_min)):\(two(local.tm_sec))"
}
