import BPF

/// `map dump --all`: maps that Weft knows nothing of but what the kernel says about their types.
enum ForeignMaps {
    /// - Parameter selection: a map's id or name; several maps may have one name.
    static func dump(_ selection: String, _ format: OutputOptions) throws(Failure) {
        do {
            if let id = UInt32(selection) {
                guard let map = try AnyMap.open(id: id) else { throw Failure.no("there is no map with the id \(id)") }
                return try print([map.info], format)
            }
            let named = try MapDirectory.all().filter { $0.name == selection }
            guard !named.isEmpty else {
                throw Failure.no("there is no map named '\(selection)' on this machine (see 'weft map list --all')")
            }
            try print(named, format)
        } catch let error as BPFError {
            throw Failure(error)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw .unknown("\(error)")
        }
    }

    private static func print(_ maps: [AnyMapInfo], _ format: OutputOptions) throws(BPFError) {
        var records: [Record] = []
        for info in maps {
            // Between listing and opening it may have ended.
            guard let map = try AnyMap.open(id: info.id) else { continue }
            let decoder = BTFDecoder(info)
            for entry in try map.entries() {
                let values = entry.values.map { Value(decoder.value($0)) }
                let value: Value = info.type.isPerCPU ? .array(values) : values.first ?? .null
                var fields = [Field("key", Value(decoder.key(entry.key))), Field("value", value)]
                if maps.count > 1 { fields.insert(Field("map", Value(info.id)), at: 0) }
                records.append(Record(fields))
            }
        }
        format.print(records, empty: "the map is empty")
    }
}

extension Value {
    init(_ value: BTFValue) {
        switch value {
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .unsigned(let value): self.init(value)
        case .float(let value): self = .number(value)
        case .string(let text), .bytes(let text): self = .string(text)
        case .enumerator(let name, let value): self = name.map(Value.string) ?? .integer(value)
        case .array(let elements): self = .array(elements.map { Value($0) })
        case .structure(let fields):
            // An anonymous member's own members are the structure's.
            let members = fields.flatMap { field -> [(String, Value)] in
                let value = Value(field.value)
                guard field.name.isEmpty, case .object(let inner) = value else { return [(field.name, value)] }
                return inner.members.map { ($0.key, $0.value) }
            }
            self = .object(Object(members))
        }
    }
}
