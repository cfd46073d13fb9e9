import Mesh

extension YAMLValue {
    /// Reports a list without elements, where one would match nothing, or everything, against its writer's intention.
    func reportIfEmpty() {
        if isEmptySequence { report("an empty list matches nothing: leave it out to match everything") }
    }

    func matches() -> [StringMatch] { map { $0.match() } }

    /// One of Istio's string forms: exact, `prefix*`, `*suffix` or `*`.
    func match() -> StringMatch? {
        guard let text = string() else { return nil }
        guard !text.isEmpty else {
            report("an empty string matches nothing")
            return nil
        }
        return StringMatch(istio: text)
    }

    /// A host, in lower case.
    func hostMatch() -> StringMatch? { match()?.lowercased() }

    /// A name of a header, in lower case.
    func headerNameMatch() -> StringMatch? {
        guard let match = match() else { return nil }
        let text =
            switch match {
            case .exact(let text), .prefix(let text), .suffix(let text): text
            case .present: "*"
            }
        guard HTTPSyntax.isToken(text) else {
            report("\"\(text.prefix(64))\" is not a header name (RFC 9110 §5.6.2)")
            return nil
        }
        return match.lowercased()
    }

    /// A principal: a SPIFFE id, with or without its scheme.
    func principal() -> StringMatch? {
        guard let text = string() else { return nil }
        let scheme = "spiffe://"
        guard text.hasPrefix(scheme) else { return match() }
        guard text.count > scheme.count else {
            report("\"\(text)\" names nobody: write spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/NAME")
            return nil
        }
        return StringMatch(istio: String(text.dropFirst(scheme.count)))
    }

    /// `name` or `namespace/name`, as the principal that it has in any trust domain of the mesh.
    func serviceAccount() -> StringMatch? {
        guard let text = string() else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }), !text.contains("*") else {
            report("\"\(text.prefix(64))\" is not a service account: write NAME or NAMESPACE/NAME")
            return nil
        }
        let namespace = parts.count == 2 ? String(parts[0]) : ownNamespace
        return .exact("cluster.local/ns/\(namespace)/sa/\(parts[parts.count - 1])")
    }

    /// `metadata.namespace` of the object that this value is in.
    private var ownNamespace: String {
        var root = self
        while let parent = root.parent, root.field("metadata") == nil { root = parent }
        return root.field("metadata")?.field("namespace")?.string() ?? "default"
    }

    func block() -> IPBlock? {
        guard let text = string() else { return nil }
        guard let block = IPBlock(text) else {
            report("\"\(text.prefix(64))\" is not an address block such as 10.1.0.0/16, 10.1.2.3 or 2001:db8::/32")
            return nil
        }
        return block
    }

    /// A port, which Istio writes as a string.
    func portText() -> UInt16? {
        guard let text = string() else { return nil }
        guard let port = UInt16(text), port > 0 else {
            report("\"\(text.prefix(64))\" is not a port (1...65535)")
            return nil
        }
        return port
    }
}

extension StringMatch {
    /// Istio's string forms.
    init(istio text: String) {
        if text == "*" {
            self = .present
        } else if text.hasSuffix("*") {
            self = .prefix(String(text.dropLast()))
        } else if text.hasPrefix("*") {
            self = .suffix(String(text.dropFirst()))
        } else {
            self = .exact(text)
        }
    }

    func lowercased() -> StringMatch {
        switch self {
        case .exact(let text): .exact(text.lowercased())
        case .prefix(let text): .prefix(text.lowercased())
        case .suffix(let text): .suffix(text.lowercased())
        case .present: .present
        }
    }
}
