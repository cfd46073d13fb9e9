import CRE2

/// What is wrong with the regular expressions of a configuration (RE2 syntax, https://github.com/google/re2/wiki/Syntax).
public enum RegularExpressionSyntax {
    /// Why `expression` is not usable, as RE2 says it; nil if it is. One whose program needs more than 1 MiB is not.
    public static func problem(in expression: String) -> String? {
        check(expression, substitution: nil)
    }

    /// Why `substitution` (`\1` stands for a group) cannot replace what `expression` matches; nil if it can.
    public static func problem(in expression: String, substitution: String) -> String? {
        check(expression, substitution: substitution)
    }

    private static func check(_ expression: String, substitution: String?) -> String? {
        var problem = [CChar](repeating: 0, count: 256)
        let isFine = unsafe problem.withUnsafeMutableBufferPointer { problem in
            var expression = expression
            let regex = expression.withUTF8 {
                unsafe weft_regex_create($0.baseAddress, $0.count, problem.baseAddress, problem.count)
            }
            guard let regex = unsafe regex else { return false }
            defer { unsafe weft_regex_free(regex) }
            guard var substitution else { return true }
            return substitution.withUTF8 {
                unsafe weft_regex_check_substitution(
                    regex, $0.baseAddress, $0.count, problem.baseAddress, problem.count) == 1
            }
        }
        guard !isFine else { return nil }
        let bytes = problem.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
