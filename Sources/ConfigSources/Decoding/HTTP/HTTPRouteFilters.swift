import Mesh

/// The filters of one rule or one backend.
struct HTTPRouteFilters {
    var requestHeaders: HeaderModification?
    var responseHeaders: HeaderModification?
    var redirect: HTTPRedirect?
    var rewrite: URLRewrite?
    var cors: CORSPolicy?
    var mirrors: [HTTPMirror] = []
    /// Why it cannot be carried out.
    var unsupported: [String] = []
}

extension HTTPRouteDecoder {
    private static let bodies: KeyValuePairs<String, String> = [
        "RequestHeaderModifier": "requestHeaderModifier", "ResponseHeaderModifier": "responseHeaderModifier",
        "RequestMirror": "requestMirror", "RequestRedirect": "requestRedirect", "URLRewrite": "urlRewrite",
        "ExtensionRef": "extensionRef", "CORS": "cors", "ExternalAuth": "externalAuth",
    ]

    mutating func filters(_ value: YAMLValue) -> HTTPRouteFilters {
        value.checkCount(16, of: "filters")
        var filters = HTTPRouteFilters()
        var types: Set<String> = []
        value.forEachElement { element in
            guard let type = readType(element), let body = body(element, type) else { return }
            if !types.insert(type).inserted, !["RequestMirror", "ExtensionRef", "ExternalAuth"].contains(type) {
                return element.report("a second \(type) filter: it cannot be repeated")
            }
            read(type, body, &filters)
        }
        if types.contains("RequestRedirect"), types.contains("URLRewrite") {
            value.report("RequestRedirect and URLRewrite exclude each other")
        }
        return filters
    }

    private func readType(_ element: YAMLValue) -> String? {
        guard let type = element.field("type") else {
            if element.isMapping { element.reportMissing("type") } else { element.forEachField { _, _ in } }
            return nil
        }
        guard let text = type.string() else { return nil }
        guard Self.bodies.contains(where: { $0.key == text }) else {
            type.report("\"\(text)\" is not one of \(Self.bodies.map(\.key).joined(separator: ", "))")
            return nil
        }
        return text
    }

    /// What the filter's type says that it has, and nothing else.
    private func body(_ element: YAMLValue, _ type: String) -> YAMLValue? {
        let own = Self.bodies.first { $0.key == type }?.value ?? ""
        element.forEachField { field, value in
            if field == "type" || field == own || value.isNull { return }
            if Self.bodies.contains(where: { $0.value == field }) {
                value.report("a filter of type \(type) cannot have it")
            } else {
                value.reportUnknownField()
            }
        }
        guard let body = element.field(own) else {
            element.reportMissing(own)
            return nil
        }
        return body
    }

    private mutating func read(_ type: String, _ body: YAMLValue, _ filters: inout HTTPRouteFilters) {
        switch type {
        case "RequestHeaderModifier": filters.requestHeaders = headerModification(body)
        case "ResponseHeaderModifier": filters.responseHeaders = headerModification(body)
        case "RequestRedirect": filters.redirect = redirect(body)
        case "URLRewrite": filters.rewrite = rewrite(body)
        case "CORS": filters.cors = cors(body)
        case "RequestMirror":
            if let mirror = mirror(body) { filters.mirrors.append(mirror) }
        case "ExtensionRef":
            var kind = ""
            body.forEachField { field, value in
                switch field {
                case "kind": kind = value.string() ?? ""
                case "group", "name": _ = value.string()
                default: value.reportUnknownField()
                }
            }
            for field in ["group", "kind", "name"] where body.isMapping && body.field(field) == nil {
                body.reportMissing(field)
            }
            let reason = "there is no filter of the kind \(kind)"
            filters.unsupported.append(reason)
            issues.append(
                ConditionIssue(
                    .resolvedRefs, reason: "InvalidKind", message: "rule \(ruleIndex): \(reason) (requests get 500)"))
        default:
            filters.unsupported.append("the filter \(type) is not supported")
            brokenRules.append((ruleIndex, "the filter \(type) is not supported"))
        }
    }

    // MARK: - Headers

