import Mesh

extension VirtualServiceDecoder {
    // MARK: - Destinations

    mutating func route(_ value: YAMLValue) -> [HTTPBackend] {
        var hasWeight: [Bool] = []
        var backends: [HTTPBackend] = value.map { element in
            var backend: HTTPBackend?
            var weight: UInt32 = 0
            var request = HeaderModification()
            var response = HeaderModification()
            element.forEachField { field, value in
                switch field {
                case "destination": backend = destination(value).map { HTTPBackend(target: $0) }
                case "weight": weight = value.count32(0...Int64(Int32.max)) ?? 0
                case "headers": readHeaders(value, &request, &response)
                default: value.reportUnknownField()
                }
            }
            if element.isMapping, element.field("destination") == nil { element.reportMissing("destination") }
            hasWeight.append(element.field("weight") != nil)
            backend?.weight = weight
            if let authority = Self.takeAuthority(&request) { backend?.rewrite = URLRewrite(hostname: authority) }
            backend?.requestHeaders = request
            backend?.responseHeaders = response
            return backend
        }
        // A single destination takes everything, whatever its weight.
        if backends.count == 1 { backends[0].weight = 1 }
        if backends.count > 1, backends.allSatisfy({ $0.weight == 0 }) {
            value.report(
                hasWeight.contains(true) ? "the weights of all destinations are 0" : "several destinations need weights"
            )
        }
        return backends
    }

