import Mesh

/// One entry of `when`.
/// Source: https://istio.io/latest/docs/reference/config/security/conditions/
enum AuthorizationConditionDecoder {
    static func decode(_ value: YAMLValue) -> AuthorizationPolicy.Condition? {
        value.forEachField { name, value in
            if !["key", "values", "notValues"].contains(name) { value.reportUnknownField() }
        }
        let values = value.field("values")
        let notValues = value.field("notValues")
        values?.reportIfEmpty()
        notValues?.reportIfEmpty()
        if value.isMapping, values == nil, notValues == nil { value.reportMissing("values") }
        guard let keyValue = value.field("key") else {
            if value.isMapping { value.reportMissing("key") }
            return nil
        }
        guard let key = keyValue.string() else { return nil }
        func read<Element>(_ body: (YAMLValue) -> Element?) -> (values: [Element], notValues: [Element]) {
            (values?.map(body) ?? [], notValues?.map(body) ?? [])
        }
        switch key {
        case "source.ip", "remote.ip", "destination.ip":
            let blocks = read { $0.block() }
            return switch key {
            case "source.ip": .sourceIP(values: blocks.values, notValues: blocks.notValues)
            case "remote.ip": .remoteIP(values: blocks.values, notValues: blocks.notValues)
            default: .destinationIP(values: blocks.values, notValues: blocks.notValues)
            }
        case "destination.port":
            let ports = read { $0.portText() }
            return .destinationPort(values: ports.values, notValues: ports.notValues)
        case "source.principal":
            let principals = read { $0.principal() }
            return .sourcePrincipal(values: principals.values, notValues: principals.notValues)
        case "source.serviceAccount":
            let principals = read { $0.serviceAccount() }
            return .sourcePrincipal(values: principals.values, notValues: principals.notValues)
        default:
            let (values, notValues) = read { $0.match() }
            return text(keyValue, key, values, notValues)
        }
    }

    /// Of an attribute that is compared as text.
    private static func text(
        _ keyValue: YAMLValue, _ key: String, _ values: [StringMatch], _ notValues: [StringMatch]
    ) -> AuthorizationPolicy.Condition? {
        switch key {
        case "source.namespace": return .sourceNamespace(values: values, notValues: notValues)
        case "connection.sni": return .connectionSNI(values: values, notValues: notValues)
        case "request.auth.principal": return .requestPrincipal(values: values, notValues: notValues)
        case "request.auth.audiences": return .requestAudiences(values: values, notValues: notValues)
        case "request.auth.presenter": return .requestPresenter(values: values, notValues: notValues)
        case _ where key.hasPrefix("request.headers"):
            guard let name = brackets(key.dropFirst("request.headers".count)), name.count == 1,
                HTTPSyntax.isToken(name[0])
            else {
                keyValue.report("\"\(key.prefix(64))\" names no header: write request.headers[NAME]")
                return nil
            }
            return .requestHeader(name: name[0].lowercased(), values: values, notValues: notValues)
        case _ where key.hasPrefix("request.auth.claims"):
            guard let path = brackets(key.dropFirst("request.auth.claims".count)) else {
                keyValue.report(
                    "\"\(key.prefix(64))\" names no claim: write request.auth.claims[NAME], with a further [NAME] for "
                        + "each level below it")
                return nil
            }
            return .requestClaim(path: path, values: values, notValues: notValues)
        default:
            keyValue.report("unknown key \"\(key.prefix(64))\"")
            return nil
        }
    }

    /// The names in `[a][b]`; nil if it is something else.
    private static func brackets(_ text: Substring) -> [String]? {
        var names: [String] = []
        var rest = text
        while !rest.isEmpty {
            guard rest.first == "[", let end = rest.firstIndex(of: "]") else { return nil }
            let name = rest[rest.index(after: rest.startIndex)..<end]
            guard !name.isEmpty, !name.contains("[") else { return nil }
            names.append(String(name))
            rest = rest[rest.index(after: end)...]
        }
        return names.isEmpty ? nil : names
    }
}
