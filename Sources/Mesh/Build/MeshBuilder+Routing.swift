/// What is in force for one service beside its endpoints.
struct ServiceRouting: Equatable {
    struct Port: Equatable {
        var http: HTTPRouting?
        var reasons: [String] = []
        var traffic: HTTPTraffic?
    }

    /// By port number; only TCP ports.
    var ports: [UInt16: Port] = [:]
    var traffic = HTTPTraffic()
    var subsets: [HTTPSubset] = []
    var failureMode = FailureMode.closed
}

extension MeshService {
    /// What of it is not computed from its endpoints.
    var routing: ServiceRouting {
        var routing = ServiceRouting(traffic: traffic, subsets: subsets, failureMode: failureMode)
        for port in ports where port.transport == .tcp {
            let own = ServiceRouting.Port(http: port.http, reasons: port.proxyReasons, traffic: port.traffic)
            if own != ServiceRouting.Port() { routing.ports[port.port] = own }
        }
        return routing
    }
}

extension MeshObject {
    /// The services whose rules for requests it is part of.
    var governed: Set<ObjectName> {
        let namespace = key.name.namespace
        switch resource {
        case .destinationRule(let rule): return rule.governed(from: namespace)
        case .trafficPolicy(let policy):
            return Set(policy.targets.map { ObjectName(namespace: namespace, name: $0) })
        case .httpRoute(let route): return Set(route.parents.compactMap { $0.service(from: namespace) })
        case .virtualService(let virtualService): return Set(virtualService.hosts)
        default: return []
        }
    }

    /// The services on which its meaning depends.
    var references: Set<ObjectName> {
        switch resource {
        case .trafficPolicy(let policy): policy.references
        case .httpRoute(let route): route.references.union(governed)
        case .virtualService(let virtualService): virtualService.references.union(governed)
        case .authorizationPolicy(let resource):
            Set(resource.policy.targetServices.map { ObjectName(namespace: key.name.namespace, name: $0) })
        case .requestAuthentication(let resource):
            Set(resource.authentication.targetServices.map { ObjectName(namespace: key.name.namespace, name: $0) })
        case .extensionProvider(let authorizer): [authorizer.service]
        default: []
        }
    }
}

extension MeshBuilder {
    func routing(of name: ObjectName, _ service: ServiceResource) -> ServiceRouting {
        let rule = governingRule(of: name)
        let policy = governingPolicy(of: name)
        var result = ServiceRouting()
        result.failureMode = policy?.resource.failureMode ?? .closed

        var settings = policy?.resource.settings ?? TrafficSettings()
        if let fallback = settings.fallback, case .invalid = resolve(fallback, port: 0) { settings.fallback = nil }
        result.traffic = settings.over(rule?.resource.settings).traffic
        if let rule { result.subsets = subsets(rule.resource, settings, service) }

        let routes = attachedRoutes(name, service)
        let virtualServices = routes.isEmpty ? virtualServices(of: name) : []
        for port in service.ports where port.transport == .tcp {
            var own = ServiceRouting.Port()
            let override = rule?.resource.portSettings[port.port]
            if let override { own.traffic = settings.over(override).traffic }
            defer { if own != ServiceRouting.Port() { result.ports[port.port] = own } }
            let lane = requests.lanes[name]?[port.port] ?? []
            // Rules about requests that its workloads have hold whatever a service calls their port.
            guard port.takesRequests || !lane.isEmpty else { continue }

            var (routing, reasons) = (HTTPRouting(), [String]())
            if port.takesRequests {
                (routing, reasons) = self.routing(routes, port: port, service: name)
                for virtualService in virtualServices { add(virtualService, port: port, to: &routing, &reasons) }
            }
            if let rule, case let fields = (override ?? rule.resource.settings).proxyFields, !fields.isEmpty {
                reasons.append("\(ObjectKey(.destinationRule, rule.name)) (\(fields.joined(separator: ", ")))")
            }
            if let policy, !policy.resource.proxyFields.isEmpty {
                let fields = policy.resource.proxyFields.joined(separator: ", ")
                reasons.append("\(ObjectKey(.trafficPolicy, policy.name)) (\(fields))")
            }
            reasons += lane
            guard !reasons.isEmpty else { continue }
            complete(&routing, name, port.port, policy?.resource)
            own.http = routing
            own.reasons = reasons
        }
        return result
    }

