import Mesh

extension ObjectDecoder {
    /// Weft's ExtensionProvider.
    static func decodeExtensionProvider(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> ExternalAuthorizer? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var decoder = ExtensionProviderDecoder()
        defer { issues += decoder.issues }
        return decoder.decode(spec, name: metadata.name.name)
    }
}

private struct ExtensionProviderDecoder {
    var issues: [ConditionIssue] = []

    mutating func decode(_ spec: YAMLValue, name: String) -> ExternalAuthorizer? {
        var authorizers: [ExternalAuthorizer] = []
        var count = 0
        spec.forEachField { field, value in
            count += 1
            var authorizer: ExternalAuthorizer?
            switch field {
            case "envoyExtAuthzHttp": authorizer = http(value, name)
            case "envoyExtAuthzGrpc": authorizer = grpc(value, name)
            case "opa": authorizer = opa(value, name)
            default: value.reportUnknownField()
            }
            if let authorizer { authorizers.append(authorizer) }
        }
        if spec.isMapping, count != 1 {
            spec.report("exactly one of envoyExtAuthzHttp, envoyExtAuthzGrpc and opa is required")
        }
        return authorizers.first
    }

    private mutating func http(_ value: YAMLValue, _ name: String) -> ExternalAuthorizer? {
        var check = ExternalAuthorizer.HTTPCheck()
        var authorizer = common(value, name) { field, value in
            switch field {
            case "pathPrefix": check.pathPrefix = HTTPRouteMatches.literalPath(value) ?? ""
            case "includeRequestHeadersInCheck": check.requestHeaders = value.map { $0.headerNameMatch() }
            case "includeAdditionalHeadersInCheck": check.additionalHeaders = Self.headers(value)
            case "headersToUpstreamOnAllow": check.upstreamOnAllow = value.map { $0.headerNameMatch() }
            case "headersToDownstreamOnAllow": check.downstreamOnAllow = value.map { $0.headerNameMatch() }
            case "headersToDownstreamOnDeny": check.downstreamOnDeny = value.map { $0.headerNameMatch() }
            default: return false
            }
            return true
        }
        readBody(value, "envoyExtAuthzHttp")
        // A trailing slash would be there twice, because paths begin with one.
        if check.pathPrefix.hasSuffix("/") { check.pathPrefix.removeLast() }
        authorizer?.api = .http(check)
        return authorizer
    }

    private mutating func grpc(_ value: YAMLValue, _ name: String) -> ExternalAuthorizer? {
        readBody(value, "envoyExtAuthzGrpc")
        return common(value, name) { _, _ in false }
    }

    private mutating func opa(_ value: YAMLValue, _ name: String) -> ExternalAuthorizer? {
        var path: String?
        var authorizer = common(value, name) { field, value in
            if ["clearRouteCache", "includeRequestBodyInCheck"].contains(field) {
                value.reportUnknownField()
            } else if field == "path" {
                path = HTTPRouteMatches.literalPath(value)
            } else {
                return false
            }
            return true
        }
        if value.isMapping, value.field("path") == nil { value.reportMissing("path") }
        guard let path else { return nil }
        authorizer?.api = .opa(path: path)
        return authorizer
    }

    /// What all of them have; `own` reads the other fields and returns whether it knows one.
    private func common(
        _ value: YAMLValue, _ name: String, own: (String, YAMLValue) -> Bool
    ) -> ExternalAuthorizer? {
        var service: ObjectName?
        var port: UInt16?
        var result = ExternalAuthorizer(
            name: name, api: .grpc, service: ObjectName(namespace: "", name: ""), port: 0)
        value.forEachField { field, value in
            if own(field, value) { return }
            switch field {
            case "service": service = Self.service(value)
            case "port": port = value.port()
            case "timeout": result.timeout = value.istioMilliseconds(atLeast: 1) ?? result.timeout
            case "failOpen": result.failsOpen = value.bool() ?? false
            case "statusOnError": result.statusOnError = Self.status(value) ?? result.statusOnError
            // Routes are chosen after this decision in any case.
            case "clearRouteCache": _ = value.bool()
            // See `readBody`.
            case "includeRequestBodyInCheck": break
            default: value.reportUnknownField()
            }
        }
        for field in ["service", "port"] where value.isMapping && value.field(field) == nil {
            value.reportMissing(field)
        }
        guard let service, let port else { return nil }
        (result.service, result.port) = (service, port)
        return result
    }

    private mutating func readBody(_ value: YAMLValue, _ name: String) {
        guard let body = value.field("includeRequestBodyInCheck") else { return }
        body.forEachField { field, value in
            switch field {
            case "maxRequestBytes": _ = value.count32(1...Int64(UInt32.max))
            case "allowPartialMessage", "packAsBytes": _ = value.bool()
            default: value.reportUnknownField()
            }
        }
        issues.append(
            .unsupported("spec.\(name).includeRequestBodyInCheck: the authorizer gets requests without their bodies"))
    }

    /// `[NAMESPACE/]HOST`, as in Istio.
    private static func service(_ value: YAMLValue) -> ObjectName? {
        guard let text = value.text(maximum: 253, what: "a service") else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let service: ObjectName? =
            switch parts.count {
            case 1 where parts[0].contains("."): ServiceHost.service(parts[0], from: "")
            case 2: ServiceHost.service(parts[1], from: parts[0])
            default: nil
            }
        guard let service, !service.namespace.isEmpty, parts.count == 1 || service.namespace == parts[0] else {
            value.report(
                "\"\(text.prefix(64))\" is not a Service's: write NAME.NAMESPACE or NAME.NAMESPACE.svc.cluster.local")
            return nil
        }
        return service
    }

    /// A status code, which Istio writes as a string.
    private static func status(_ value: YAMLValue) -> UInt16? {
        if value.isInteger { return value.statusCode(400...599) }
        guard let text = value.string() else { return nil }
        guard let code = UInt16(text), (400...599).contains(code) else {
            value.report("\"\(text.prefix(64))\" is not the status code of an error (400...599)")
            return nil
        }
        return code
    }

    private static func headers(_ value: YAMLValue) -> [String: String] {
        var headers: [String: String] = [:]
        value.forEachField { name, value in
            guard HTTPSyntax.isToken(name) else {
                return value.report("\"\(name.prefix(64))\" is not a header name (RFC 9110 §5.6.2)")
            }
            if let text = value.headerValue(allowsEmpty: true) { headers[name.lowercased()] = text }
        }
        return headers
    }
}
