import Mesh

/// Paths as AuthorizationPolicies write them: one of Istio's string forms, or a template of Envoy's kind.
/// Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/#Operation,
/// https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/path/match/uri_template/v3/uri_template_match.proto
enum PathTemplate {
    /// Envoy's limit on the operators of one template.
    private static let maximumOperators = 5
    private static let marks = Set("-._~%!$&'()+,;:@=".utf8)

    /// What is wrong with a text that has braces; nil if it is a template.
    static func problem(in text: String) -> String? {
        guard text.hasPrefix("/") else { return "it has to begin with \"/\"" }
        var operators = 0
        var hasAny = false
        for element in elements(of: text) {
            if element == "{*}" || element == "{**}" {
                if hasAny { return "{**} has to be its last operator" }
                hasAny = element == "{**}"
                operators += 1
            } else if element.contains(where: { $0 == "{" || $0 == "}" }) {
                return "braces are for {*} and {**}, each a path element of its own"
            } else if element.isEmpty {
                return "it has an empty path element"
            } else if !isLiteral(element) {
                return "\"\(element.prefix(64))\" has characters other than letters, digits and -._~%!$&'()+,;:@="
            }
        }
        return operators > maximumOperators ? "at most \(maximumOperators) operators are allowed" : nil
    }

    /// Its elements, the last one empty if it ends with a slash.
    static func parse(_ text: String) -> [AuthorizationPolicy.TemplateElement] {
        let elements: [AuthorizationPolicy.TemplateElement] = elements(of: text).map {
            switch $0 {
            case "{*}": .one
            case "{**}": .any
            default: .literal(String($0))
            }
        }
        return text.hasSuffix("/") ? elements + [.literal("")] : elements
    }

    private static func elements(of text: String) -> [Substring] {
        var path = text.dropFirst()
        if path.hasSuffix("/") { path = path.dropLast() }
        return path.split(separator: "/", omittingEmptySubsequences: false)
    }

    private static func isLiteral(_ text: Substring) -> Bool {
        text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: marks.contains(byte)
            }
        }
    }
}

extension YAMLValue {
    /// A path with or without operators.
    func pathMatch() -> AuthorizationPolicy.PathMatch? {
        guard let match = match(), let text = string() else { return nil }
        guard text.contains(where: { $0 == "{" || $0 == "}" }) else { return .text(match) }
        if let problem = PathTemplate.problem(in: text) {
            report("\"\(text.prefix(64))\" is not a path template: \(problem)")
            return nil
        }
        return .template(PathTemplate.parse(text))
    }
}
