import CYaml

/// Reads YAML text object by object, with libyaml's parser (which Yams brings along): a document is an object, and so is
/// each item of a `List`.
///
/// Yams' own `Parser` composes a `Node` for each value; that costs 17 times as much as the events behind it (measured:
/// 0.24 s and 0.014 s for 1 MB), and nothing bounds its recursion and its aliases.
@safe struct YAMLReader {
    /// What is handed out; the tree is only valid during the call.
    enum Item {
        case object(YAMLValue)
        /// An element of the root's `items`.
        case listItem(YAMLValue)
        /// The root that had `items`, without them.
        case list(YAMLValue)
    }

    /// A text that cannot be read further.
    struct Failure: Error {
        /// Counted from 0.
        var line: Int
        var message: String
        var document = 0
    }

    let tree: YAMLTree
    let limits: YAMLLimits
    private var parser = unsafe yaml_parser_t()
    private var anchors: [String: Anchor] = [:]
    private var aliasCount = 0
    private var aliasedValues = 0
    private var document = 0

    private struct Anchor {
        var index: Int32
        /// Values in it, with its aliases expanded; nil while it is being read.
        var size: Int?
    }

    private init(tree: YAMLTree, limits: YAMLLimits) {
        self.tree = tree
        self.limits = limits
    }

