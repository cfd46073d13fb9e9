import Mesh
import Testing

@Suite struct RegularExpressionSyntaxTests {
    @Test(arguments: ["", "/users/[0-9]+", "(?i)abc", "a{2,3}", "\\d+\\.\\w*"])
    func fine(_ expression: String) {
        #expect(RegularExpressionSyntax.problem(in: expression) == nil)
    }

    @Test(arguments: [
        ("(", "missing )"), ("[a", "missing ]"), ("a**", "repetition"), ("(?=x)", "(?="), ("\\1", "escape"),
        ("a{1001}", "repetition"), ("((a{100}){100}){100}", "repetition"),
    ])
    func refused(_ expression: String, _ reason: String) throws {
        let problem = try #require(RegularExpressionSyntax.problem(in: expression))
        #expect(problem.contains(reason))
    }

    @Test func substitutionsNameOnlyGroupsThatExist() {
        #expect(RegularExpressionSyntax.problem(in: "/a/(.*)", substitution: "/b/\\1") == nil)
        #expect(RegularExpressionSyntax.problem(in: "/a/(.*)", substitution: "/b/\\2") != nil)
        #expect(RegularExpressionSyntax.problem(in: "/a/.*", substitution: "/b/\\") != nil)
    }
}
