import Glibc
public import Mesh

/// A question about a connection that nobody has opened, and perhaps a request on it, to a workload.
public struct PolicyInquiry: Codable, Sendable, Equatable {
    /// `namespace/name` of the workload that calls; nil: a peer without an identity.
    public var from: String?
    /// The address that the connection comes from; nil: the first one of `from`.
    public var sourceAddress: String?
    /// `namespace/name` of a workload.
    public var to: String
    /// Of that workload.
    public var port: UInt16
    /// nil: nothing is asked about a request.
    public var request: Request?

    public struct Request: Codable, Sendable, Equatable {
        public var method: String
        /// Path and query.
        public var path: String
        /// Without Host.
        public var headers: [RequestInquiry.Header]
        public var host: String
        /// The payload of a token, as JSON, which is taken to be valid.
        public var token: String?
        /// A token in its compact form (RFC 7515 section 3.1), in place of `token`: it is verified as far as that is possible.
        public var jwt: String?
        /// `namespace/name` of the service that it is for, whose own policies are asked first.
        public var service: String?

        public init(
            method: String = "GET", path: String = "/", headers: [RequestInquiry.Header] = [], host: String,
            token: String? = nil, jwt: String? = nil, service: String? = nil
        ) {
            self.method = method
            self.path = path
            self.headers = headers
            self.host = host
            self.token = token
            self.jwt = jwt
            self.service = service
        }
    }

    public init(from: String?, sourceAddress: String? = nil, to: String, port: UInt16, request: Request? = nil) {
        self.from = from
        self.sourceAddress = sourceAddress
        self.to = to
        self.port = port
        self.request = request
    }
}

