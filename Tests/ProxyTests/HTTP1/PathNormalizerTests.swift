import Proxy
import Testing

/// RFC 3986 section 6.2.2 with slashes merged: the matrix of authorisation bypasses.
@Suite struct PathNormalizerTests {
    enum Outcome: Equatable {
        case path(String)
        case error(PathError)
    }

    static func normalize(_ path: [UInt8], rejectsEncodedSlashes: Bool = true) -> Outcome {
        var output = [UInt8](repeating: 0x23, count: 3 * path.count)
        var span = output.mutableSpan
        let input = unsafe path.span.bytes
        switch PathNormalizer.normalize(input, rejectsEncodedSlashes: rejectsEncodedSlashes, into: &span) {
        case .rejected(let error): return .error(error)
        case .normalized(let count): return .path(String(decoding: output[..<count], as: UTF8.self))
        }
    }

    static func normalize(_ path: String, rejectsEncodedSlashes: Bool = true) -> Outcome {
        normalize(latin1(path), rejectsEncodedSlashes: rejectsEncodedSlashes)
    }

    @Test(arguments: [
        ("/", "/"), ("/a", "/a"), ("/a/b/", "/a/b/"), ("/.a/..b/c./d..", "/.a/..b/c./d.."), ("/...", "/..."),
        // Dot segments.
        ("/.", "/"), ("/./", "/"), ("/..", "/"), ("/../", "/"), ("/../../a", "/a"), ("/a/.", "/a/"), ("/a/./b", "/a/b"),
        ("/a/..", "/"), ("/a/../", "/"), ("/a/b/..", "/a/"), ("/a/b/../", "/a/"), ("/a/b/../c", "/a/c"),
        ("/a/b/../../c", "/c"), ("/a/b/../../../c", "/c"), ("/a/./../b", "/b"), ("/public/../admin", "/admin"),
        // Escaped dots and other unreserved characters, once.
        ("/%2e", "/"), ("/%2E%2e/a", "/a"), ("/public/%2e%2e/admin", "/admin"), ("/public/.%2e/admin", "/admin"),
        ("/public/%2e./admin", "/admin"), ("/%61dmin", "/admin"), ("/%41%5a%7A%30%39%2d%2E%5f%7e", "/AZz09-._~"),
        ("/%252e%252e/a", "/%252e%252e/a"), ("/%25%32%65/a", "/%252e/a"), ("/a%2", "!"), ("/%2%65", "!"), ("/%", "!"),
        ("/%%32e%2e", "!"), ("/%g0", "!"), ("/%+1", "!"), ("/a%u002f", "!"), ("/100%", "!"),
        // Other escapes keep their meaning and get one spelling.
        ("/%c3%a9", "/%C3%A9"), ("/a%20b%3F%23%3b", "/a%20b%3F%23%3B"), ("/%3a%40", "/%3A%40"),
        // What may not stand in a path is escaped.
        ("/a|b", "/a%7Cb"), ("/a%7cb", "/a%7Cb"), ("/\"<>^`{}[]", "/%22%3C%3E%5E%60%7B%7D%5B%5D"),
        ("/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
        ("/..|/a", "/..%7C/a"),
        // Slashes.
        ("//", "/"), ("///a////b//", "/a/b/"), ("//admin", "/admin"), ("/a//..", "/a/"), ("/a//../b", "/a/b"),
        ("/a/..//b", "/b"), ("/a/.//b", "/a/b"), ("//../a", "/a"), ("/a///../../b", "/a/b"),
        // Backslashes.
        ("/a\\b", "/a/b"), ("/\\admin", "/admin"), ("\\a", "/a"), ("/a\\..\\b", "/b"), ("/a/\\../b", "/a/b"),
        // Parameters are part of a segment, except that some servers strip them from dot segments.
        ("/a;b/c", "/a;b/c"), ("/..a;b/c", "/..a;b/c"), ("/;/a", "/;/a"), ("/.;/a", "?"), ("/..;/a", "?"),
        ("/a/..;x=y/b", "?"), ("/a/%2e%2e;/b", "?"), ("/a/.;", "?"), ("/...;/a", "/...;/a"),
        // NUL and encoded separators.
        ("/a%00", "0"), ("/%00/../a", "0"), ("/a%2fb", "/"), ("/a%2Fb", "/"), ("/a%5cb", "\\"), ("/a%5Cb", "\\"),
        ("/a%252fb", "/a%252fb"), ("/a%01%7f%ff", "/a%01%7F%FF"), ("/a%0d%0a", "/a%0D%0A"),
    ])
    func isNormalized(_ path: String, _ expected: String) {
        let isEncodedSlash = path.lowercased().contains("%2f") || path.lowercased().contains("%5c")
        let outcome: Outcome =
            switch expected {
            case "!": .error(.invalidEscape)
            case "?": .error(.dotSegmentWithParameter)
            case "0": .error(.encodedNUL)
            case _ where isEncodedSlash && !path.contains("%25"): .error(.encodedSlash)
            default: .path(expected)
            }
        #expect(Self.normalize(path) == outcome)
    }

    @Test func encodedSlashesStayWhereNoRuleIsAboutPaths() {
        #expect(Self.normalize("/a%2fb%5c/../c", rejectsEncodedSlashes: false) == .path("/c"))
        #expect(Self.normalize("/a%2fb%5cc", rejectsEncodedSlashes: false) == .path("/a%2Fb%5Cc"))
        #expect(Self.normalize("/a%2f..%2fb", rejectsEncodedSlashes: false) == .path("/a%2F..%2Fb"))
        #expect(Self.normalize("/a%00", rejectsEncodedSlashes: false) == .error(.encodedNUL))
    }

    @Test(arguments: [("/ab", 2), ("/a|", 4), ("/%2d%7c", 4), ("/a/%C3%A9", 8), ("/", 0)])
    func anOutputThatIsTooShortIsAnErrorAndNoOverrun(_ path: String, _ count: Int) {
        var output = [UInt8](repeating: 0, count: count)
        var span = output.mutableSpan
        let bytes = latin1(path)
        let input = unsafe bytes.span.bytes
        #expect(PathNormalizer.normalize(input, rejectsEncodedSlashes: true, into: &span) == .rejected(.tooLong))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func theNormalFormOfANormalFormIsItself(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let parts = [
            "/", "/", "//", ".", "..", "a", "B", "%2e", "%2E", "%", "%2", "%25", "%2f", "%5C", "%61", "%c3", "\\", ";",
            "~", "+",
            "%32%65", "...", "%00", "1", "e", "|",
        ]
        for _ in 0..<2_000 {
            var path = "/"
            for _ in 0..<Int.random(in: 0..<14, using: &random) { path += parts.randomElement(using: &random) ?? "" }
            for rejects in [true, false] {
                guard case .path(let normal) = Self.normalize(path, rejectsEncodedSlashes: rejects) else { continue }
                #expect(Self.normalize(normal, rejectsEncodedSlashes: rejects) == .path(normal), "\(path)")
                #expect(normal.utf8.count <= path.utf8.count + 2 * path.count { $0 == "|" })
                #expect(normal.hasPrefix("/"))
                #expect(!normal.contains("//") && !normal.contains("/./") && !normal.contains("/../"), "\(path)")
                #expect(!normal.contains("\\") && !normal.hasSuffix("/..") && !normal.hasSuffix("/."), "\(path)")
                // The parser marks every path that is not its own normal form.
                let request = parseRequest("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(request.head?.needsNormalization == true || normal == path, "\(path)")
            }
        }
    }
}
