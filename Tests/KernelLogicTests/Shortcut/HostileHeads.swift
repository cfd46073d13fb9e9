import WeftABI

/// Heads as clients and servers send them, and as those send them who want two readers to understand them differently.
struct HostileHeads {
    private var state: UInt64
    private var earlier: [UInt8] = []

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

    mutating func random(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return Int(truncatingIfNeeded: (mixed ^ mixed >> 31) >> 1) % max(bound, 1)
    }

    private mutating func one(_ list: [[UInt8]]) -> [UInt8] { list[random(list.count)] }

    // MARK: Heads

    private static func bytes(_ list: [String]) -> [[UInt8]] { list.map { Array($0.utf8) } }

    private static let methods = bytes(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    private static let oddMethods = bytes([
        "CONNECT", "TRACE", "PURGE", "get", "Get", "GETT", "GE", "", "OPTION", "HEAD/", "PATCH\t", "\r\nGET", " GET",
    ])
    private static let targets = bytes([
        "/", "/a", "/a/b", "/a/b/c?d=e", "/index.html", "/a;b=c/d", "/a-b_c~d.e", "/@x/$y", "/a/?x=%2F&y=?", "/?",
        "/" + String(repeating: "p", count: 70), "/" + String(repeating: "seg/", count: 20),
        "/" + String(repeating: "p", count: 253), "/?" + String(repeating: "q", count: 254), "/a?b=%41",
        "/sixtythree-bytes-of-path-so-that-the-words-are-full-but-for-one",
    ])
    private static let oddTargets = bytes([
        "/.", "/..", "/a/../b", "/a/./b", "/a/..;x/b", "/.a", "/a/.b", "//", "/a//b", "/%2e%2e/a", "/a%2Fb", "/a%5cb",
        "/%41", "/%", "/%4", "/%zz", "/%00", "/a\\b", "/a|b", "/a\"b", "/a#b", "/a?b#c", "/a{b}", "/a^b", "/a`b",
        "/a<b>", "/[a]", "*", "a", "", "http://a/", "http://b/c?d", "HTTPS://web", "//a/b", "/a b", "/a\tb", "/\u{7f}",
        "/ä", "/?ä", "/" + String(repeating: "p", count: 255), "/" + String(repeating: "p", count: 256),
        "/?" + String(repeating: "q", count: 260), "?a", "a:80",
    ])
    private static let versions = bytes([
        "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "HTTP/1.10", "http/1.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1,1", "HTTP", "",
    ])
    private static let hosts = bytes(["a", "web.shop", "WEB.Shop:80", "10.0.0.1:8080", "[fd00::1]:80", "a."])
    private static let fields = bytes([
        "Accept: */*", "User-Agent: curl/7.88.1", "Accept-Encoding: gzip, deflate", "Connection: keep-alive",
        "connection: Keep-Alive", "Cookie: a=b; c=\"d\"", "Content-Type: application/json", "X: y", "x-request-id: 1",
        "Upgrade-Insecure-Requests: 1", "Authorization: Bearer a.b.c", "X-Forwarded-For: 10.0.0.1", "Empty:", "Blank: ",
        "If-None-Match: \"a\"", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "No:space",
        "Date: Sun, 22 Nov 2026 04:20:02 GMT", "X-Long: " + String(repeating: "v", count: 500), "abcdefgh: i",
        "abcdefghijklmnopqrstuvwxyz-0123: 31", "Sec-Fetch-Mode: cors", "Expires: 0", "Traile: x", "Te-x: y",
        "Transfer-Encodinh: z", "Content-Lengti: 3", "Connectiom: close", "X-Envo: y", "Proxy-Auth: a", "Server: b",
        "X-Gap: a  b", "Keep-Alive: timeout=5",
    ])
    private static let lengths = bytes([
        "Content-Length: 0", "Content-Length: 5", "content-length:17", "CONTENT-LENGTH: 1234567890",
        "Content-Length: 0000000005",
    ])
    private static let codings = bytes([
        "Transfer-Encoding: chunked", "transfer-encoding:chunked", "TRANSFER-ENCODING: Chunked",
    ])
    private static let oddFields = bytes([
        "Content-Length: 5", "Content-Length: 6", "Content-Length: 5, 5", "Content-Length: +5", "Content-Length: -1",
        "Content-Length: 0x5", "Content-Length: 5 ", "Content-Length:  5", "Content-Length: \t5", "Content-Length: 5\t",
        "Content-Length : 5", "Content-Length\t: 5", " Content-Length: 5", "Content-Length:", "Content-Length: ",
        "Content-Length", "Content-Length: 12345678901", "Content-Length: 18446744073709551621", "Content_Length: 5",
        "Content-Length: 5;", "Content-Length: 5\u{0}", "Content-Length: ５", "Transfer-Encoding: chunked",
        "transfer-encoding:CHUNKED", "Transfer-Encoding : chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding:",
        "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer_Encoding: chunked",
        "Transfer-Encoding: x\r\n chunked", "TRANSFER-ENCODING: chunked", "Host: b", "host: a", "Host : a", "Host: ",
        "Host:", "Host: a b", "Host: a,b", "Host: user@a", "Host: a/b", "Host: a:0", "Host: a:99999", "Host: a:",
        "Connection: close", "Connection: Close", "Connection: keep-alive, x-a", "Connection: x-a", "Connection: host",
        "Connection:keep-alive ", "Connection: keep-alive,", "Connection: keep-alivf", "Connection:", "Connection: ",
        "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "Expect: 200-ok",
        "TE: trailers", "te: gzip", "Trailer: x", "Keep-Alive: 5", "Proxy-Connection: close", "X-Envoy-Retry-On: 5xx",
        "x-envoy-a: b", "X-ENVOY-Upstream-Rq-Timeout-Ms: 1", "x-envoy-: c", "grpc-timeout: 1S", "X_Forwarded_For: a",
        " folded", "\tfolded", " ", "\t", ": y", "X", "X y: z", "X: \u{1}", "X: \u{0}", "X: \u{7f}", "X: ä", "Ä: x",
        "X: \ty", "X: y\t", "X:\u{b}y", "X(: y", "X_Y: z", "X.Y: z", "X@: y", "X[: y", "X`: y", "X{: y", "X/: y",
        "X: a\rb", "X: a\nb", "X: a\r", "X: \u{80}", "abcdefghijklmnopqrstuvwxyz-01234: 32",
        "X: " + String(repeating: "v", count: 520), String(repeating: "n", count: 70) + ": x",
        "B3: 0", "Via: 1.1 a", "Forwarded: for=a", "Proxy-Authorization: a", "Upgrade:", "X-Envoy:",
    ])
    private static let statuses = bytes([
        "200 OK", "200 ", "201 Created", "204 No Content", "206 Partial Content", "301 Moved", "304 Not Modified",
        "404 Not Found", "418 I'm a teapot", "499 x", "299 y",
    ])
    private static let oddStatuses = bytes([
        "200", "100 Continue", "101 Switching Protocols", "103 Early Hints", "500 Internal", "503 x", "600 x", "999 x",
        "099 x", "000 x", "20 OK", "2000 OK", "2x0 OK", " 200 OK", "200  OK", "200\tOK", "200 \u{1}", "200 ä",
        "200 " + String(repeating: "r", count: 520), "+20 x", "200OK",
    ])

    /// A request's head; nine of ten are plain.
    mutating func request() -> [UInt8] {
        let isPlain = random(10) < 9
        func odd(_ heads: inout Self) -> Bool { !isPlain && heads.random(3) == 0 }
        var head = one(odd(&self) ? Self.oddMethods : Self.methods)
        head.append(0x20)
        head.append(contentsOf: one(odd(&self) ? Self.oddTargets : Self.targets))
        head.append(0x20)
        head.append(contentsOf: odd(&self) ? one(Self.versions) : Array("HTTP/1.1".utf8))
        var lines = [Array("Host: ".utf8) + one(Self.hosts)]
        if odd(&self) { lines.removeAll() }
        addFields(&lines, isPlain: isPlain, hasLength: random(3) == 0)
        return finish(head, lines)
    }

    mutating func response() -> [UInt8] {
        let isPlain = random(10) < 9
        func odd(_ heads: inout Self) -> Bool { !isPlain && heads.random(3) == 0 }
        var head = odd(&self) ? one(Self.versions) : Array("HTTP/1.1".utf8)
        head.append(0x20)
        head.append(contentsOf: one(odd(&self) ? Self.oddStatuses : Self.statuses))
        var lines: [[UInt8]] = []
        let isChunked = random(4) == 0
        if isChunked { lines.append(one(Self.codings)) }
        addFields(&lines, isPlain: isPlain, hasLength: !isChunked && random(4) != 0)
        return finish(head, lines)
    }

    private mutating func addFields(_ lines: inout [[UInt8]], isPlain: Bool, hasLength: Bool) {
        if hasLength { lines.append(one(Self.lengths)) }
        for _ in 0..<random(7) { lines.append(one(Self.fields)) }
        if !isPlain { for _ in 0..<random(3) { lines.append(one(Self.oddFields)) } }
        // Host is anywhere.
        for index in lines.indices.dropFirst() { lines.swapAt(index, random(index + 1)) }
    }

    private mutating func finish(_ start: [UInt8], _ lines: [[UInt8]]) -> [UInt8] {
        var head = start
        head.append(contentsOf: [13, 10])
        for line in lines {
            head.append(contentsOf: line)
            head.append(contentsOf: [13, 10])
        }
        head.append(contentsOf: [13, 10])
        return head
    }

    // MARK: Chunks

    private static let lastChunks = bytes(["0\r\n\r\n", "000\r\n\r\n", "0\r\nX: y\r\n\r\n", "0;a\r\n\r\n", "0\r\n", ""])

    /// A body in chunks; nine of ten are plain.
    mutating func chunks() -> [UInt8] {
        let isPlain = random(10) < 9
        var body: [UInt8] = []
        for _ in 0..<random(random(40) == 0 ? 70 : 5) {
            let size = 1 + random(random(4) == 0 ? 600 : 20)
            var line = String(size, radix: 16, uppercase: random(2) == 0)
            if random(8) == 0 { line = String(repeating: "0", count: random(8)) + line }
            if !isPlain, random(3) == 0 { line += ["; a=b", " ", ";", "x", "\t", "\r"][random(6)] }
            body += Array((line + "\r\n").utf8) + (0..<size).map { _ in UInt8(random(256)) } + [13, 10]
        }
        return body + (isPlain ? Self.lastChunks[random(2)] : one(Self.lastChunks))
    }

    // MARK: Changes

    private static let hostileBytes =
        Array("\r\n \t:;,/.%?#\\_-*\"|a0\u{0}\u{1}\u{7f}".utf8) + [0x80, 0xc3, 0xff, 0x8d, 0x8a]
    private static let lineEnds: [[UInt8]] = [
        [10], [13], [13, 13, 10], [10, 10], [13, 10, 32], [13, 10, 9], [0x85], [],
    ]

    /// The head with up to three small changes, or one that is about its size.
    mutating func mutated(_ head: [UInt8]) -> [UInt8] {
        var head = head
        for _ in 0..<random(4) { change(&head) }
        if random(500) == 0 { earlier = head }
        return head
    }

    private mutating func change(_ head: inout [UInt8]) {
        guard head.count > 4 else { return }
        let place = random(head.count)
        switch random(12) {
        case 0: head[place] = UInt8(random(256))
        case 1: head[place] = Self.hostileBytes[random(Self.hostileBytes.count)]
        case 2: head.remove(at: place)
        case 3: head.insert(Self.hostileBytes[random(Self.hostileBytes.count)], at: place)
        case 4: head[place] ^= 0x20
        case 5: head[place] ^= 0x80
        case 6: insertLine(&head, one(Self.oddFields))
        case 7: insertLine(&head, one(Self.fields))
        case 8: changeLineEnd(&head, place)
        case 9: head.removeSubrange(place..<min(head.count, place + 1 + random(20)))
        case 10: fill(&head)
        default:
            guard !earlier.isEmpty else { return }
            let from = random(earlier.count)
            head.replaceSubrange(place..., with: earlier[from...])
        }
    }

    /// The next line feed at or behind `place`, from the beginning if there is none; nil: there is none at all.
    private func lineFeed(_ head: [UInt8], from place: Int) -> Int? {
        var index = place
        for _ in head.indices {
            if index >= head.count { index = 0 }
            if head[index] == 10 { return index }
            index += 1
        }
        return nil
    }

    private mutating func insertLine(_ head: inout [UInt8], _ line: [UInt8]) {
        guard let end = lineFeed(head, from: random(max(head.count - 3, 1))) else { return }
        head.insert(contentsOf: line + [13, 10], at: end + 1)
    }

    private mutating func changeLineEnd(_ head: inout [UInt8], _ place: Int) {
        guard let end = lineFeed(head, from: place), end > 0 else { return }
        head.replaceSubrange(end - 1...end, with: Self.lineEnds[random(Self.lineEnds.count)])
    }

    /// Fields up to about the size of the window.
    private mutating func fill(_ head: inout [UInt8]) {
        let wanted = Int(WEFT_HTTP_ROOM) + random(5) - 2 - head.count
        guard wanted > 30 else { return }
        for count in [wanted / 3, wanted / 3, wanted - 2 * (wanted / 3)] {
            insertLine(&head, [0x66, 0x3a] + [UInt8](repeating: 0x76, count: count - 4))
        }
    }
}
