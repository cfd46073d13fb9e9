import BPF
import Identity
import KernelPlane
import Mesh
import Proxy
import WeftABI

/// What a service is made of on this node: endpoints with their health and load, the policies that guard them, their
/// identities.
struct ServiceReport: Encodable {
    struct Port: Encodable {
        /// Empty for the only port.
        var name: String
        var port: UInt16
        /// `TCP` or `UDP`.
        var transport: String
        /// The objects whose rules need the proxy; empty: the kernel balances.
        var proxyReasons: [String]
    }

    struct Endpoint: Encodable {
        /// `ip:port`.
        var endpoint: String
        /// Of the service.
        var port: UInt16
        /// `namespace/name`.
        var workload: String?
        /// nil: that is not known.
        var node: String?
        var weight: UInt16
        /// `ready`, `draining` or `unused` (its weight is 0); or why the proxy gives it no requests, as in `/v1/clusters`.
        var state: String
        /// Connections that the kernel has given to it and that are open; nil for what only the proxy balances.
        var connections: Int64?
        /// Of the proxy: requests being answered, and the peak EWMA of their latency; nil where it does not balance.
        var activeRequests: Int?
        var averageMilliseconds: Double?
    }

    struct Policy: Encodable {
        var kind: String
        /// `namespace/name`.
        var name: String
        /// What it does, for people.
        var effect: String
    }

    struct Identity: Encodable {
        var identity: String
        /// As in `/v1/identities`; `elsewhere`: another node has the certificate.
        var state: String
        var expirySeconds: Int64?
    }

    /// `namespace/name`.
    var service: String
    var addresses: [String]
    var ports: [Port]
    var endpoints: [Endpoint]
    /// `STRICT`, `PERMISSIVE` or `DISABLE`: what its workloads ask of connections from outside of their nodes.
    var mutualTLS: [String]
    var policies: [Policy]
    var identities: [Identity]
}

extension ServiceReport {
    /// nil if there is no such service.
    init?(_ name: ObjectName, _ agent: Agent) throws(BPFError) {
        let snapshot = agent.config.snapshot
        guard let service = snapshot.services[name] else { return nil }
        self.service = name.description
        addresses = service.addresses.map(\.description)
        ports = service.ports.map {
            Port(name: $0.name, port: $0.port, transport: $0.transport.rawValue, proxyReasons: $0.proxyReasons)
        }
        endpoints = try agent.plane.withMaps { maps throws(BPFError) -> [Endpoint] in
            var endpoints: [Endpoint] = []
            for port in service.ports {
                for endpoint in port.endpoints {
                    endpoints.append(try Self.endpoint(endpoint, of: service, port, agent, maps))
                }
            }
            return endpoints
        }
        let names = Set(service.ports.flatMap(\.endpoints).compactMap(\.workload))
        let workloads = names.sorted().compactMap { snapshot.workloads[$0] }
        mutualTLS = Set(workloads.map(\.mutualTLS.rawValue)).sorted()
        policies = Self.policies(of: name, workloads, snapshot)
        identities = Self.identities(of: workloads, agent)
    }

    private static func endpoint(
        _ endpoint: MeshEndpoint, of service: MeshService, _ port: MeshServicePort, _ agent: Agent,
        _ maps: borrowing PinnedMaps
    ) throws(BPFError) -> Endpoint {
        let place =
            endpoint.address.isIPv4
            ? "\(endpoint.address):\(endpoint.port)" : "[\(endpoint.address)]:\(endpoint.port)"
        var connections: Int64?
        var isDraining = endpoint.isDraining
        // Clients of both families may be given to it.
        for isIPv4 in [true, false] {
            let frontend = Identifier.service(
                service.name, port: port.port, transport: port.transport, isIPv4: isIPv4)
            let id = Identifier.backend(service: frontend, address: endpoint.address, port: endpoint.port)
            if agent.plane.drains[id] != nil { isDraining = true }
            if let load = try maps.backendLoad.get(id) { connections = (connections ?? 0) + max(0, load.active) }
        }
        var report = Endpoint(
            endpoint: place, port: port.port, workload: endpoint.workload?.description,
            node: endpoint.workload.flatMap { agent.config.snapshot.workloads[$0] }
                .map { $0.isLocal ? agent.options.node : $0.node }.flatMap { $0.isEmpty ? nil : $0 },
            weight: endpoint.weight, state: isDraining ? "draining" : endpoint.weight == 0 ? "unused" : "ready",
            connections: connections)
        for cluster in agent.proxy.engine.clusters?.clusters ?? []
        where cluster.config.key.service == service.name && cluster.config.key.port == port.port {
            for other in cluster.endpoints
            where other.config.address == endpoint.address && other.config.port == endpoint.port {
                let known = ClusterReport.Endpoint(other)
                if known.state != "healthy" { report.state = known.state }
                report.activeRequests = (report.activeRequests ?? 0) + known.activeRequests
                report.averageMilliseconds = known.averageMilliseconds ?? report.averageMilliseconds
            }
        }
        return report
    }