    private func headerModification(_ value: YAMLValue) -> HeaderModification {
        var result = HeaderModification()
        value.forEachField { field, value in
            switch field {
            case "set": result.set = fields(value)
            case "add": result.add = fields(value)
            case "remove":
                value.checkCount(16, of: "headers")
                var names: Set<String> = []
                result.remove = value.map { value in
                    guard let name = value.headerName() else { return nil }
                    if !names.insert(name).inserted { value.report("\"\(name)\" is there twice") }
                    return name
                }
            default: value.reportUnknownField()
            }
        }
        return result
    }

    private func fields(_ value: YAMLValue) -> [HeaderModification.Field] {
        value.checkCount(16, of: "headers")
        var names: Set<String> = []
        return value.map { element in
            var name: String?
            var text: String?
            element.forEachField { field, value in
                switch field {
                case "name": name = value.headerName()
                case "value": text = value.headerValue()
                default: value.reportUnknownField()
                }
            }
            for field in ["name", "value"] where element.isMapping && element.field(field) == nil {
                element.reportMissing(field)
            }
            guard let name, let text else { return nil }
            if !names.insert(name).inserted { element.report("\"\(name)\" is there twice") }
            return HeaderModification.Field(name: name, value: text)
        }
    }

    // MARK: - Redirect and rewrite

    private func redirect(_ value: YAMLValue) -> HTTPRedirect {
        var redirect = HTTPRedirect()
        value.forEachField { field, value in
            switch field {
            case "scheme": redirect.scheme = value.choice(["http": "http", "https": "https"])
            case "hostname": redirect.hostname = value.hostname()
            case "path": redirect.path = pathModification(value)
            case "port": redirect.port = value.port()
            case "statusCode":
                guard let status = value.statusCode(300...399) else { return }
                if [301, 302, 303, 307, 308].contains(status) {
                    redirect.status = status
                } else {
                    value.report("\(status) is not one of 301, 302, 303, 307, 308")
                }
            default: value.reportUnknownField()
            }
        }
        return redirect
    }

    private func rewrite(_ value: YAMLValue) -> URLRewrite {
        var rewrite = URLRewrite()
        value.forEachField { field, value in
            switch field {
            case "hostname": rewrite.hostname = value.hostname()
            case "path": rewrite.path = pathModification(value)
            default: value.reportUnknownField()
            }
        }
        return rewrite
    }

    private func pathModification(_ value: YAMLValue) -> PathModification? {
        var type: String?
        var texts: [String: String] = [:]
        value.forEachField { field, value in
            switch field {
            case "type":
                type = value.choice([
                    "ReplaceFullPath": "replaceFullPath", "ReplacePrefixMatch": "replacePrefixMatch",
                ])
            case "replaceFullPath", "replacePrefixMatch": texts[field] = replacement(value)
            default: value.reportUnknownField()
            }
        }
        guard let type else {
            if value.isMapping, value.field("type") == nil { value.reportMissing("type") }
            return nil
        }
        let other = type == "replaceFullPath" ? "replacePrefixMatch" : "replaceFullPath"
        value.field(other)?.report("it does not belong to this type: use \(type)")
        guard value.field(type) != nil else {
            value.reportMissing(type)
            return nil
        }
        return texts[type].map { type == "replaceFullPath" ? .full($0) : .prefix($0) }
    }

    private func replacement(_ value: YAMLValue) -> String? {
        guard let text = value.string() else { return nil }
        guard text.utf8.count <= 1024, HTTPSyntax.isPath(text) else {
            value.report(
                "\"\(text.prefix(64))\" is not a path: write other characters than letters, digits and "
                    + "-/._~!$&'()*+,;=:@ as percent escapes, 1024 characters at most")
            return nil
        }
        return text
    }

    // MARK: - Mirror and CORS

