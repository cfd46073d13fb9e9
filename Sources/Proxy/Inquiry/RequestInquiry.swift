public import Mesh

/// A question about a request that nobody has sent, as the command line and the admin API ask it.
public struct RequestInquiry: Codable, Sendable, Equatable {
    public struct Header: Codable, Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    public var method: String
    /// `http://web.shop/path?query`: the service by a name as DNS knows it or by its address, 80 without a port.
    public var url: String
    /// Without Host, which the URL gives unless it is here.
    public var headers: [Header]
    /// `namespace/name` of the workload that calls; nil: one outside of the mesh.
    public var from: String?

    public init(method: String, url: String, headers: [Header] = [], from: String? = nil) {
        self.method = method
        self.url = url
        self.headers = headers
        self.from = from
    }
}

/// What would become of it.
public struct RequestAccount: Codable, Sendable, Equatable {
    public enum Outcome: String, Codable, Sendable {
        /// No rule needs the proxy: the kernel balances the connection.
        case kernel
        case forward
        /// Answered by the proxy as a rule wants it: redirect, direct response, CORS preflight.
        case answer
        /// Answered by the proxy with an error.
        case refuse
    }

    /// `namespace/name:port`.
    public var service: String
    public var outcome: Outcome
    /// Of an answer that is an error; nil otherwise.
    public var status: UInt16?
    /// Envoy's response code details, as in the access log and in `x-weft-reason`.
    public var detail: String
    /// The rule that decides.
    public var rule: String?
    /// Where it goes: `namespace/name:port`, with `/subset` if there is one.
    public var cluster: String?
    /// Whether the kernel decides about it past the proxy (`taken`), or why not; nil: it is none of the proxy's, or the proxy
    /// answers it.
    public var shortcut: String? = nil
    /// How that was found, in order.
    public var steps: [String]
}

/// Why a question has no answer.
public struct InquiryProblem: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
}

/// Answers questions about requests, and lists rules, from a snapshot alone: with the same tables that the workers use,
/// and without any of them.
public struct RequestExplainer: Sendable {
    let snapshot: MeshSnapshot
    let table: RouteTable
    let authorization: AuthorizationTable
    private let identifiers: RouteIdentifiers

    /// - Parameter trustedHops: of the agent (see `AuthorizationTable`).
    public init(_ snapshot: MeshSnapshot, trustedHops: Int = 0) {
        self.snapshot = snapshot
        identifiers = RouteIdentifiers(numbering: snapshot)
        table = RouteTable(snapshot, identifiers: identifiers)
        authorization = AuthorizationTable(snapshot, identifiers: identifiers, trustedHops: trustedHops)
    }

    public func explain(_ inquiry: RequestInquiry) throws(InquiryProblem) -> RequestAccount {
        let target = try Target(inquiry.url)
        let source = try inquiry.from.map { text throws(InquiryProblem) in try workload(text) }
        let service = try find(target.host, from: source)
        let title = "\(service.name):\(target.port)"
        guard let port = service.ports.first(where: { $0.port == target.port && $0.transport == .tcp }) else {
            let ports = service.ports.filter { $0.transport == .tcp }.map { "\($0.port)" }.joined(separator: ", ")
            throw InquiryProblem(
                description:
                    "service \(service.name) has no TCP port \(target.port)\(ports.isEmpty ? "" : "; it has \(ports)")")
        }
        var steps = [
            source.map { "from workload \($0)" } ?? "from outside of the mesh",
            "host \(target.host) is service \(title)",
        ]
        guard port.http != nil else {
            steps.append("no rule needs the proxy: the kernel balances the connection, and nobody reads the request")
            return RequestAccount(
                service: title, outcome: .kernel, status: nil, detail: "", rule: nil, cluster: title, steps: steps)
        }
        steps.append("in the proxy because of \(port.proxyReasons.joined(separator: ", "))")
        return try decide(inquiry, target, service.name, source, steps)
    }

