import Mesh

/// The Gateway API's HTTPRouteMatch.
enum HTTPRouteMatches {
    static func match(_ value: YAMLValue) -> HTTPMatch? {
        var match = HTTPMatch()
        value.forEachField { field, value in
            switch field {
            case "path": match.path = path(value)
            case "method": match.method = value.methodName().map { .exact($0) }
            case "headers": match.headers = headers(value)
            case "queryParams":
                match.query = named(value, limit: 16, of: "query parameters", valueLimit: 1024) { $0 }
            default: value.reportUnknownField()
            }
        }
        return value.isMapping || value.isNull ? match : nil
    }

    /// Header matches; names in lower case.
    static func headers(_ value: YAMLValue) -> [NamedMatch] {
        named(value, limit: 16, of: "headers", valueLimit: 4096) { $0.lowercased() }
    }

    private static func path(_ value: YAMLValue) -> PathMatch? {
        enum Form { case exact, prefix, expression }
        var form: Form? = .prefix
        var text: String? = "/"
        if let type = value.field("type") {
            form = type.choice(["Exact": .exact, "PathPrefix": .prefix, "RegularExpression": .expression])
        }
        let written = value.field("value")
        value.forEachField { field, _ in
            if field != "type", field != "value" { value.field(field)?.reportUnknownField() }
        }
        switch form {
        case .expression: return (written?.expression() ?? (written == nil ? "/" : nil)).map { .regex($0) }
        case .exact, .prefix:
            if let written { text = literalPath(written) }
            guard let text else { return nil }
            return form == .exact ? .exact(text) : .prefix(text)
        case nil: return nil
        }
    }

    /// A normalised absolute path.
    static func literalPath(_ value: YAMLValue) -> String? {
        guard let text = value.text(maximum: 1024, what: "a path") else { return nil }
        func refuse(_ reason: String) -> String? {
            value.report("\"\(text.prefix(64))\" is not a path to match: \(reason)")
            return nil
        }
        guard text.hasPrefix("/") else { return refuse("it has to begin with \"/\"") }
        for part in ["//", "/./", "/../", "%2f", "%2F", "#"] where text.contains(part) {
            return refuse("no request has \"\(part)\" in its normalised path")
        }
        for part in ["/.", "/.."] where text.hasSuffix(part) {
            return refuse("no request's normalised path ends with \"\(part)\"")
        }
        guard HTTPSyntax.isPath(text) else {
            return refuse("write other characters than letters, digits and -/._~!$&'()*+,;=:@ as percent escapes")
        }
        return text
    }

    private static func named(
        _ value: YAMLValue, limit: Int, of what: String, valueLimit: Int, normalise: (String) -> String
    ) -> [NamedMatch] {
        value.checkCount(limit, of: what)
        var matches: [NamedMatch] = []
        var names: Set<String> = []
        value.forEachElement { element in
            var name: String?
            var isExpression: Bool? = false
            let text = element.field("value")
            element.forEachField { field, value in
                switch field {
                case "name": name = value.headerName()
                case "type": isExpression = value.choice(["Exact": false, "RegularExpression": true])
                case "value": break
                default: value.reportUnknownField()
                }
            }
            for field in ["name", "value"] where element.isMapping && element.field(field) == nil {
                element.reportMissing(field)
            }
            guard let name, let isExpression, let text else { return }
            guard names.insert(name).inserted else {
                return element.report("\"\(name)\" is there twice")
            }
            let match: TextMatch? =
                isExpression
                ? text.expression(maximum: valueLimit).map { .regex($0) }
                : text.text(maximum: valueLimit, what: "a value").map { .exact($0) }
            guard let match else { return }
            let key = normalise(name)
            // Of names that differ in case only the first counts.
            if !matches.contains(where: { $0.name == key }) { matches.append(NamedMatch(name: key, value: match)) }
        }
        return matches
    }
}