    private static func policies(
        of service: ObjectName, _ workloads: [MeshWorkload], _ snapshot: MeshSnapshot
    ) -> [Policy] {
        var found: [Policy] = []
        func isTarget(_ names: [String], in namespace: String) -> Bool {
            namespace == service.namespace && names.contains(service.name)
        }
        for policy in snapshot.policies.values
        where workloads.contains(where: policy.selects) || isTarget(policy.targetServices, in: policy.name.namespace) {
            var effect = policy.action.rawValue
            if let provider = policy.provider { effect += " by \(provider)" }
            effect += policy.rules.count == 1 ? ", 1 rule" : ", \(policy.rules.count) rules"
            if policy.isShadow { effect += ", dry run" }
            found.append(Policy(kind: "AuthorizationPolicy", name: policy.name.description, effect: effect))
        }
        for authentication in snapshot.requestAuthentications.values
        where workloads.contains(where: authentication.selects)
            || isTarget(authentication.targetServices, in: authentication.name.namespace)
        {
            let issuers = authentication.rules.map(\.issuer).joined(separator: ", ")
            found.append(
                Policy(
                    kind: "RequestAuthentication", name: authentication.name.description,
                    effect: "tokens of \(issuers)"))
        }
        for policy in snapshot.networkPolicies.values
        where workloads.contains(where: {
            $0.name.namespace == policy.name.namespace && policy.podSelector.matches($0.labels)
        }) {
            let directions = [policy.ingress == nil ? nil : "ingress", policy.egress == nil ? nil : "egress"]
            found.append(
                Policy(
                    kind: "NetworkPolicy", name: policy.name.description,
                    effect: directions.compactMap { $0 }.joined(separator: " and ")))
        }
        return found.sorted { ($0.kind, $0.name) < ($1.kind, $1.name) }
    }

    private static func identities(of workloads: [MeshWorkload], _ agent: Agent) -> [Identity] {
        let entries = agent.identity.identity.manager.entries
        let now = IdentityService.now()
        let names = Set(workloads.map { $0.spiffeID(trustDomain: agent.config.snapshot.trustDomain) })
        return names.sorted().map { name in
            guard let entry = entries[name] else { return Identity(identity: name, state: "elsewhere") }
            return Identity(
                identity: name,
                state: entry.certificate == nil ? "missing" : entry.problem == nil ? "valid" : "renewing",
                expirySeconds: entry.certificate.map { $0.notAfter - now / 1000 })
        }
    }
}

extension AdminAPI {
    /// `/v1/service?name=shop/web`.
    func service(_ request: HTTPRequest) -> HTTPResponse {
        guard request.method == .get else { return .methodNotAllowed([.get]) }
        let name = request.query("name") ?? ""
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { return Self.error(400, "name has to be NAMESPACE/NAME") }
        do throws(BPFError) {
            guard let report = try ServiceReport(ObjectName(namespace: parts[0], name: parts[1]), agent) else {
                return Self.error(404, "there is no service \(parts[0])/\(parts[1])")
            }
            return Self.json(200, report)
        } catch {
            return Self.error(500, "\(error)")
        }
    }
}