    /// Reads every document of `text`. `body` gets the objects and the document's number, counted from 0.
    static func read(
        _ text: UnsafeRawBufferPointer, limits: YAMLLimits, tree: YAMLTree, body: (Item, Int) -> Void
    ) throws(Failure) {
        var reader = YAMLReader(tree: tree, limits: limits)
        guard unsafe yaml_parser_initialize(&reader.parser) == 1 else {
            throw Failure(line: 0, message: "out of memory")
        }
        defer { unsafe yaml_parser_delete(&reader.parser) }
        unsafe yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING)
        let bytes = unsafe text.assumingMemoryBound(to: UInt8.self)
        unsafe yaml_parser_set_input_string(&reader.parser, bytes.baseAddress, bytes.count)
        do {
            try reader.readStream(body)
        } catch {
            var failure =
                switch error {
                case .syntax: unsafe reader.syntaxFailure(text)
                case .refused(let failure): failure
                }
            failure.document = reader.document
            throw failure
        }
    }

    private enum Stop: Error {
        /// The parser knows what is wrong.
        case syntax
        case refused(Failure)
    }

    // MARK: - Events

    private struct Event {
        enum Kind { case alias, scalar, sequence, mapping, end, document, documentEnd, streamEnd, other }

        var kind: Kind
        var line: Int32
        var anchor: String?
        var text = ""
        var isQuoted = false
        /// A tag that is not the default one of the value.
        var tag: String?
    }

    private mutating func next() throws(Stop) -> Event {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(&parser, &event) == 1 else { throw .syntax }
        defer { unsafe yaml_event_delete(&event) }
        let line = unsafe Int32(clamping: event.start_mark.line)
        switch unsafe event.type {
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            return unsafe Event(
                kind: .scalar, line: line, anchor: Self.string(scalar.anchor),
                text: String(decoding: bytes, as: UTF8.self),
                isQuoted: scalar.style != YAML_PLAIN_SCALAR_STYLE, tag: Self.string(scalar.tag))
        case YAML_MAPPING_START_EVENT:
            let start = unsafe event.data.mapping_start
            return unsafe Event(
                kind: .mapping, line: line, anchor: Self.string(start.anchor), tag: Self.string(start.tag))
        case YAML_SEQUENCE_START_EVENT:
            let start = unsafe event.data.sequence_start
            return unsafe Event(
                kind: .sequence, line: line, anchor: Self.string(start.anchor), tag: Self.string(start.tag))
        case YAML_ALIAS_EVENT:
            return unsafe Event(kind: .alias, line: line, anchor: Self.string(event.data.alias.anchor))
        case YAML_MAPPING_END_EVENT, YAML_SEQUENCE_END_EVENT: return Event(kind: .end, line: line)
        case YAML_DOCUMENT_START_EVENT: return Event(kind: .document, line: line)
        case YAML_DOCUMENT_END_EVENT: return Event(kind: .documentEnd, line: line)
        case YAML_STREAM_END_EVENT: return Event(kind: .streamEnd, line: line)
        default: return Event(kind: .other, line: line)
        }
    }

    private static func string(_ text: UnsafePointer<UInt8>?) -> String? {
        guard let text = unsafe text else { return nil }
        return unsafe String(decodingCString: text, as: UTF8.self)
    }

    private func refusal(_ line: Int32, _ message: String) -> Stop {
        .refused(Failure(line: Int(line), message: message))
    }

    // MARK: - Documents

    private mutating func readStream(_ body: (Item, Int) -> Void) throws(Stop) {
        while true {
            let event = try next()
            switch event.kind {
            case .streamEnd: return
            case .document:
                let number = document
                try readDocument { body($0, number) }
                document += 1
            default: continue
            }
        }
    }

    private mutating func readDocument(_ body: (Item) -> Void) throws(Stop) {
        tree.truncate(to: 0)
        tree.pathPrefix = ""
        anchors.removeAll()
        (aliasCount, aliasedValues) = (0, 0)
        let event = try next()
        if event.kind == .mapping {
            try readRoot(event, body)
        } else {
            let root = try build(event, parent: YAMLTree.none, depth: 0)
            body(.object(YAMLValue(tree: tree, index: root)))
        }
    }

    /// The root mapping, whose `items` are objects of their own.
    private mutating func readRoot(_ start: Event, _ body: (Item) -> Void) throws(Stop) {
        let root = tree.append(YAMLTree.Entry(kind: .mapping, line: start.line, parent: YAMLTree.none))
        try open(start, root)
        var keys = Keys()
        var last = YAMLTree.none
        var hasItems = false
        while true {
            let event = try next()
            if event.kind == .end { break }
            let isItems = event.kind == .scalar && event.text == "items"
            let mark = tree.entries.count
            let key = try buildKey(event, parent: root, &keys)
            let value = try next()
            if isItems, value.kind == .sequence, value.anchor == nil {
                hasItems = true
                tree.truncate(to: mark)
                try readItems(body)
                continue
            }
            let index = try build(value, parent: root, depth: 1)
            if last == YAMLTree.none { tree.setChild(key, of: root) } else { tree.setSibling(key, of: last) }
            tree.setSibling(index, of: key)
            last = index
        }
        close(start, root, from: root)
        let value = YAMLValue(tree: tree, index: root)
        body(hasItems ? .list(value) : .object(value))
    }

    private mutating func readItems(_ body: (Item) -> Void) throws(Stop) {
        var position = 0
        while true {
            let event = try next()
            if event.kind == .end { return }
            let mark = tree.entries.count
            let item = try build(event, parent: YAMLTree.none, depth: 2)
            tree.pathPrefix = "items[\(position)]"
            body(.listItem(YAMLValue(tree: tree, index: item).resolved))
            tree.pathPrefix = ""
            // An anchor in an item may be used by a later one.
            if anchors.isEmpty { tree.truncate(to: mark) }
            position += 1
        }
    }

    // MARK: - Values

    private mutating func build(_ event: Event, parent: Int32, depth: Int) throws(Stop) -> Int32 {
        guard tree.entries.count < limits.values else {
            throw refusal(event.line, "more than \(limits.values) values in one object")
        }
        switch event.kind {
        case .scalar:
            let index = tree.append(
                YAMLTree.Entry(kind: try kind(of: event), line: event.line, parent: parent, text: event.text))
            try open(event, index)
            close(event, index, from: index)
            return index
        case .alias:
            return try buildAlias(event, parent: parent)
        case .mapping, .sequence:
            guard depth < limits.depth else {
                throw refusal(event.line, Self.tooDeep(limits))
            }
            if let tag = event.tag, tag != "tag:yaml.org,2002:map", tag != "tag:yaml.org,2002:seq" {
                throw refusal(event.line, "the tag \"\(tag)\" is not supported: leave it out")
            }
            let index = tree.append(
                YAMLTree.Entry(kind: event.kind == .mapping ? .mapping : .sequence, line: event.line, parent: parent))
            try open(event, index)
            if event.kind == .mapping {
                try buildMapping(index, depth)
            } else {
                try buildSequence(index, depth)
            }
            close(event, index, from: index)
            return index
        default:
            throw refusal(event.line, "a value is missing here")
        }
    }

    private mutating func buildSequence(_ index: Int32, _ depth: Int) throws(Stop) {
        var last = YAMLTree.none
        while true {
            let event = try next()
            if event.kind == .end { return }
            let element = try build(event, parent: index, depth: depth + 1)
            if last == YAMLTree.none { tree.setChild(element, of: index) } else { tree.setSibling(element, of: last) }
            last = element
        }
    }

    private mutating func buildMapping(_ index: Int32, _ depth: Int) throws(Stop) {
        var keys = Keys()
        var last = YAMLTree.none
        while true {
            let event = try next()
            if event.kind == .end { return }
            let key = try buildKey(event, parent: index, &keys)
            if last == YAMLTree.none { tree.setChild(key, of: index) } else { tree.setSibling(key, of: last) }
            let value = try build(try next(), parent: index, depth: depth + 1)
            tree.setSibling(value, of: key)
            last = value
        }
    }

    private mutating func buildKey(_ event: Event, parent: Int32, _ keys: inout Keys) throws(Stop) -> Int32 {
        guard event.kind == .scalar else { throw refusal(event.line, "a key has to be a string") }
        if event.text == "<<", !event.isQuoted {
            throw refusal(event.line, "merge keys (\"<<\") are not supported: write the fields out")
        }
        guard keys.insert(event.text) else {
            throw refusal(event.line, "the key \"\(event.text)\" is there twice in one mapping")
        }
        return tree.append(YAMLTree.Entry(kind: .quoted, line: event.line, parent: parent, text: event.text))
    }

    private mutating func buildAlias(_ event: Event, parent: Int32) throws(Stop) -> Int32 {
        let name = event.anchor ?? ""
        aliasCount += 1
        guard aliasCount <= limits.aliases else {
            throw refusal(event.line, "more than \(limits.aliases) aliases in one document")
        }
        guard let anchor = anchors[name] else {
            throw refusal(event.line, "the alias *\(name) has no anchor &\(name) before it")
        }
        guard let size = anchor.size else {
            throw refusal(event.line, "the alias *\(name) is inside its own anchor &\(name)")
        }
        aliasedValues += size
        guard aliasedValues <= limits.aliasedValues else {
            throw refusal(
                event.line, "the aliases of one document stand for more than \(limits.aliasedValues) values")
        }
        return tree.append(
            YAMLTree.Entry(kind: .alias, line: event.line, parent: parent, child: anchor.index))
    }

    private func kind(of event: Event) throws(Stop) -> YAMLTree.Kind {
        switch event.tag {
        case nil: return event.isQuoted ? .quoted : .plain
        case "!", "tag:yaml.org,2002:str": return .quoted
        case let tag?: throw refusal(event.line, "the tag \"\(tag)\" is not supported: leave it out")
        }
    }

    private mutating func open(_ event: Event, _ index: Int32) throws(Stop) {
        guard let name = event.anchor else { return }
        anchors[name] = Anchor(index: index, size: nil)
        anchorStarts[index] = aliasedValues
    }

    private var anchorStarts: [Int32: Int] = [:]

    private mutating func close(_ event: Event, _ index: Int32, from first: Int32) {
        guard let name = event.anchor, let before = anchorStarts.removeValue(forKey: index) else { return }
        anchors[name]?.size = tree.entries.count - Int(first) + aliasedValues - before
    }

    /// The keys of one mapping: few of them, nearly always.
    private struct Keys {
        private var list: [String] = []
        private var set: Set<String> = []

        /// False if it is there already.
        mutating func insert(_ key: String) -> Bool {
            if set.isEmpty {
                guard !list.contains(key) else { return false }
                list.append(key)
                if list.count > 16 { set = Set(list) }
                return true
            }
            return set.insert(key).inserted
        }
    }

    // MARK: - Errors

    private static func tooDeep(_ limits: YAMLLimits) -> String {
        "values are nested deeper than \(limits.depth) levels"
    }

    private func syntaxFailure(_ text: UnsafeRawBufferPointer) -> Failure {
        let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "not YAML"
        if unsafe parser.error == YAML_READER_ERROR {
            let offset = unsafe min(parser.problem_offset, text.count)
            let line = unsafe text[..<offset].count { $0 == UInt8(ascii: "\n") }
            let byte = unsafe offset < text.count ? ", byte 0x" + String(text[offset], radix: 16) : ""
            return Failure(line: line, message: "not a text in UTF-8 (\(problem)\(byte))")
        }
        if problem.hasPrefix("Maximum nesting level") {
            return unsafe Failure(line: Int(parser.problem_mark.line), message: Self.tooDeep(limits))
        }
        var message = "not YAML: \(problem)"
        if let context = unsafe parser.context.map({ unsafe String(cString: $0) }), !context.isEmpty {
            message += ", \(context)"
            let start = unsafe parser.context_mark.line
            if unsafe start != parser.problem_mark.line { message += " that starts at line \(start + 1)" }
        }
        return unsafe Failure(line: Int(parser.problem_mark.line), message: message)
    }
}