extension PolicyInquiry {
    /// The payload of a token in its compact form (RFC 7515 section 3.1), unverified; a JSON object stands for itself.
    ///
    /// - Returns: nil: it is neither.
    public static func payload(ofToken text: String) -> String? {
        var bytes = Array(text.utf8)
        while let last = bytes.last, last.isWhiteSpace || last == .lineFeed || last == .carriageReturn {
            bytes.removeLast()
        }
        if bytes.first == UInt8(ascii: "{") { return String(decoding: bytes, as: UTF8.self) }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let payload = Array(parts[1])
        return unsafe Base64URL.bytes(payload.span.bytes).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// What policies say.
public struct PolicyAccount: Codable, Sendable, Equatable {
    public struct Layer: Codable, Sendable, Equatable {
        /// `egress` of the caller or `ingress` of the destination, where NetworkPolicies apply; `connection`, `token`,
        /// `service` or `request`.
        public var layer: String
        /// `allowed`, `denied`, or `external` if somebody else is asked.
        public var verdict: String
        /// `namespace/name` of the policy that decides, and which of its rules; nil: none does.
        public var policy: String?
        public var rule: String?
        /// What it would be with the shadow policies enforced.
        public var shadowVerdict: String
        /// How it comes about, in order.
        public var steps: [String]
    }

    /// `namespace/name:port`.
    public var destination: String
    /// Whether every layer allows it; what an external authorizer says is not known.
    public var isAllowed: Bool
    /// In the order in which they are asked, up to the first that denies.
    public var layers: [Layer]
}

/// Answers questions about policies from a snapshot alone, with the table that the workers use.
public struct PolicyExplainer: Sendable {
    let snapshot: MeshSnapshot
    let table: AuthorizationTable
    let identifiers: RouteIdentifiers

    /// - Parameter trustedHops: of the agent (see `AuthorizationTable`).
    public init(_ snapshot: MeshSnapshot, trustedHops: Int = 0) {
        self.snapshot = snapshot
        identifiers = RouteIdentifiers(numbering: snapshot)
        table = AuthorizationTable(snapshot, identifiers: identifiers, trustedHops: trustedHops)
    }

    public func explain(_ inquiry: PolicyInquiry) throws(InquiryProblem) -> PolicyAccount {
        let destination = try workload(inquiry.to)
        let source = try inquiry.from.map { text throws(InquiryProblem) in try workload(text) }
        var peer = source?.addresses.first.map { ClientAddress(address: $0, port: 0) }
        if let text = inquiry.sourceAddress {
            guard let address = IPAddress(text) else {
                throw InquiryProblem(description: "\(text) is not an IP address")
            }
            peer = ClientAddress(address: address, port: 0)
        }
        let at = destination.addresses.first.map { ClientAddress(address: $0, port: inquiry.port) }
        let ends = Ends(
            source: source.flatMap { identifiers.workloads[$0.name] } ?? 0,
            peer: peer ?? ClientAddress(high: 0, low: 0, port: 0),
            destination: at ?? ClientAddress(high: 0, low: 0, port: inquiry.port))
        let identifier = identifiers.workloads[destination.name] ?? 0
        let group = table.group(ofWorkload: identifier)
        let reads =
            destination.requestPorts.contains(inquiry.port)
            && table.decidesRequests(workload: identifier, port: inquiry.port)
        var layers = network(
            source, destination, sourceAddress: inquiry.sourceAddress.flatMap { IPAddress($0) }, port: inquiry.port)
        func isDenied() -> Bool { layers.contains { $0.verdict == "denied" } }
        if !isDenied() { layers.append(connection(group, ends, awaitsRequests: reads)) }
        if var request = inquiry.request, !isDenied() {
            if let layer = examineToken(of: &request, for: destination) { layers.append(layer) }
            if let service = request.service, !isDenied() {
                if let layer = try self.service(service, request, ends) { layers.append(layer) }
            }
            if !isDenied(), reads { layers.append(try self.request("request", group, request, ends)) }
        }
        return PolicyAccount(
            destination: "\(destination.name):\(inquiry.port)", isAllowed: !isDenied(), layers: layers)
    }

    // MARK: Layers

    private struct Ends {
        var source: UInt64
        var peer: ClientAddress
        var destination: ClientAddress
    }

    /// The caller's NetworkPolicies, then the destination's, up to the first that denies.
    private func network(
        _ source: MeshWorkload?, _ destination: MeshWorkload, sourceAddress: IPAddress?, port: UInt16
    ) -> [PolicyAccount.Layer] {
        let caller = MeshSnapshot.NetworkPeer(
            workload: source, address: sourceAddress ?? source?.addresses.first)
        let called = MeshSnapshot.NetworkPeer(workload: destination, address: destination.addresses.first)
        var layers: [PolicyAccount.Layer] = []
        func add(_ direction: NetworkDecision.Direction, _ decision: NetworkDecision?) {
            guard let decision, layers.last?.verdict != "denied" else { return }
            let verdict = decision.isAllowed ? "allowed" : "denied"
            layers.append(
                PolicyAccount.Layer(
                    layer: direction.rawValue, verdict: verdict, policy: decision.allowing?.description,
                    rule: decision.rule, shadowVerdict: verdict,
                    steps: [
                        "NetworkPolicies that apply: \(decision.policies.map(\.description).joined(separator: ", "))"
                    ]))
        }
        if let source { add(.egress, snapshot.networkDecision(.egress, of: source, called, port: port)) }
        add(.ingress, snapshot.networkDecision(.ingress, of: destination, caller, port: port))
        return layers
    }

    /// Puts what a token says into the request, if it is one that is accepted; nil: there is none.
    private func examineToken(
        of request: inout PolicyInquiry.Request, for destination: MeshWorkload
    ) -> PolicyAccount.Layer? {
        if request.token != nil {
            return PolicyAccount.Layer(
                layer: "token", verdict: "allowed", shadowVerdict: "allowed",
                steps: ["it is the payload of a token that is TAKEN TO BE VALID"])
        }
        guard let jwt = request.jwt else { return nil }
        let service = request.service.flatMap { text in
            snapshot.services.keys.first { $0.description == text }
        }
        let examination = TokenExamination(
            jwt, snapshot.tokenRules(for: destination, service: service), now: UInt64(max(0, time(nil))))
        request.token = examination.payload
        let verdict = examination.isAccepted ? "allowed" : "denied"
        return PolicyAccount.Layer(layer: "token", verdict: verdict, shadowVerdict: verdict, steps: examination.steps)
    }

    private func connection(_ group: Int32, _ ends: Ends, awaitsRequests: Bool) -> PolicyAccount.Layer {
        let attributes = AuthorizationAttributes(
            principal: table.principal(ofWorkload: ends.source), namespace: table.namespace(ofWorkload: ends.source),
            source: ends.peer, destination: ends.destination, awaitsRequests: awaitsRequests)
        var decision = table.evaluate(group, attributes)
        // Nobody is asked about connections.
        if decision.verdict == .external { decision = AuthorizationDecision(denied: decision.rule) }
        var steps = table.explain(group, attributes)
        if awaitsRequests { steps.append("requests at this port are decided about one by one") }
        return layer("connection", decision, steps)
    }

    private func service(
        _ text: String, _ request: PolicyInquiry.Request, _ ends: Ends
    ) throws(InquiryProblem) -> PolicyAccount.Layer? {
        for (key, identifiers) in identifiers.services where key.service.description == text {
            guard let identifier = identifiers.first else { continue }
            let group = table.group(ofService: identifier)
            return group < 0 ? nil : try self.request("service", group, request, ends)
        }
        throw InquiryProblem(description: "there is no service \(text)")
    }

    private func request(
        _ name: String, _ group: Int32, _ request: PolicyInquiry.Request, _ ends: Ends
    ) throws(InquiryProblem) -> PolicyAccount.Layer {
        var synthetic = SyntheticRequest(
            method: request.method, target: request.path, host: request.host,
            headers: request.headers.map { ($0.name, $0.value) }, source: ends.source)
        synthetic.rejectsEncodedSlashes = false
        if let token = request.token {
            guard let claims = ClaimSet(json: Array(token.utf8)) else {
                throw InquiryProblem(description: "the token's payload is no JSON object")
            }
            return try Self.take {
                () throws(SyntheticRequest.Problem) in
                try synthetic.withView { view in self.request(name, group, view, claims.claims, ends) }
            }
        }
        return try Self.take {
            () throws(SyntheticRequest.Problem) in
            try synthetic.withView { view in self.request(name, group, view, nil, ends) }
        }
    }

    private static func take(
        _ body: () throws(SyntheticRequest.Problem) -> PolicyAccount.Layer
    ) throws(InquiryProblem) -> PolicyAccount.Layer {
        do throws(SyntheticRequest.Problem) {
            return try body()
        } catch {
            throw InquiryProblem(description: "the proxy would not take this request: \(error)")
        }
    }

    private func request(
        _ name: String, _ group: Int32, _ view: RequestView, _ claims: RequestClaims?, _ ends: Ends
    ) -> PolicyAccount.Layer {
        if group >= 0, table.hidesPath(group, view) {
            return PolicyAccount.Layer(
                layer: name, verdict: "denied", shadowVerdict: "denied",
                steps: ["\(PathError.encodedSlash.text), and rules are about paths: refused with 400"])
        }
        let attributes = AuthorizationAttributes(
            principal: table.principal(ofWorkload: ends.source), namespace: table.namespace(ofWorkload: ends.source),
            source: ends.peer, destination: ends.destination, request: view, claims: claims)
        return layer(name, table.evaluate(group, attributes), table.explain(group, attributes))
    }

    private func layer(
        _ name: String, _ decision: AuthorizationDecision, _ steps: [String]
    ) -> PolicyAccount.Layer {
        func word(_ verdict: AuthorizationDecision.Verdict) -> String {
            switch verdict {
            case .allowed: "allowed"
            case .denied: "denied"
            case .external: "external"
            }
        }
        return PolicyAccount.Layer(
            layer: name, verdict: word(decision.verdict),
            policy: decision.rule < 0 ? nil : table.rulePolicies[Int(decision.rule)]?.description,
            rule: decision.rule < 0 ? nil : table.ruleTitles[Int(decision.rule)],
            shadowVerdict: word(decision.shadowVerdict), steps: steps)
    }

    private func workload(_ text: String) throws(InquiryProblem) -> MeshWorkload {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let found = snapshot.workloads[ObjectName(namespace: parts[0], name: parts[1])] else {
            throw InquiryProblem(description: "there is no workload \(text)")
        }
        return found
    }
}
