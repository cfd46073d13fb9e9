import Mesh

/// What changes between two sets of files, by object.
struct ConfigDifference {
    private var removed: Set<ObjectKey> = []
    private var added: [ObjectKey: [(object: MeshObject, location: SourceLocation)]] = [:]
    private var moved: [(key: ObjectKey, location: SourceLocation)] = []

    /// Documents that both versions have are not looked into.
    mutating func add(file: String, from old: ParsedFile?, to new: ParsedFile?) {
        var known: [ObjectIdentifier: ParsedFile.Part] = [:]
        for part in old?.parts ?? [] { known[ObjectIdentifier(part.document)] = part }
        for part in new?.parts ?? [] {
            let same = known.removeValue(forKey: ObjectIdentifier(part.document))
            if let same, same.line == part.line { continue }
            for item in part.document.objects {
                let location = SourceLocation(file: file, line: part.line + item.line + 1)
                if same != nil {
                    moved.append((item.object.key, location))
                } else {
                    added[item.object.key, default: []].append((item.object, location))
                }
            }
        }
        for part in known.values {
            for item in part.document.objects { removed.insert(item.object.key) }
        }
    }

    /// Objects that would exist twice. `location` tells where an object in force is written.
    func duplicates(location: (ObjectKey) -> SourceLocation?) -> [ConfigError] {
        var moves: [ObjectKey: SourceLocation]?
        var errors: [ConfigError] = []
        for (key, objects) in added {
            var places = objects.map(\.location)
            if !removed.contains(key), let place = location(key) {
                let current = moves ?? Dictionary(moved.map { ($0.key, $0.location) }) { first, _ in first }
                moves = current
                places.append(current[key] ?? place)
            }
            guard places.count > 1 else { continue }
            places.sort { ($0.file, $0.line) < ($1.file, $1.line) }
            for place in places.dropFirst() {
                errors.append(
                    ConfigError(
                        file: place.file, line: place.line, path: "metadata.name",
                        message: "\(key) is defined twice: here and at \(places[0])"))
            }
        }
        return errors.sorted { ($0.file, $0.line) < ($1.file, $1.line) }
    }

    var change: MeshChange {
        var change = MeshChange()
        change.removed = removed.filter { added[$0] == nil }.sorted()
        change.updated = added.values.flatMap { $0 }
        change.moved = moved
        return change
    }
}
