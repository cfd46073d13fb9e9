/// The values of one object, in the order of the text, with the errors found in them.
///
/// One tree is filled and emptied for object after object, so that reading a large file needs the memory of one object.
final class YAMLTree {
    enum Kind: UInt8 {
        /// A scalar without quotes: what it means depends on its text (YAML 1.2 core schema).
        case plain
        /// A scalar that is a string whatever its text.
        case quoted
        case sequence
        /// Its children are keys and values in turn.
        case mapping
        /// `child` is what it stands for.
        case alias
    }

    struct Entry {
        var kind: Kind
        /// Counted from 0, from the start of the text given to the reader.
        var line: Int32
        var parent: Int32
        var child: Int32 = none
        var sibling: Int32 = none
        var text = ""
    }

    struct Problem: Equatable {
        var line: Int
        var path: String
        var message: String
    }

    static let none: Int32 = -1

    /// Limits the memory that a broken file costs; the first errors are what helps.
    static let maximumProblems = 100

    private(set) var entries: [Entry] = []
    private(set) var problems: [Problem] = []
    /// Prefix of paths: the place of the object in a List.
    var pathPrefix = ""

    /// Empties it from `count` on.
    func truncate(to count: Int) {
        entries.removeSubrange(count...)
    }

    func append(_ entry: Entry) -> Int32 {
        entries.append(entry)
        return Int32(entries.count - 1)
    }

    func setChild(_ child: Int32, of index: Int32) { entries[Int(index)].child = child }
    func setSibling(_ sibling: Int32, of index: Int32) { entries[Int(index)].sibling = sibling }

    func takeProblems() -> [Problem] {
        defer { problems.removeAll() }
        return problems
    }

    func report(_ message: String, at index: Int32, field: String? = nil) {
        var path = path(of: index)
        if let field { path += path.isEmpty ? field : ".\(field)" }
        report(message, line: Int(entries[Int(index)].line), path: path)
    }

    func report(_ message: String, line: Int, path: String = "") {
        guard problems.count < Self.maximumProblems else { return }
        problems.append(Problem(line: line, path: path, message: message))
    }

    /// For example `spec.ports[0].port`.
    func path(of index: Int32) -> String {
        var steps: [String] = []
        var index = index
        while entries[Int(index)].parent != Self.none {
            let parent = entries[Int(index)].parent
            steps.append(step(from: parent, to: index))
            index = parent
        }
        var path = pathPrefix
        for step in steps.reversed() {
            path += path.isEmpty || step.hasPrefix("[") ? step : ".\(step)"
        }
        return path
    }

    private func step(from parent: Int32, to index: Int32) -> String {
        var child = entries[Int(parent)].child
        var position = 0
        var key = ""
        while child != Self.none {
            if position % 2 == 0 { key = entries[Int(child)].text }
            if child == index { break }
            child = entries[Int(child)].sibling
            position += 1
        }
        guard entries[Int(parent)].kind == .mapping else { return "[\(position)]" }
        let isPlain = !key.isEmpty && key.utf8.allSatisfy { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "/") }
        return isPlain ? key : "[\"\(key)\"]"
    }
}
