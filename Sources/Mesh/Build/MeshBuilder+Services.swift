extension ServiceResource {
    /// A service that is not usable claims nothing.
    var claims: [ServiceClaim] {
        guard isUsable else { return [] }
        return addresses.flatMap { address in
            ports.map { ServiceClaim(address: address, port: $0.port, transport: $0.transport) }
        }
    }
}

extension MeshBuilder {
    /// The service as it is now; nil if there is none, or if it has no effect. Unless `isRouted`, its rules for requests
    /// are the ones that it had.
    func buildService(_ name: ObjectName, isRouted: Bool) -> MeshService? {
        guard let service = service(name) else { return nil }
        var slices = (slicesOfService[name] ?? []).sorted().compactMap { slice -> EndpointSliceResource? in
            guard case .endpointSlice(let slice)? = objects[ObjectKey(.endpointSlice, slice)]?.resource else {
                return nil
            }
            return slice
        }
        var hosts: [String] = []
        if case .serviceEntry(let entry)? = objects[name.serviceKey]?.resource {
            slices += entry.slices
            hosts = entry.hosts
        }
        let members = selectedMembers(name, service)
        var ports = service.ports.map { port in
            var result = MeshServicePort(
                name: port.name, port: port.port, transport: port.transport,
                endpoints: endpoints(service, port, slices: slices, members: members))
            result.application = port.application
            return result
        }
        let routing = (isRouted ? nil : snapshot.services[name]?.routing) ?? routing(of: name, service)
        for index in ports.indices where ports[index].transport == .tcp {
            guard let own = routing.ports[ports[index].port] else { continue }
            (ports[index].http, ports[index].proxyReasons) = (own.http, own.reasons)
            ports[index].traffic = own.traffic
        }
        var result = MeshService(
            name: name, addresses: service.addresses, ports: ports, balancing: balancing(name, service))
        result.hosts = hosts
        result.templates = service.templates
        result.traffic = routing.traffic
        result.subsets = routing.subsets
        result.failureMode = routing.failureMode
        return result
    }

    /// The workloads that the service's selector finds, except those that lost a conflict.
    func selectedMembers(_ name: ObjectName, _ service: ServiceResource) -> [Member] {
        guard !service.selector.isEmpty else { return [] }
        // In order, because two of them can name the same place.
        return members.members(service: name, selector: service.selector).sorted().compactMap { key in
            guard workloadClaims.losses[key] == nil, let member = objects[key]?.member, member.isLive,
                service.selector.allSatisfy({ member.labels[$0.key] == $0.value })
            else { return nil }
            return member
        }
    }

    private struct Place: Hashable {
        var address: IPAddress
        var port: UInt16
    }

    private func endpoints(
        _ service: ServiceResource, _ port: ServiceResource.Port, slices: [EndpointSliceResource], members: [Member]
    ) -> [MeshEndpoint] {
        // A socket of IPv4 cannot be given an address of IPv6; the other way round the address is a mapped one.
        let takesIPv6 = service.addresses.isEmpty || service.addresses.contains { !$0.isIPv4 }
        func isReachable(_ address: IPAddress) -> Bool { takesIPv6 || address.isIPv4 }

        var endpoints: [MeshEndpoint] = []
        // A place that a slice speaks of is what the slice says, ready or not.
        var places: Set<Place> = []
        let needsPlaces = slices.count > 1 || !members.isEmpty
        for slice in slices {
            for slicePort in slice.ports where slicePort.name == port.name && slicePort.transport == port.transport {
                guard let number = slicePort.port ?? port.target.number else { continue }
                endpoints.reserveCapacity(endpoints.count + slice.endpoints.count)
                for endpoint in slice.endpoints where isReachable(endpoint.address) {
                    let place = Place(address: endpoint.address, port: number)
                    if needsPlaces, !places.insert(place).inserted { continue }
                    guard let isDraining = endpoint.state.isDraining(service) else { continue }
                    endpoints.append(
                        MeshEndpoint(
                            address: endpoint.address, port: number, weight: slice.weight, isDraining: isDraining,
                            workload: owner(of: endpoint.address, number, port.transport)))
                }
            }
        }
        for member in members {
            guard let number = port.target.resolve(in: member, port.transport),
                let isDraining = member.state.isDraining(service)
            else { continue }
            for address in member.addresses where isReachable(address) {
                guard places.insert(Place(address: address, port: number)).inserted else { continue }
                endpoints.append(
                    MeshEndpoint(
                        address: address, port: number, weight: member.weight, isDraining: isDraining,
                        workload: member.key.name))
            }
        }
        endpoints.sort { $0.address == $1.address ? $0.port < $1.port : $0.address < $1.address }
        // One slice can name an address twice.
        for index in endpoints.indices.dropFirst().reversed()
        where endpoints[index].address == endpoints[index - 1].address
            && endpoints[index].port == endpoints[index - 1].port
        {
            endpoints.remove(at: index)
        }
        return endpoints
    }

    private func owner(of address: IPAddress, _ port: UInt16, _ transport: TransportProtocol) -> ObjectName? {
        guard !workloadClaims.isEmpty else { return nil }
        let owner =
            workloadClaims.owner(of: .endpoint(address, port, transport))
            ?? workloadClaims.owner(of: .address(address))
        return owner?.name
    }

    // MARK: - Balancing

    private func balancing(_ name: ObjectName, _ service: ServiceResource) -> Balancing {
        var balancing = Balancing(affinitySeconds: service.affinitySeconds)
        if let rule = governingRule(of: name), let algorithm = rule.resource.algorithm {
            balancing.algorithm = algorithm
        }
        if let policy = governingPolicy(of: name) {
            balancing.algorithm = policy.resource.algorithm ?? balancing.algorithm
            balancing.affinitySeconds = policy.resource.affinitySeconds ?? balancing.affinitySeconds
        }
        return balancing
    }

    /// The DestinationRule in force: one of the service's namespace before one of the root namespace, then the oldest.
    func governingRule(of service: ObjectName) -> (name: ObjectName, resource: DestinationRuleResource)? {
        let rules = (rulesOfService[service] ?? []).filter {
            $0.namespace == service.namespace || $0.namespace == options.rootNamespace
        }
        let first = rules.min { a, b in
            a.namespace == b.namespace ? precedes(.destinationRule, a, b) : a.namespace == service.namespace
        }
        guard let first, case .destinationRule(let rule)? = objects[ObjectKey(.destinationRule, first)]?.resource
        else { return nil }
        return (first, rule)
    }

    /// The TrafficPolicy in force: the oldest.
    func governingPolicy(of service: ObjectName) -> (name: ObjectName, resource: TrafficPolicyResource)? {
        guard let first = (policiesOfService[service] ?? []).min(by: { precedes(.trafficPolicy, $0, $1) }),
            case .trafficPolicy(let policy)? = objects[ObjectKey(.trafficPolicy, first)]?.resource
        else { return nil }
        return (first, policy)
    }
}

extension EndpointState {
    /// nil: not an endpoint of the service now.
    func isDraining(_ service: ServiceResource) -> Bool? {
        switch self {
        case .ready: false
        case .draining: service.publishesNotReady ? false : true
        case .notReady: service.publishesNotReady ? false : nil
        }
    }
}

extension ServiceResource.TargetPort {
    var number: UInt16? {
        if case .number(let number) = self { number } else { nil }
    }

    func resolve(in member: Member, _ transport: TransportProtocol) -> UInt16? {
        switch self {
        case .number(let number): number
        case .name(let name): member.ports.first { $0.name == name && $0.transport == transport }?.port
        }
    }
}
