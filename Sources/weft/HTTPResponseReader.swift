/// Takes an HTTP/1.1 response apart as it arrives: the body by length, in chunks or until the end (RFC 9112 §6.3).
struct HTTPResponseReader {
    struct Malformed: Error, CustomStringConvertible {
        var description: String
    }

    /// 0 until the head has been read.
    private(set) var status = 0
    private(set) var isComplete = false

    private enum Body {
        case head, counted(Int), untilEnd
        case chunkSize, chunk(Int), chunkEnd, trailer
    }

    private static let longestHead = 65536
    private var body = Body.head
    private var pending: [UInt8] = []

    /// Takes bytes from the connection; returns those of the body among them.
    mutating func read(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> [UInt8] {
        pending += bytes
        var received: [UInt8] = []
        while try advance(&received) {}
        return received
    }

    /// The connection has ended.
    mutating func end() throws(Malformed) -> [UInt8] {
        if case .untilEnd = body { isComplete = true }
        guard isComplete else { throw Malformed(description: "it ended before it was complete") }
        return []
    }

    /// One step; false if more bytes are needed.
    private mutating func advance(_ received: inout [UInt8]) throws(Malformed) -> Bool {
        guard !isComplete else { return false }
        switch body {
        case .head:
            guard let end = headEnd else {
                guard pending.count < Self.longestHead else { throw Malformed(description: "its head is too long") }
                return false
            }
            let head = String(decoding: pending[..<end], as: UTF8.self)
            pending.removeFirst(end + 4)
            try readHead(head)
        case .counted(let left):
            let taken = take(left, into: &received)
            body = .counted(left - taken)
            isComplete = left == taken
            return false
        case .untilEnd:
            _ = take(pending.count, into: &received)
            return false
        case .chunkSize:
            guard let line = try takeLine() else { return false }
            let digits = line.prefix { $0 != ";" }.filter { $0 != " " }
            guard let size = Int(digits, radix: 16), size >= 0 else { throw Malformed(description: "a bad chunk size") }
            body = size == 0 ? .trailer : .chunk(size)
        case .chunk(let left):
            let taken = take(left, into: &received)
            body = left == taken ? .chunkEnd : .chunk(left - taken)
            return left == taken
        case .chunkEnd:
            guard let line = try takeLine() else { return false }
            guard line.isEmpty else { throw Malformed(description: "a chunk longer than its size") }
            body = .chunkSize
        case .trailer:
            guard let line = try takeLine() else { return false }
            isComplete = line.isEmpty
        }
        return true
    }

    private mutating func readHead(_ head: String) throws(Malformed) {
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        let words = (lines.popFirst() ?? "").split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let code = Int(words[1]), (100...599).contains(code)
        else {
            throw Malformed(description: "a bad status line")
        }
        status = code
        body = .untilEnd
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].filter { $0 != " " && $0 != "\t" }.lowercased()
            switch line[..<colon].lowercased() {
            case "content-length":
                guard let length = Int(value), length >= 0 else { throw Malformed(description: "a bad Content-Length") }
                if case .untilEnd = body { body = .counted(length) }
            case "transfer-encoding" where value == "chunked": body = .chunkSize
            default: break
            }
        }
        if code == 204 || code == 304 { body = .counted(0) }
    }

    private var headEnd: Int? {
        guard pending.count >= 4 else { return nil }
        return (0...(pending.count - 4)).first { pending[$0..<($0 + 4)].elementsEqual([13, 10, 13, 10]) }
    }

    private mutating func take(_ limit: Int, into received: inout [UInt8]) -> Int {
        let count = min(limit, pending.count)
        received += pending[..<count]
        pending.removeFirst(count)
        return count
    }

    private mutating func takeLine() throws(Malformed) -> String? {
        guard let feed = pending.firstIndex(of: 10) else {
            guard pending.count < Self.longestHead else { throw Malformed(description: "a line that is too long") }
            return nil
        }
        let line = pending[..<feed].filter { $0 != 13 }
        pending.removeFirst(feed + 1)
        return String(decoding: line, as: UTF8.self)
    }
}