    private func decide(
        _ inquiry: RequestInquiry, _ target: Target, _ service: ObjectName, _ source: ObjectName?, _ steps: [String]
    ) throws(InquiryProblem) -> RequestAccount {
        let key = RouteIdentifiers.ServicePort(service: service, port: target.port)
        guard let identifier = identifiers.services[key]?.first, let place = table.service(identifier) else {
            throw InquiryProblem(description: "the proxy has no rules for \(service):\(target.port)")
        }
        let host = inquiry.headers.first { $0.name.lowercased() == "host" }?.value ?? target.authority
        var request = SyntheticRequest(
            method: inquiry.method, target: target.path, host: host,
            headers: inquiry.headers.filter { $0.name.lowercased() != "host" }.map { ($0.name, $0.value) },
            source: source.flatMap { identifiers.workloads[$0] } ?? 0)
        request.rejectsEncodedSlashes = table.rejectsEncodedSlashes(place)
        let explanation: RouteExplanation
        let access: RequestAccess
        do throws(SyntheticRequest.Problem) {
            (explanation, access) = try request.withView { view in
                let explanation = table.explain(place, view, random: .random(in: 0 ... .max))
                return (explanation, self.access(view, explanation.decision, service: identifier, place))
            }
        } catch {
            throw InquiryProblem(description: "the proxy would not take this request: \(error)")
        }
        let decision = explanation.decision
        let outcome: RequestAccount.Outcome =
            switch decision.kind {
            case .forward: .forward
            case .redirect, .respond, .preflight: .answer
            case .refuse: .refuse
            }
        var steps = steps + explanation.steps + access.steps
        if let refusal = access.refusal {
            return RequestAccount(
                service: "\(service):\(target.port)", outcome: .refuse, status: refusal == .pathRejected ? 400 : 403,
                detail: refusal.text, rule: access.rule, cluster: nil, steps: steps)
        }
        var shortcut: String?
        if outcome == .forward {
            let lines =
                ["\(inquiry.method) \(target.path) HTTP/1.1", "host: \(host)"]
                + request.headers.map { "\($0.name): \($0.value)" } + ["", ""]
            let refusal = ShortcutInquiry(table: table, authorization: authorization, snapshot: snapshot).refusal(
                service: identifier, source: source.map { (request.source, $0) }, host: host,
                head: Array(lines.joined(separator: "\r\n").utf8))
            steps.append(
                refusal.map { "through the agent: \($0)" }
                    ?? "past the agent: the kernel decides it, once the agent has served the connection's first request"
            )
            shortcut = refusal ?? "taken"
        }
        return RequestAccount(
            service: "\(service):\(target.port)", outcome: outcome,
            status: decision.status == 0 ? nil : decision.status, detail: decision.detail.text,
            rule: decision.rule < 0 ? nil : table.ruleTitles[Int(decision.rule)],
            cluster: decision.cluster < 0 ? nil : table.clusters[Int(decision.cluster)].key.description,
            shortcut: shortcut, steps: steps)
    }

    // MARK: Names

    private func workload(_ text: String) throws(InquiryProblem) -> ObjectName {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else {
            throw InquiryProblem(description: "\(text) is not namespace/name of a workload")
        }
        let name = ObjectName(namespace: parts[0], name: parts[1])
        guard snapshot.workloads[name] != nil else {
            throw InquiryProblem(description: "there is no workload \(text)")
        }
        return name
    }

    private func find(_ host: String, from source: ObjectName?) throws(InquiryProblem) -> MeshService {
        if let address = IPAddress(host) {
            let owners = snapshot.services.values.filter { $0.addresses.contains(address) }
            guard let owner = owners.min(by: { $0.name < $1.name }) else {
                throw InquiryProblem(description: "no service has the address \(host)")
            }
            return owner
        }
        var labels = host.lowercased().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if labels.last == "" { labels.removeLast() }
        if labels.suffix(2) == ["cluster", "local"] { labels.removeLast(2) }
        if labels.count == 3, labels.last == "svc" { labels.removeLast() }
        let found: MeshService? =
            switch labels.count {
            case 1: snapshot.services[ObjectName(namespace: source?.namespace ?? "default", name: labels[0])]
            case 2: snapshot.services[ObjectName(namespace: labels[1], name: labels[0])]
            default: nil
            }
        guard let found else {
            throw InquiryProblem(
                description: "no service is called \(host)"
                    + (labels.count == 1 ? " in namespace \(source?.namespace ?? "default")" : ""))
        }
        return found
    }
}

/// The parts of a URL that matter here.
private struct Target {
    var host: String
    var port: UInt16
    /// As the Host field has it.
    var authority: String
    var path: String

    init(_ url: String) throws(InquiryProblem) {
        guard url.hasPrefix("http://") else {
            throw InquiryProblem(description: "\(url) is not a URL of the form http://SERVICE[:PORT]/PATH")
        }
        let rest = url.dropFirst("http://".count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        authority = String(rest[..<end])
        var host = authority[...]
        var port: UInt16? = 80
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            host = authority[..<colon]
            port = UInt16(authority[authority.index(after: colon)...])
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let port, port > 0, !host.isEmpty, !host.contains("@") else {
            throw InquiryProblem(description: "\(authority) is not SERVICE or SERVICE:PORT")
        }
        self.host = String(host)
        self.port = port
        let path = rest[end...].prefix { $0 != "#" }
        self.path = path.isEmpty ? "/" : path.hasPrefix("?") ? "/" + path : String(path)
    }
}