    private func subsets(
        _ rule: DestinationRuleResource, _ policy: TrafficSettings, _ service: ServiceResource
    ) -> [HTTPSubset] {
        let base = policy.over(rule.settings)
        return rule.subsets.map { subset in
            var result = HTTPSubset(
                name: subset.name, labels: subset.labels, traffic: subset.settings.over(base).traffic)
            for port in service.ports where port.transport == .tcp {
                let parent = rule.portSettings[port.port]
                let own = subset.portSettings[port.port]
                guard parent != nil || own != nil else { continue }
                let settings = own ?? subset.settings.over(policy.over(parent))
                result.portTraffic[port.port] = settings.traffic
            }
            return result
        }
    }

    // MARK: - Rules

    /// What is the same for every rule: somewhere to go, and what the service's policy adds.
    private func complete(
        _ routing: inout HTTPRouting, _ service: ObjectName, _ port: UInt16, _ policy: TrafficPolicyResource?
    ) {
        if routing.rules.isEmpty {
            let backend = HTTPBackend(target: .service(service, port: port, subset: nil))
            routing.precedence = .specificity
            routing.rules = [
                HTTPRule(origin: ObjectKey(.service, service), index: 0, action: .forward([backend]))
            ]
        }
        for index in routing.rules.indices {
            policy?.complete(&routing.rules[index])
            routing.rules[index].settle()
        }
        for namespace in routing.consumers.keys {
            guard var consumers = routing.consumers[namespace] else { continue }
            complete(&consumers, service, port, policy)
            routing.consumers[namespace] = consumers
        }
    }

    private typealias Attached = (name: ObjectName, route: HTTPRouteResource, ports: Set<UInt16>)

    /// The routes that have the service as a parent, in their order of precedence.
    private func attachedRoutes(_ name: ObjectName, _ service: ServiceResource) -> [Attached] {
        sorted(routesOfService[name] ?? [], .httpRoute).compactMap { route in
            guard case .httpRoute(let resource)? = objects[ObjectKey(.httpRoute, route)]?.resource else { return nil }
            var ports: Set<UInt16> = []
            for parent in resource.parents where parent.service(from: route.namespace) == name {
                if case .success(let attached) = attachment(of: parent, to: service) { ports.formUnion(attached) }
            }
            return ports.isEmpty ? nil : (route, resource, ports)
        }
    }

    private func routing(
        _ routes: [Attached], port: ServiceResource.Port, service: ObjectName
    ) -> (HTTPRouting, reasons: [String]) {
        var routing = HTTPRouting()
        var reasons: [String] = []
        for (name, route, ports) in routes where ports.contains(port.port) {
            let rules = route.rules.map { resolve($0, port: port.port) }
            if name.namespace == service.namespace {
                routing.rules += rules
            } else {
                routing.consumers[name.namespace, default: HTTPRouting()].rules += rules
            }
            reasons.append(ObjectKey(.httpRoute, name).description)
        }
        return (routing, reasons)
    }

    private func add(
        _ virtualService: (name: ObjectName, resource: VirtualServiceResource), port: ServiceResource.Port,
        to routing: inout HTTPRouting, _ reasons: inout [String]
    ) {
        let rules = virtualService.resource.rules.compactMap { element -> HTTPRule? in
            var rule = element.rule
            rule.matches = zip(rule.matches, element.matchPorts).compactMap { match, number in
                number == nil || number == port.port ? match : nil
            }
            guard rule.matches.isEmpty == element.rule.matches.isEmpty else { return nil }
            return resolve(rule, port: port.port)
        }
        guard !rules.isEmpty else { return }
        let ordered = HTTPRouting(precedence: .order, rules: rules)
        if virtualService.resource.isPrivate {
            guard routing.consumers[virtualService.name.namespace] == nil else { return }
            routing.consumers[virtualService.name.namespace] = ordered
        } else {
            guard routing.rules.isEmpty else { return }
            routing.precedence = .order
            routing.rules = rules
        }
        reasons.append(ObjectKey(.virtualService, virtualService.name).description)
    }

    // MARK: - Attachment