    private mutating func mirror(_ value: YAMLValue) -> HTTPMirror? {
        var target: HTTPBackend.Target?
        var parts: UInt32 = 1_000_000
        value.forEachField { field, value in
            switch field {
            case "backendRef": target = reference(value)
            case "percent": parts = value.count32(0...100).map { $0 * 10_000 } ?? parts
            case "fraction": parts = fraction(value) ?? parts
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("backendRef") == nil { value.reportMissing("backendRef") }
        if value.field("percent") != nil, value.field("fraction") != nil {
            value.report("percent and fraction exclude each other")
        }
        return target.map { HTTPMirror(target: $0, partsPerMillion: parts) }
    }

    private func fraction(_ value: YAMLValue) -> UInt32? {
        var numerator: Int64?
        var denominator: Int64 = 100
        value.forEachField { field, value in
            switch field {
            case "numerator": numerator = value.integer(0...Int64(Int32.max))
            case "denominator": denominator = value.integer(1...Int64(Int32.max)) ?? 100
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("numerator") == nil { value.reportMissing("numerator") }
        guard let numerator else { return nil }
        guard numerator <= denominator else {
            value.report("the numerator \(numerator) is more than the denominator \(denominator)")
            return nil
        }
        return UInt32((numerator * 1_000_000 + denominator / 2) / denominator)
    }

    private func cors(_ value: YAMLValue) -> CORSPolicy {
        var cors = CORSPolicy()
        value.forEachField { field, value in
            switch field {
            case "allowOrigins": readOrigins(value, &cors)
            case "allowMethods":
                cors.allowMethods = names(value, limit: 9) { $0.string() == "*" ? "*" : $0.methodName() }
            case "allowHeaders": cors.allowHeaders = names(value, limit: 64) { $0.headerName() }
            case "exposeHeaders": cors.exposeHeaders = names(value, limit: 64) { $0.headerName() }
            case "allowCredentials": cors.allowCredentials = value.bool() ?? false
            case "maxAge": cors.maxAge = value.count32(1...Int64(Int32.max))
            default: value.reportUnknownField()
            }
        }
        return cors
    }

    private func names(_ value: YAMLValue, limit: Int, _ read: (YAMLValue) -> String?) -> [String] {
        value.checkCount(limit, of: "values")
        let names = value.map(read)
        if names.contains("*"), names.count > 1 { value.report("\"*\" stands for all: leave the others out") }
        return names
    }

    private func readOrigins(_ value: YAMLValue, _ cors: inout CORSPolicy) {
        value.checkCount(64, of: "origins")
        let origins = value.map { $0.text(maximum: 253, what: "an origin") }
        if origins.contains("*") {
            if origins.count > 1 { value.report("\"*\" stands for all: leave the others out") }
            cors.allowsAnyOrigin = true
            return
        }
        value.forEachElement { element in
            guard let text = element.string() else { return }
            guard let origin = Self.origin(text) else {
                return element.report(
                    "\"\(text.prefix(64))\" is not an origin such as https://web.example.com or https://*.example.com")
            }
            cors.allowOrigins.append(origin)
        }
    }

    /// `scheme://host[:port]`; a `*` for the host or for its first labels becomes an expression.
    static func origin(_ text: String) -> TextMatch? {
        guard let range = text.firstRange(of: "://"), ["http", "https"].contains(text[..<range.lowerBound]) else {
            return nil
        }
        let rest = text[range.upperBound...]
        let colon = rest.firstIndex(of: ":")
        let host = rest[..<(colon ?? rest.endIndex)]
        if let colon {
            guard let port = UInt16(rest[rest.index(after: colon)...]), port > 0 else { return nil }
        }
        if host == "*" { return .regex(quoted(text[..<range.upperBound]) + "[^/]+" + quoted(rest.dropFirst())) }
        guard host.hasPrefix("*.") else {
            return HTTPSyntax.isHostname(host.lowercased()) ? .exact(text) : nil
        }
        guard HTTPSyntax.isHostname(host.dropFirst(2).lowercased()) else { return nil }
        return .regex(quoted(text[..<range.upperBound]) + "[^/:]+" + quoted(rest.dropFirst()))
    }

    private static func quoted(_ text: Substring) -> String {
        text.reduce(into: "") { result, character in
            if ".*+?()[]{}|^$\\".contains(character) { result += "\\" }
            result.append(character)
        }
    }
}