    mutating func destination(_ value: YAMLValue) -> HTTPBackend.Target? {
        var host: String?
        var subset: String?
        var port: UInt16 = 0
        value.forEachField { field, value in
            switch field {
            case "host": host = value.text(maximum: 253, what: "a host")
            case "subset": subset = value.string().flatMap { $0.isEmpty ? nil : $0 }
            case "port":
                value.forEachField { field, value in
                    guard field == "number" else { return value.reportUnknownField() }
                    port = value.port() ?? 0
                }
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("host") == nil { value.reportMissing("host") }
        guard let host else { return nil }
        guard let service = ServiceHost.service(host, from: key.name.namespace) else {
            let text = "the destination \"\(host)\" is not a Service: write \(Self.hostForms)"
            issues.append(.notFound(text))
            return .invalid(text)
        }
        return .service(service, port: port, subset: subset)
    }

    mutating func mirror(_ value: YAMLValue) -> HTTPMirror? {
        var target: HTTPBackend.Target?
        var parts: UInt32 = 1_000_000
        value.forEachField { field, value in
            switch field {
            case "destination": target = destination(value)
            case "percentage": parts = percent(value) ?? parts
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("destination") == nil { value.reportMissing("destination") }
        return target.map { HTTPMirror(target: $0, partsPerMillion: parts) }
    }

    /// `{ value: 12.5 }`, as parts of a million.
    func percent(_ value: YAMLValue) -> UInt32? {
        var parts: UInt32? = 0
        value.forEachField { field, value in
            guard field == "value" else { return value.reportUnknownField() }
            parts = value.percentage()
        }
        return parts
    }

    // MARK: - Redirect, rewrite and response

    mutating func redirect(_ value: YAMLValue) -> HTTPRedirect {
        var redirect = HTTPRedirect()
        redirect.status = 301
        var derived: String?
        value.forEachField { field, value in
            switch field {
            case "uri": redirect.path = path(value).map { .full($0) }
            case "prefixRewrite", "prefix_rewrite": redirect.path = path(value).map { .prefix($0) }
            case "authority": redirect.hostname = value.text(maximum: 253, what: "an authority")
            case "scheme": redirect.scheme = value.choice(["http": "http", "https": "https"])
            case "port": redirect.port = value.port()
            case "derivePort":
                derived = value.choice([
                    "FROM_PROTOCOL_DEFAULT": "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT": "FROM_REQUEST_PORT",
                ])
            case "redirectCode":
                guard let status = value.statusCode(300...399) else { return }
                if [301, 302, 303, 307, 308].contains(status) {
                    redirect.status = status
                } else {
                    value.report("\(status) is not one of 301, 302, 303, 307, 308")
                }
            default: value.reportUnknownField()
            }
        }
        if value.field("uri") != nil, (value.field("prefixRewrite") ?? value.field("prefix_rewrite")) != nil {
            value.report("uri and prefixRewrite exclude each other")
        }
        if let derived {
            if redirect.port != nil { value.report("port and derivePort exclude each other") }
            if derived == "FROM_PROTOCOL_DEFAULT" {
                redirect.port = redirect.scheme == "https" ? 443 : 80
            } else if redirect.scheme != nil {
                issues.append(
                    .unsupported(
                        "\(value.tree.path(of: value.index)).derivePort FROM_REQUEST_PORT is not supported with a scheme: "
                            + "the redirect is to the scheme's own port"))
            }
        }
        // `authority` may bring a port of its own.
        if redirect.port == nil, let authority = redirect.hostname, let colon = authority.lastIndex(of: ":"),
            !authority.hasSuffix("]"), let port = UInt16(authority[authority.index(after: colon)...])
        {
            redirect.hostname = String(authority[..<colon])
            redirect.port = port
        }
        return redirect
    }

    func rewrite(_ value: YAMLValue) -> URLRewrite {
        var rewrite = URLRewrite()
        value.forEachField { field, value in
            switch field {
            case "uri": rewrite.path = path(value).map { .prefix($0) }
            case "authority": rewrite.hostname = value.text(maximum: 253, what: "an authority")
            case "uriRegexRewrite":
                let match = value.field("match")?.expression()
                let substitution = value.field("rewrite")?.string()
                value.forEachField { field, value in
                    if field != "match", field != "rewrite" { value.reportUnknownField() }
                }
                for field in ["match", "rewrite"] where value.isMapping && value.field(field) == nil {
                    value.reportMissing(field)
                }
                guard let match, let substitution else { return }
                if let problem = RegularExpressionSyntax.problem(in: match, substitution: substitution) {
                    value.field("rewrite")?.report("\"\(substitution.prefix(64))\" cannot replace it: \(problem)")
                }
                rewrite.path = .regex(match, substitution: substitution)
            default: value.reportUnknownField()
            }
        }
        if value.field("uri") != nil, value.field("uriRegexRewrite") != nil {
            value.report("uri and uriRegexRewrite exclude each other")
        }
        return rewrite
    }

    private func path(_ value: YAMLValue) -> String? {
        guard let text = value.text(maximum: 1024, what: "a path") else { return nil }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            value.report("\"\(text.prefix(64))\" is not a path: write other characters as percent escapes")
            return nil
        }
        return text
    }

    func directResponse(_ value: YAMLValue) -> DirectResponse? {
        var status: UInt16?
        var body = ""
        value.forEachField { field, value in
            switch field {
            case "status": status = value.statusCode()
            case "body":
                value.forEachField { field, value in
                    switch field {
                    case "string": body = value.string() ?? ""
                    case "bytes": body = base64(value) ?? ""
                    default: value.reportUnknownField()
                    }
                }
                if value.field("string") != nil, value.field("bytes") != nil {
                    value.report("string and bytes exclude each other")
                }
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("status") == nil { value.reportMissing("status") }
        if body.utf8.count > 1 << 20 { value.field("body")?.report("a body of more than 1 MiB") }
        return status.map { DirectResponse(status: $0, body: body) }
    }

    /// Text in base64 (RFC 4648 §4).
    private func base64(_ value: YAMLValue) -> String? {
        guard let text = value.string() else { return nil }
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var bytes: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        let digits = text.utf8.split(separator: UInt8(ascii: "="), maxSplits: 1).first ?? text.utf8[...].prefix(0)
        for byte in digits {
            guard let digit = alphabet.firstIndex(of: byte) else {
                value.report("not base64")
                return nil
            }
            bits = bits << 6 | UInt32(digit)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        guard let body = String(validating: bytes, as: UTF8.self) else {
            value.report("a body that is not UTF-8 is not supported")
            return nil
        }
        return body
    }

    // MARK: - Headers

    func readHeaders(
        _ value: YAMLValue, _ request: inout HeaderModification, _ response: inout HeaderModification
    ) {
        value.forEachField { field, value in
            switch field {
            case "request": request = modification(value)
            case "response": response = modification(value)
            default: value.reportUnknownField()
            }
        }
    }

    private func modification(_ value: YAMLValue) -> HeaderModification {
        var result = HeaderModification()
        value.forEachField { field, value in
            switch field {
            case "set": result.set = fields(value, allowsAuthority: true)
            case "add": result.add = fields(value, allowsAuthority: false)
            case "remove": result.remove = value.map { $0.headerName() }
            default: value.reportUnknownField()
            }
        }
        return result
    }

    private func fields(_ value: YAMLValue, allowsAuthority: Bool) -> [HeaderModification.Field] {
        var fields: [HeaderModification.Field] = []
        value.forEachField { name, value in
            guard HTTPSyntax.isToken(name) || (allowsAuthority && name == ":authority") else {
                return value.report("\"\(name.prefix(64))\" is not a header name (RFC 9110 §5.6.2)")
            }
            if let text = value.headerValue(allowsEmpty: true) {
                fields.append(HeaderModification.Field(name: name, value: text))
            }
        }
        return fields
    }

    // MARK: - CORS

    mutating func cors(_ value: YAMLValue) -> CORSPolicy {
        var cors = CORSPolicy()
        value.forEachField { field, value in
            switch field {
            case "allowOrigins": add(value.map { stringMatch($0) }, to: &cors)
            case "allowOrigin": add(value.map { $0.string() }.map { .exact($0) }, to: &cors)
            case "allowMethods": cors.allowMethods = value.map { $0.string() }
            case "allowHeaders": cors.allowHeaders = value.map { $0.string() == "*" ? "*" : $0.headerName() }
            case "exposeHeaders": cors.exposeHeaders = value.map { $0.string() == "*" ? "*" : $0.headerName() }
            case "maxAge": cors.maxAge = value.istioMilliseconds().map { $0 / 1000 }
            case "allowCredentials": cors.allowCredentials = value.bool() ?? false
            case "unmatchedPreflights":
                if value.choice(["UNSPECIFIED": false, "FORWARD": false, "IGNORE": true]) == true {
                    issues.append(
                        .unsupported(
                            "\(value.tree.path(of: value.index)) IGNORE is not supported: preflights of other origins "
                                + "are forwarded"))
                }
            default: value.reportUnknownField()
            }
        }
        return cors
    }

    private func add(_ origins: [TextMatch], to cors: inout CORSPolicy) {
        if origins.contains(.exact("*")) { cors.allowsAnyOrigin = true }
        cors.allowOrigins += origins.filter { $0 != .exact("*") }
    }
}
