import Mesh

/// What policies say of a request that nobody has sent.
struct RequestAccess {
    var steps: [String] = []
    /// nil: it is not refused, by one of the workloads that it may go to at least.
    var refusal: ResponseDetail?
    /// That refuses it.
    var rule: String?
}

extension RequestExplainer {
    /// Asks the policies of the service, and then those of the workloads that the request may be sent to.
    ///
    /// - Parameter service: the identifier of its port, and `place` its place in the table.
    func access(
        _ view: RequestView, _ decision: RouteDecision, service: UInt64, _ place: Int
    ) -> RequestAccess {
        var access = RequestAccess()
        let group = authorization.group(ofService: service)
        if group >= 0 {
            let nowhere = ClientAddress(high: 0, low: 0, port: table.services[place].port)
            let verdict = ask(group, view, to: nowhere)
            access.steps += verdict.steps.map { "policies of the service: \($0)" }
            access.refusal = verdict.refusal
            access.rule = verdict.rule
            if verdict.refusal != nil { return access }
        }
        guard decision.kind == .forward, decision.cluster >= 0 else { return access }
        guard table.changesRequest(decision) else {
            addWorkloads(view, cluster: Int(decision.cluster), &access)
            return access
        }
        // As the workload gets it.
        var scratch = Scratch()
        table.writeRequestHead(
            decision, service: place, view, MessageOptions(framing: .none, connection: .persistent), extra: RawSpan(),
            into: &scratch)
        var reader = RequestReader()
        var head = RequestHead()
        var progress = HeadProgress()
        let bytes = scratch.bytes
        guard RequestParser.parse(bytes, progress: &progress, head: &head, fields: &reader.fields) == .complete,
            reader.normalize(head, bytes, rejectsEncodedSlashes: false) == nil
        else {
            access.steps.append("what would be sent on is no request: refused")
            access.refusal = .pathRejected
            return access
        }
        addWorkloads(
            reader.view(head, bytes, source: view.source, client: view.client), cluster: Int(decision.cluster), &access)
        return access
    }

    private func addWorkloads(_ view: RequestView, cluster: Int, _ access: inout RequestAccess) {
        let endpoints = table.clusters[cluster].endpoints
        var refused = 0
        var last: (refusal: ResponseDetail?, rule: String?)
        for (position, endpoint) in endpoints.enumerated() {
            let workload = table.clusterIdentities[cluster].workloads[position]
            let group = authorization.group(ofEndpoint: endpoint, workload: workload)
            guard group >= 0 else { continue }
            let verdict = ask(group, view, to: ClientAddress(address: endpoint.address, port: endpoint.port))
            let name = endpoint.workload.map { "\($0)" } ?? "\(endpoint.address)"
            access.steps += verdict.steps.map { "policies of \(name): \($0)" }
            guard verdict.refusal != nil else { continue }
            refused += 1
            last = (verdict.refusal, verdict.rule)
        }
        guard refused > 0, refused == endpoints.count else { return }
        access.refusal = last.refusal
        access.rule = last.rule
    }

    private func ask(
        _ group: Int32, _ view: RequestView, to destination: ClientAddress
    ) -> (steps: [String], refusal: ResponseDetail?, rule: String?) {
        if authorization.hidesPath(group, view) {
            return (["\(PathError.encodedSlash.text), and rules are about paths"], .pathRejected, nil)
        }
        // Where the connection comes from is where the workload is.
        let loopback = ClientAddress(high: 0, low: 1, port: 0)
        let attributes = AuthorizationAttributes(
            principal: authorization.principal(ofWorkload: view.source),
            namespace: authorization.namespace(ofWorkload: view.source),
            source: authorization.sourceAddress(ofWorkload: view.source, peer: loopback, to: destination),
            destination: destination, request: view, claims: nil)
        let decision = authorization.evaluate(group, attributes)
        let rule = decision.rule < 0 ? nil : authorization.ruleTitles[Int(decision.rule)]
        return (
            authorization.explain(group, attributes), decision.verdict == .denied ? .accessDenied : nil, rule
        )
    }
}
