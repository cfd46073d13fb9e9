public import Mesh

/// The rules of one port of a service, in words.
public struct RouteListing: Codable, Sendable, Equatable {
    public struct Rule: Codable, Sendable, Equatable {
        /// `HTTPRoute shop/web rule 0`.
        public var title: String
        /// Empty: any.
        public var hostnames: [String]
        /// Each suffices; empty: every request.
        public var matches: [String]
        /// What is done to requests and responses on their way.
        public var filters: [String]
        /// Where requests go, with their shares, or how they are answered.
        public var backends: [String]
    }

    /// `namespace/name`.
    public var service: String
    public var port: UInt16
    /// The objects whose rules need the proxy; empty: the port is not in the proxy lane.
    public var reasons: [String]
    /// In the order in which they decide between equals.
    public var rules: [Rule]

    /// The ports of a service; nil without such a service.
    public static func of(_ name: ObjectName, in snapshot: MeshSnapshot) -> [RouteListing]? {
        guard let service = snapshot.services[name] else { return nil }
        return service.ports.filter { $0.transport == .tcp }.map { port in
            RouteListing(
                service: name.description, port: port.port, reasons: port.proxyReasons,
                rules: (port.http?.rules ?? []).map(Rule.init))
        }
    }
}

extension RouteListing.Rule {
    init(_ rule: HTTPRule) {
        title = rule.title
        hostnames = rule.hostnames
        matches = rule.matches.map(Self.text)
        filters = Self.filters(rule)
        switch rule.action {
        case .forward(let backends):
            self.backends = backends.isEmpty ? ["none: 500"] : backends.map { Self.text($0, of: backends) }
        case .redirect(let redirect): backends = ["redirect \(redirect.status)"]
        case .respond(let response): backends = ["direct response \(response.status)"]
        }
    }

    private static func text(_ backend: HTTPBackend, of all: [HTTPBackend]) -> String {
        let total = all.reduce(0) { $0 + UInt64($1.weight) }
        let percent = total == 0 ? 0 : Double(backend.weight) * 100 / Double(total)
        let share = percent == percent.rounded() ? "\(Int(percent))" : "\((percent * 10).rounded() / 10)"
        return all.count == 1 ? text(backend.target) : "\(text(backend.target)) \(share)%"
    }

    private static func text(_ target: HTTPBackend.Target) -> String {
        switch target {
        case .service(let name, let port, let subset):
            ClusterKey(service: name, port: port, subset: subset).description
        case .invalid(let why): "invalid (\(why)): 500"
        }
    }

    // MARK: Matches

    private static func text(_ match: HTTPMatch) -> String {
        var parts: [String] = []
        switch match.path {
        case nil: break
        case .exact(let path): parts.append("path = \(path)")
        case .prefix(let path): parts.append("path prefix \(path)")
        case .textPrefix(let path): parts.append("path starts with \(path)")
        case .regex(let expression): parts.append("path ~ \(expression)")
        }
        if let method = match.method { parts.append("method \(text(method))") }
        parts += match.headers.map { "header \($0.name) \(text($0.value))" }
        parts += match.withoutHeaders.map { "not header \($0.name) \(text($0.value))" }
        parts += match.query.map { "query \($0.name) \(text($0.value))" }
        if let authority = match.authority { parts.append("authority \(text(authority))") }
        if let scheme = match.scheme { parts.append("scheme \(text(scheme))") }
        parts += match.sourceLabels.sorted { $0.key < $1.key }.map { "from workloads with \($0.key)=\($0.value)" }
        if let namespace = match.sourceNamespace { parts.append("from namespace \(namespace)") }
        return parts.isEmpty ? "any" : parts.joined(separator: ", ")
    }

    private static func text(_ match: TextMatch) -> String {
        switch match {
        case .exact(let value): "= \(value)"
        case .prefix(let value): "starts with \(value)"
        case .regex(let expression): "~ \(expression)"
        case .present: "is there"
        }
    }

    // MARK: Filters

    private static func filters(_ rule: HTTPRule) -> [String] {
        var filters: [String] = []
        if !rule.requestHeaders.isEmpty { filters.append("request headers: \(text(rule.requestHeaders))") }
        if !rule.responseHeaders.isEmpty { filters.append("response headers: \(text(rule.responseHeaders))") }
        if let rewrite = rule.rewrite {
            let parts = [rewrite.hostname.map { "host \($0)" }, rewrite.path.map(text)].compactMap { $0 }
            filters.append("rewrite \(parts.joined(separator: ", "))")
        }
        if rule.cors != nil { filters.append("CORS") }
        for mirror in rule.mirrors {
            filters.append("mirror \(Double(mirror.partsPerMillion) / 10_000)% to \(text(mirror.target))")
        }
        if let delay = rule.fault?.delay {
            let duration = delay.milliseconds.map { "\($0) ms" } ?? "as the request says"
            filters.append("delay \(duration) for \(Double(delay.partsPerMillion) / 10_000)%")
        }
        if let abort = rule.fault?.abort {
            let status = abort.status.map(String.init) ?? "as the request says"
            filters.append("abort \(status) for \(Double(abort.partsPerMillion) / 10_000)%")
        }
        if let limit = rule.fault?.responseRateLimit {
            let rate = limit.kibibytesPerSecond.map { "at \($0) KiB/s" } ?? "as fast as the request says"
            filters.append("responses \(rate) for \(Double(limit.partsPerMillion) / 10_000)%")
        }
        if let timeout = rule.timeouts.request { filters.append("timeout \(timeout) ms") }
        if let timeout = rule.timeouts.backendRequest { filters.append("backend timeout \(timeout) ms") }
        if let retry = rule.retry { filters.append("up to \(retry.attempts) retries") }
        if let persistence = rule.persistence { filters.append("session persistence by \(persistence.name)") }
        filters += rule.rateLimits.map { "rate limit \($0.name)\($0.isShadow ? " (shadow)" : "")" }
        return filters
    }

    private static func text(_ modification: HeaderModification) -> String {
        (modification.set.map { "set \($0.name)" } + modification.add.map { "add \($0.name)" }
            + modification.remove.map { "remove \($0)" }).joined(separator: ", ")
    }

    private static func text(_ path: PathModification) -> String {
        switch path {
        case .full(let path): "path \(path)"
        case .prefix(let path): "path prefix \(path)"
        case .regex(let expression, let substitution): "path \(expression) → \(substitution)"
        }
    }
}