    /// The ports of `service` that a route with this parent applies to, or why it applies to none.
    func attachment(
        of parent: ParentReference, to service: ServiceResource
    ) -> Result<[UInt16], ConditionIssue> {
        let chosen = service.ports.filter {
            (parent.port == nil || $0.port == parent.port)
                && (parent.sectionName == nil || $0.name == parent.sectionName)
        }
        guard let first = chosen.first else {
            let part = [parent.port.map { "port \($0)" }, parent.sectionName.map { "the name \"\($0)\"" }]
                .compactMap { $0 }.joined(separator: " and ")
            return .failure(
                .noMatchingParent(
                    part.isEmpty
                        ? "Service \(parent.name) has no ports" : "Service \(parent.name) has no port with \(part)"))
        }
        guard !service.addresses.isEmpty else {
            return .failure(
                .unsupported(
                    .accepted, "Service \(parent.name) is headless: clients connect to its endpoints, not to it"))
        }
        let usable = chosen.filter(\.takesRequests).map(\.port)
        guard usable.isEmpty else { return .success(usable) }
        return .failure(
            ConditionIssue(
                .accepted, reason: "UnsupportedProtocol",
                message: "port \(first.port) of Service \(parent.name) speaks \(first.protocolText)"))
    }

    /// The VirtualServices in force for a service: the oldest for all clients, and of each namespace the oldest that is
    /// only for its own.
    func virtualServices(of service: ObjectName) -> [(name: ObjectName, resource: VirtualServiceResource)] {
        var found: [(name: ObjectName, resource: VirtualServiceResource)] = []
        for name in sorted(virtualServicesOfService[service] ?? [], .virtualService) {
            guard case .virtualService(let resource)? = objects[ObjectKey(.virtualService, name)]?.resource,
                resource.isUsable
            else { continue }
            let isTaken = found.contains {
                $0.resource.isPrivate == resource.isPrivate
                    && (!resource.isPrivate || $0.name.namespace == name.namespace)
            }
            if !isTaken { found.append((name, resource)) }
        }
        return found
    }

    /// The first route that has the service as a parent in fact.
    func attachedRoute(to name: ObjectName) -> ObjectName? {
        guard let routes = routesOfService[name], let service = service(name) else { return nil }
        return sorted(routes, .httpRoute).first { route in
            guard case .httpRoute(let resource)? = objects[ObjectKey(.httpRoute, route)]?.resource else { return false }
            return resource.parents.contains { parent in
                guard parent.service(from: route.namespace) == name else { return false }
                if case .success = attachment(of: parent, to: service) { return true }
                return false
            }
        }
    }

    /// Oldest first, then by name.
    private func sorted(_ names: Set<ObjectName>, _ kind: ResourceKind) -> [ObjectName] {
        guard names.count > 1 else { return Array(names) }
        return names.map { (objects[ObjectKey(kind, $0)]?.created ?? Precedence.unknownTime, $0) }
            .sorted { $0 < $1 }.map(\.1)
    }
}

extension TrafficPolicyResource {
    /// Gives a rule what it does not say itself.
    func complete(_ rule: inout HTTPRule) {
        rule.retry = rule.retry ?? retry
        rule.fault = rule.fault ?? fault
        rule.timeouts.request = rule.timeouts.request ?? timeouts.request
        rule.timeouts.backendRequest = rule.timeouts.backendRequest ?? timeouts.backendRequest
    }
}

extension HTTPRule {
    /// Turns what its writer said into what holds: 0 takes a timeout or the retries away, and rules of a VirtualService
    /// have Istio's retries where nobody says otherwise.
    mutating func settle() {
        if timeouts.request == 0 { timeouts.request = nil }
        if timeouts.backendRequest == 0 { timeouts.backendRequest = nil }
        if retry == nil, origin.kind == .virtualService, case .forward = action { retry = .istioDefault }
        if retry?.attempts == 0 { retry = nil }
    }
}

extension RetryPolicy {
    /// Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRetry
    public static var istioDefault: RetryPolicy {
        var policy = RetryPolicy()
        policy.attempts = 2
        policy.conditions = [
            .connectFailure, .refusedStream, .grpcUnavailable, .grpcCancelled, .retriableStatusCodes,
        ]
        policy.statusCodes = [503]
        return policy
    }
}

extension ConditionIssue: Error {
    static func noMatchingParent(_ message: String) -> Self {
        Self(.accepted, reason: "NoMatchingParent", message: message)
    }
}
