import Mesh

extension ObjectDecoder {
    /// Istio's RequestAuthentication.
    static func decodeRequestAuthentication(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> RequestAuthenticationResource? {
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var resource = RequestAuthenticationResource(authentication: RequestAuthentication(name: metadata.name))
        guard let spec = root.field("spec") else { return resource }
        var targets = PolicyTargets()
        spec.forEachField { name, value in
            switch name {
            case "selector", "targetRef", "targetRefs": targets.read(name, value)
            case "jwtRules":
                value.checkCount(64, of: "rules")
                resource.authentication.rules = value.map { JWTRuleDecoder.decode($0, &issues) }
            default: value.reportUnknownField()
            }
        }
        targets.check(spec, &issues)
        resource.authentication.selector = targets.selector
        resource.authentication.targetServices = targets.services
        resource.isUsable = targets.isUsable
        return resource
    }
}

enum JWTRuleDecoder {
    static func decode(_ value: YAMLValue, _ issues: inout [ConditionIssue]) -> JWTRule? {
        var issuer: String?
        var keys: JWTRule.Keys?
        // Which it is does not matter before there are keys.
        var rule = JWTRule(issuer: "", keys: .inline(""))
        value.forEachField { field, value in
            switch field {
            case "issuer": issuer = value.text(maximum: 2048, what: "an issuer")
            case "audiences": rule.audiences = value.map { $0.text(maximum: 2048, what: "an audience") }
            case "jwks": keys = value.keySet().map { .inline($0) }
            case "jwksUri": keys = value.keySetURL().map { .url($0) }
            case "fromHeaders": rule.fromHeaders = value.map { tokenHeader($0) }
            case "fromParams": rule.fromParameters = value.map { $0.text(maximum: 256, what: "a parameter's name") }
            case "fromCookies": rule.fromCookies = value.map { $0.headerName() }
            case "forwardOriginalToken": rule.forwardsToken = value.bool() ?? false
            case "outputPayloadToHeader": rule.outputPayloadHeader = value.headerName()?.lowercased()
            case "outputClaimToHeaders": rule.outputClaims = value.map { outputClaim($0) }
            case "timeout": rule.timeout = value.istioMilliseconds(atLeast: 1) ?? rule.timeout
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("issuer") == nil { value.reportMissing("issuer") }
        if value.field("jwks") != nil { value.field("jwksUri")?.report("jwks and jwksUri exclude each other") }
        if value.isMapping, value.field("jwks") == nil, value.field("jwksUri") == nil {
            // Without keys no signature is valid.
            keys = .inline("{\"keys\":[]}")
            issues.append(
                .unsupported(
                    "\(value.tree.path(of: value.index)): finding the keys by the issuer's OpenID configuration is not "
                        + "supported, so no token of \(issuer ?? "it") is valid: name them with jwks or jwksUri"))
        }
        guard let issuer, let keys else { return nil }
        rule.issuer = issuer
        rule.keys = keys
        return rule
    }

    private static func tokenHeader(_ value: YAMLValue) -> JWTRule.TokenHeader? {
        var name: String?
        var prefix = ""
        value.forEachField { field, value in
            switch field {
            case "name": name = value.headerName()?.lowercased()
            case "prefix": prefix = value.string() ?? ""
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("name") == nil { value.reportMissing("name") }
        return name.map { JWTRule.TokenHeader(name: $0, prefix: prefix) }
    }

    private static func outputClaim(_ value: YAMLValue) -> JWTRule.OutputClaim? {
        var header: String?
        var claim: [String]?
        value.forEachField { field, value in
            switch field {
            case "header": header = value.headerName()?.lowercased()
            case "claim":
                guard let text = value.text(maximum: 256, what: "a claim") else { return }
                let path = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
                guard path.allSatisfy({ !$0.isEmpty }) else {
                    return value.report("\"\(text.prefix(64))\" is not a claim such as sub or realm.role")
                }
                claim = path
            default: value.reportUnknownField()
            }
        }
        for field in ["header", "claim"] where value.isMapping && value.field(field) == nil {
            value.reportMissing(field)
        }
        guard let header, let claim else { return nil }
        return JWTRule.OutputClaim(header: header, claim: claim)
    }
}

extension YAMLValue {
    /// A JSON Web Key Set, as text.
    fileprivate func keySet() -> String? {
        guard let text = text(maximum: 1 << 20, what: "a key set") else { return nil }
        guard JSONSyntax.isObject(text, with: "keys") else {
            report("not a JSON Web Key Set such as {\"keys\": [{\"kty\": \"RSA\", …}]} (RFC 7517 §5)")
            return nil
        }
        return text
    }

    /// Where a key set is: `http`, `https` with a host, or `file` with an absolute path.
    fileprivate func keySetURL() -> String? {
        guard let text = text(maximum: 2048, what: "a URL") else { return nil }
        func refuse(_ reason: String) -> String? {
            report("\"\(text.prefix(64))\" is not a key set's URL: \(reason)")
            return nil
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            return refuse("write other characters than printing ASCII as percent escapes")
        }
        if text.hasPrefix("file:") {
            let rest = text.dropFirst("file:".count)
            let path = rest.hasPrefix("//") ? rest.dropFirst(2) : rest
            return path.hasPrefix("/") && path.count > 1 ? text : refuse("write file:///PATH with an absolute path")
        }
        guard let scheme = ["http://", "https://"].first(where: { text.hasPrefix($0) }) else {
            return refuse("write http://, https:// or file://")
        }
        let authority = text.dropFirst(scheme.count).prefix { !"/?#".contains($0) }
        guard !authority.contains("@") else { return refuse("it has a user name") }
        return Self.isAuthority(authority) ? text : refuse("\"\(authority.prefix(64))\" is not HOST or HOST:PORT")
    }

    private static func isAuthority(_ text: Substring) -> Bool {
        var host = text
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return false }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return false }
            port = rest.isEmpty ? nil : rest.dropFirst()
            guard IPAddress(String(host)) != nil else { return false }
        } else {
            if let colon = text.firstIndex(of: ":") {
                (host, port) = (text[..<colon], text[text.index(after: colon)...])
            }
            guard HTTPSyntax.isHostname(host.lowercased()) else { return false }
        }
        return port.map { UInt16($0).map { $0 > 0 } ?? false } ?? true
    }
}
