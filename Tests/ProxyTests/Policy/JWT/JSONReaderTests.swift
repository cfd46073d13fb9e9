import Testing

@testable import Proxy

/// What a text is read as, or why not.
private func read(_ bytes: [UInt8]) -> Result<[JSONNode.Kind], JSONError> {
    var arena = JSONArena(bytes: 4096, nodes: 64)
    guard unsafe arena.append(bytes.span.bytes) else { return .failure(.tooManyValues) }
    do throws(JSONError) {
        try arena.read()
    } catch {
        return .failure(error)
    }
    let view = arena.view
    return .success(view.nodes.indices.map { view.nodes[$0].kind })
}

private func read(_ text: String) -> Result<[JSONNode.Kind], JSONError> { read(Array(text.utf8)) }

/// The text of the only string of a document.
private func string(_ text: String) -> [UInt8]? {
    var arena = JSONArena(bytes: 4096, nodes: 64)
    guard unsafe arena.append(Array(text.utf8).span.bytes), (try? arena.read()) != nil else { return nil }
    let view = arena.view
    return bytes(view.text(of: 0))
}

func bytes(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span[$0] } }

@Suite struct JSONReaderTests {
    @Test(arguments: [
        "", " ", "{", "}", "[1,]", "[,1]", "{\"a\":1,}", "{a:1}", "{'a':1}", "01", "-", "1.", ".5", "1e", "+1", "NaN",
        "tru", "nul", "\"", "\"\\x\"", "\"\\u12\"", "\"a\nb\"", "[1 2]", "{\"a\" 1}", "{\"a\":}", "1 1", "{}x",
        "// c\n1", "\u{feff}1", "[1]]", "{\"a\":1}}", "0x10", "1_0", "Infinity", "\"\u{1}\"",
    ]) func refuses(_ text: String) {
        guard case .failure = read(text) else {
            Issue.record("\(text) was read")
            return
        }
    }

    @Test func readsEveryKind() throws {
        let kinds = try read(" {\"a\":[null,true,false,-1.5e+3,\"x\",{}],\n\"b\":{\"c\":0}}\t").get()
        #expect(kinds == [.object, .array, .null, .yes, .no, .number, .string, .object, .object, .number])
    }

    @Test func refusesNamesThatComeTwice() {
        #expect(read("{\"a\":1,\"a\":1}") == .failure(.duplicateMember))
        // The same name, written differently.
        #expect(read("{\"sub\":1,\"s\\u0075b\":2}") == .failure(.duplicateMember))
        #expect(read("{\"x\":{\"a\":1,\"b\":[{\"a\":1}],\"a\":2}}") == .failure(.duplicateMember))
        #expect((try? read("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}").get()) != nil)
    }

    @Test func replacesEscapes() {
        #expect(string(#""\"\\\/\b\f\n\r\tA""#) == Array("\"\\/\u{8}\u{c}\n\r\tA".utf8))
        #expect(string(#""\u0041\u00e9\u20AC\uD83D\uDE00""#) == Array("Aé€😀".utf8))
        #expect(string("\"é€😀\"") == Array("é€😀".utf8))
    }

    @Test(arguments: [#""\uD800""#, #""\uDC00""#, #""\uD800\uD800""#, #""\uD800x""#, #""\uD83D\u0041""#])
    func refusesLoneSurrogates(_ text: String) { #expect(read(text) == .failure(.loneSurrogate)) }

    @Test(
        arguments: [
            [0x80], [0xc0, 0xaf], [0xc1, 0xbf], [0xe0, 0x80, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x80, 0x80, 0xaf],
            [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xe2, 0x82], [0xc3],
        ] as [[UInt8]]) func refusesWhatIsNotUTF8(_ bad: [UInt8])
    {
        #expect(read([0x22] + bad + [0x22]) == .failure(.notUTF8))
    }

    @Test func boundsDepthAndNumberOfValues() {
        let depth = JSONArena.maximumDepth
        #expect((try? read(String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).get()) != nil)
        #expect(read(String(repeating: "[", count: depth + 1)) == .failure(.tooDeep))
        #expect(read(String(repeating: "{\"a\":", count: depth + 1)) == .failure(.tooDeep))
        #expect(read("[" + String(repeating: "1,", count: 100) + "1]") == .failure(.tooManyValues))
    }

    @Test func changedTextsNeverTrap() {
        let original = Array(
            #"{"iss":"https://a","aud":["b","c\u00e9\uD83D\uDE00"],"exp":1.5e3,"x":{"y":[true,null]}}"#.utf8)
        var random = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            var text = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text[place] = UInt8.random(in: 0...255, using: &random)
                case 1: text.remove(at: place)
                default: text.insert(text[Int.random(in: 0..<text.count, using: &random)], at: place)
                }
            }
            // Whatever comes of it, its values cover it in order.
            guard case .success(let kinds) = read(text) else { continue }
            #expect(!kinds.isEmpty)
        }
    }
}

@Suite struct RequestClaimsTests {
    private func strings(_ claims: borrowing RequestClaims, _ path: [String]) -> [String]? {
        var node = JSONView.root
        for element in path {
            guard let next = unsafe claims.member(Array(element.utf8).span.bytes, of: node) else { return nil }
            node = next
        }
        return strings(claims, claims.values(of: node))
    }

    private func strings(_ claims: borrowing RequestClaims, _ cursor: ClaimCursor) -> [String] {
        var cursor = cursor
        var found: [String] = []
        while let value = claims.next(&cursor) { found.append(String(decoding: bytes(value), as: UTF8.self)) }
        return found
    }

    @Test func vendsWhatPoliciesCompare() {
        guard let set = ClaimSet(json: Array(Self.payload.utf8)) else {
            Issue.record("the payload was not read")
            return
        }
        let claims = set.claims
        #expect(bytes(claims.principal) == Array("https://a/b/c".utf8))
        if let presenter = claims.presenter {
            #expect(bytes(presenter) == Array("app".utf8))
        } else {
            Issue.record("no presenter")
        }
        #expect(strings(claims, claims.audiences) == ["x", "y", "z"])
        #expect(strings(claims, ["aud"]) == ["x", "y", "z"])
        #expect(strings(claims, ["scope"]) == ["read", "write"])
        #expect(strings(claims, ["n"]) == [])
        #expect(strings(claims, ["groups"]) == [])
        #expect(strings(claims, ["k", "l.m", "o"]) == ["deep"])
        #expect(strings(claims, ["k", "l"]) == nil)
        #expect(strings(claims, ["iss", "x"]) == nil)
    }

    private static let payload =
        #"{"iss":"https://a","sub":"b/c","azp":"app","aud":["x","y",1,"z"],"scope":" read  write ","n":5,"#
        + #""k":{"l.m":{"o":"deep"}},"groups":[]}"#

    @Test func withoutSubjectThereIsNoPrincipal() {
        guard let set = ClaimSet(json: Array(#"{"iss":"a","aud":"x"}"#.utf8)) else {
            Issue.record("the payload was not read")
            return
        }
        #expect(set.claims.principal.byteCount == 0)
        #expect(strings(set.claims, set.claims.audiences) == ["x"])
        let isList = ClaimSet(json: Array("[]".utf8)) != nil
        #expect(!isList)
    }
}
