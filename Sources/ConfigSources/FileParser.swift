import Mesh

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The objects and errors of one document, independent of where in a file it is.
final class ParsedDocument: Sendable {
    struct Object: Sendable {
        var object: MeshObject
        /// Counted from 0, from the document's first line.
        var line: Int
    }

    struct Problem: Sendable {
        var line: Int
        /// Counted from 0, from this document.
        var document: Int
        var path: String
        var message: String
    }

    let objects: [Object]
    let problems: [Problem]
    /// How many documents it is: more than one if the text could not be divided.
    let count: Int

    init(objects: [Object], problems: [Problem], count: Int) {
        self.objects = objects
        self.problems = problems
        self.count = count
    }
}

/// What a file holds. Documents that did not change between two versions of a file are the same instances.
final class ParsedFile: Sendable {
    struct Part: Sendable {
        var document: ParsedDocument
        /// Of its text.
        var hash: Int
        var length: Int
        /// Line and document number that it begins at, counted from 0.
        var line: Int
        var number: Int
    }

    let parts: [Part]
    /// Not of a place in the text: it could not be read.
    let failure: String?

    init(parts: [Part]) {
        self.parts = parts
        failure = nil
    }

    init(failure: String) {
        parts = []
        self.failure = failure
    }

    var isValid: Bool { failure == nil && parts.allSatisfy { $0.document.problems.isEmpty } }

    /// At most `YAMLTree.maximumProblems`.
    func errors(file: String) -> [ConfigError] {
        if let failure { return [ConfigError(file: file, message: failure)] }
        var errors: [ConfigError] = []
        for part in parts {
            for problem in part.document.problems where errors.count < YAMLTree.maximumProblems {
                errors.append(
                    ConfigError(
                        file: file, line: part.line + problem.line + 1, document: part.number + problem.document + 1,
                        path: problem.path, message: problem.message))
            }
        }
        return errors
    }
}

/// Turns the text of a file into objects.
struct FileParser {
    var limits = YAMLLimits()
    private let tree = YAMLTree()

    /// Documents that `previous` has are taken over from it.
    func parse(_ text: UnsafeRawBufferPointer, previous: ParsedFile?) -> ParsedFile {
        var known: [Int: ParsedFile.Part] = [:]
        for part in previous?.parts ?? [] { known[part.hash] = part }

        var parts: [ParsedFile.Part] = []
        var line = 0
        var number = 0
        let sections = unsafe Self.divide(text, limit: limits.documents)
        guard sections.count <= limits.documents else {
            return ParsedFile(failure: "has more than \(limits.documents) documents")
        }
        for section in sections {
            let slice = unsafe UnsafeRawBufferPointer(rebasing: text[section.range])
            var hasher = Hasher()
            unsafe hasher.combine(bytes: slice)
            let hash = hasher.finalize()
            let document: ParsedDocument
            if let part = known[hash], part.length == slice.count {
                document = part.document
            } else {
                document = unsafe parseDocument(slice)
            }
            if document.count > 0 || !document.problems.isEmpty {
                parts.append(
                    ParsedFile.Part(document: document, hash: hash, length: slice.count, line: line, number: number))
            }
            number += document.count
            line += section.lines
        }
        return ParsedFile(parts: parts)
    }

    private func parseDocument(_ text: UnsafeRawBufferPointer) -> ParsedDocument {
        var objects: [ParsedDocument.Object] = []
        var problems: [ParsedDocument.Problem] = []
        var count = 0
        func takeProblems(_ document: Int) {
            for problem in tree.takeProblems() where problems.count < YAMLTree.maximumProblems {
                problems.append(
                    ParsedDocument.Problem(
                        line: problem.line, document: document, path: problem.path, message: problem.message))
            }
        }
        do {
            try unsafe YAMLReader.read(text, limits: limits, tree: tree) { item, document in
                count = max(count, document + 1)
                switch item {
                case .object(let value), .listItem(let value):
                    if let object = ObjectDecoder.decode(value) {
                        objects.append(ParsedDocument.Object(object: object, line: value.line))
                    }
                case .list(let root):
                    ObjectDecoder.checkList(root)
                }
                takeProblems(document)
            }
        } catch {
            count = max(count, error.document + 1)
            problems.append(
                ParsedDocument.Problem(line: error.line, document: error.document, path: "", message: error.message))
        }
        tree.truncate(to: 0)
        return ParsedDocument(objects: objects, problems: problems, count: count)
    }

    // MARK: - Division into documents

    struct Section: Equatable {
        var range: Range<Int>
        /// Line ends in it.
        var lines: Int
    }

    /// The documents: `---` at the start of a line begins one, wherever it is (YAML 1.2.2 §9.1.2). A text with
    /// directives or document ends is left whole, because these belong to more than one document. After `limit` documents
    /// it does not go on.
    static func divide(_ text: UnsafeRawBufferPointer, limit: Int) -> [Section] {
        var sections: [Section] = []
        var start = 0
        var lines = 0
        var position = 0
        var isWhole = false
        while position < text.count, sections.count <= limit {
            if position > start, unsafe begins(with: UInt8(ascii: "-"), text, position) {
                sections.append(Section(range: start..<position, lines: lines))
                (start, lines) = (position, 0)
            }
            if unsafe text[position] == UInt8(ascii: "%") { isWhole = true }
            if unsafe begins(with: UInt8(ascii: "."), text, position) { isWhole = true }
            guard let base = text.baseAddress,
                let end = unsafe memchr(base + position, Int32(UInt8(ascii: "\n")), text.count - position)
            else { break }
            position = unsafe UnsafeRawPointer(end) - base + 1
            lines += 1
        }
        sections.append(Section(range: start..<text.count, lines: lines))
        return isWhole ? [Section(range: 0..<text.count, lines: 0)] : sections
    }

    /// Whether a marker of three such bytes is there.
    private static func begins(with byte: UInt8, _ text: UnsafeRawBufferPointer, _ position: Int) -> Bool {
        guard unsafe text[position] == byte, position + 3 <= text.count,
            unsafe text[position + 1] == byte && text[position + 2] == byte
        else { return false }
        guard position + 3 < text.count else { return true }
        let next = unsafe text[position + 3]
        return [UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: " "), UInt8(ascii: "\t")].contains(next)
    }
}
