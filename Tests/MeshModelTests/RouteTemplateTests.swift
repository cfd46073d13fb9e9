import Testing

@testable import Mesh

@Suite("Route templates")
struct RouteTemplateTests {
    @Test("are methods and paths, one on each line or with commas between them")
    func list() throws {
        let text = "GET /users/{id}, POST /users\n  DELETE   /users/{id}  \n\n/static/*\n/\n"
        let templates = try RouteTemplate.list(text)
        #expect(
            templates.map(\.description) == [
                "GET /users/{id}", "POST /users", "DELETE /users/{id}", "/static/*", "/",
            ])
        #expect(templates[0].symbols == [.literal("GET"), .literal("users"), .any])
        #expect(templates[3].symbols == [.any, .literal("static"), .rest])
        #expect(templates[4].symbols == [.any, .literal("")])
    }

    @Test(
        "that are none are refused with the reason",
        arguments: [
            ("", "there is no route template in it"), (" ,\n", "there is no route template in it"),
            ("users", "\"users\": a path begins with a slash"), ("GET", "\"GET\": a path begins with a slash"),
            ("get /a", "\"get\" is not a method in capital letters"),
            ("GET /a b", "\"GET /a b\" is not a route template, such as GET /users/{id}"),
            ("/a//b", "\"/a//b\" has an empty segment"), ("/*/a", "\"/*/a\": * is the last segment, or none"),
            ("/a?x=1", "\"/a?x=1\": a segment is text as in a URL, {name}, or, as the last one, *"),
            ("/a/{", "\"/a/{\": a segment is text as in a URL, {name}, or, as the last one, *"),
            ("/a{b}", "\"/a{b}\": a segment is text as in a URL, {name}, or, as the last one, *"),
            ("/{}", "\"/{}\": a name in braces has letters, digits, \"-\", \"_\" and \".\""),
            ("/{a b}", "\"/{a\" is not a method in capital letters"),
            ("/ä", "\"/ä\": a segment is text as in a URL, {name}, or, as the last one, *"),
            ("/{a}, /{b}", "\"/{b}\" stands for the same requests as one before it"),
            ("/" + String(repeating: "x", count: 64), " has a segment of more than 63 bytes"),
            (String(repeating: "/x", count: 17), " has more than 16 segments"),
            ("/" + String(repeating: "x", count: 256), "... has more than 256 bytes"),
            (
                (0..<256).map { "/\($0)" }.joined(separator: ","),
                "these are 256 route templates: a service has at most 255"
            ),
        ])
    func refused(text: String, reason: String) {
        do throws(RouteTemplateError) {
            _ = try RouteTemplate.list(text)
            Issue.record("\(text) is none")
        } catch {
            #expect(error.description.hasSuffix(reason), "\(error)")
        }
    }

    @Test("that overlap in too many ways are refused")
    func explosion() {
        // Every subset of them is a state of its own.
        let names = (0..<14).map { _ in "{p}" }
        let text = (0..<13).map { position in
            "/" + names.indices.map { $0 == position ? "x" : names[$0] }.joined(separator: "/")
        }.joined(separator: ",")
        #expect(throws: RouteTemplateError.self) { try RouteTemplate.list(text) }
    }

    /// Follows the steps as the kernel does.
    static func follow(_ automaton: RouteAutomaton, _ method: String, _ path: String) -> Int {
        let segments = path.dropFirst().split(separator: "/" as Character, omittingEmptySubsequences: false)
        let symbols = [method] + segments.map(String.init)
        var (state, rest) = (UInt32(0), 0)
        for (number, symbol) in symbols.enumerated() {
            let step =
                automaton.steps.first { $0.from == state && $0.symbol == symbol }
                ?? (symbol.isEmpty ? nil : automaton.steps.first { $0.from == state && $0.symbol == nil })
            guard let step else { return rest }
            if number == symbols.count - 1 { return step.route != 0 ? Int(step.route) : rest }
            if step.rest != 0 { rest = Int(step.rest) }
            guard step.to != 0 else { return rest }
            state = step.to
        }
        return rest
    }

    /// One after the other, without steps: the ones that fit, and of them the first in order.
    static func compare(_ templates: [RouteTemplate], _ method: String, _ path: String) -> Int {
        let symbols =
            [method]
            + path.dropFirst().split(separator: "/" as Character, omittingEmptySubsequences: false).map(String.init)
        func rank(_ number: Int) -> (Int, Int, String, Int) {
            let symbols = templates[number].symbols
            let weights = symbols.map { symbol in
                switch symbol {
                case .literal: "0"
                case .any: "1"
                case .rest: "2"
                }
            }
            let isOpen = symbols.last == .rest
            return (isOpen ? 1 : 0, isOpen ? -symbols.count : 0, weights.joined(), number)
        }
        let fitting = templates.indices.filter { number in
            let template = templates[number]
            let isOpen = template.symbols.last == .rest
            let fixed = isOpen ? Array(template.symbols.dropLast()) : template.symbols
            guard isOpen ? symbols.count > fixed.count : symbols.count == fixed.count else { return false }
            return zip(fixed, symbols).allSatisfy { one, text in
                switch one {
                case .literal(let literal): literal == text
                case .any: !text.isEmpty
                case .rest: false
                }
            }
        }
        return fitting.min { rank($0) < rank($1) }.map { $0 + 1 } ?? 0
    }

    @Test("followed step by step are what comparing all of them finds", arguments: 0..<20)
    func random(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        func pick(_ items: [String]) -> String { items[Int(random.next() % UInt64(items.count))] }
        var lines: Set<String> = []
        for _ in 0..<12 {
            let path = (0..<1 + random.next() % 4).map { _ in pick(["a", "b", "{x}", "{y}"]) }.joined(separator: "/")
            lines.insert(pick(["GET ", "POST ", "", ""]) + "/" + path + pick(["", "", "/", "/*"]))
        }
        var templates: [RouteTemplate] = []
        for template in try lines.sorted().map({ try RouteTemplate($0) })
        where !templates.contains(where: { $0.symbols == template.symbols }) {
            templates.append(template)
        }
        let automaton = try #require(RouteAutomaton(templates))
        for _ in 0..<500 {
            let method = pick(["GET", "POST", "PUT"])
            let path = "/" + (0..<random.next() % 6).map { _ in pick(["a", "b", "c", ""]) }.joined(separator: "/")
            #expect(
                Self.follow(automaton, method, path) == Self.compare(templates, method, path),
                "\(method) \(path): \(templates)")
        }
    }

    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
            return value ^ value >> 31
        }
    }
}
