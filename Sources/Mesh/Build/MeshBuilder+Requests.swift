extension MeshBuilder {
    /// Decides at which ports requests are read for rules about requests, and lets the connections to these ports go
    /// through the proxy: those to services, and those to workloads themselves.
    mutating func rebuildRequestRules(_ dirty: Dirty) {
        guard !requests.isEmpty || !dirty.scopes.isEmpty else { return }
        requests.settle(snapshot.services)
        var workloads = Set(dirty.workloads.map(\.name))
        var services = dirty.services.filter { $0.workloadOfService == nil }
        for workload in workloads { services.formUnion(requests.services(of: workload)) }
        workloads.formUnion(dirty.exposed)
        mark(dirty.scopes, &workloads, &services)
        if requests.scopes.isEmpty {
            workloads.formUnion(requests.rules.keys)
            services.formUnion(requests.lanes.keys)
        }
        for name in workloads {
            let rules = requestRules(of: name)
            guard rules != requests.rules[name] else { continue }
            requests.rules[name] = rules
            services.formUnion(requests.services(of: name))
        }
        for name in services {
            let lanes = snapshot.services[name].map { requestLanes(of: $0) } ?? [:]
            guard lanes != requests.lanes[name] ?? [:] else { continue }
            requests.lanes[name] = lanes.isEmpty ? nil : lanes
            snapshot.services[name] = buildService(name, isRouted: true)
        }
        // Whose address it is changes with the services that claim it.
        workloads.formUnion(
            requests.rules.keys.filter { name in
                snapshot.workloads[name]?.addresses.contains(where: dirty.frontends.contains) ?? false
            })
        for name in workloads { rebuildCapture(of: name) }
    }

    /// What rules that have come or gone may have changed.
    private func mark(
        _ scopes: [RuleScope], _ workloads: inout Set<ObjectName>, _ services: inout Set<ObjectName>
    ) {
        for scope in scopes {
            for target in scope.targetServices {
                let name = ObjectName(namespace: scope.key.name.namespace, name: target)
                services.insert(name)
                for port in snapshot.services[name]?.ports ?? [] {
                    workloads.formUnion(port.endpoints.compactMap(\.workload))
                }
            }
            guard scope.targetServices.isEmpty else { continue }
            for workload in snapshot.workloads.values where scope.selects(workload) { workloads.insert(workload.name) }
        }
    }

    // MARK: - Workloads

    /// What rules about requests mean for a workload; nil if nothing.
    private func requestRules(of name: ObjectName) -> RequestIndex.Rules? {
        guard let workload = snapshot.workloads[name], !requests.scopes.isEmpty else { return nil }
        let services = requests.services(of: name).filter { $0.namespace == name.namespace }
        var scopes = Array((requests.scopes[name.namespace] ?? [:]).values)
        if name.namespace != options.rootNamespace {
            scopes += (requests.scopes[options.rootNamespace] ?? [:]).values
        }
        let selecting = scopes.filter { $0.selects(workload) }.map(\.key.description)
        var ports: [UInt16: Set<String>] = [:]
        // What its own services call another protocol is none that requests can be read of.
        var others: Set<UInt16> = []
        func isOwn(_ port: UInt16) -> Bool {
            workload.ports.isEmpty || workload.ports.contains { $0.port == port && $0.transport == .tcp }
        }
        for service in services.compactMap({ snapshot.services[$0] }) {
            let naming = scopes.filter { $0.names(service.name) }.map(\.key.description)
            for port in service.ports where port.transport == .tcp {
                for endpoint in port.endpoints where endpoint.workload == name && isOwn(endpoint.port) {
                    if port.application.takesRequests {
                        ports[endpoint.port, default: []].formUnion(selecting + naming)
                    } else {
                        others.insert(endpoint.port)
                    }
                }
            }
        }
        for port in declaredPorts(of: name) where port.transport == .tcp && isOwn(port.port) {
            let application = ApplicationProtocol(declared: nil, portName: port.name, port: port.port)
            if application.takesRequests { ports[port.port, default: []].formUnion(selecting) }
        }
        let used = ports.filter { !$0.value.isEmpty && !others.contains($0.key) }
        guard !used.isEmpty else { return nil }
        return RequestIndex.Rules(
            ports: used.mapValues { $0.sorted() }, isEnforcedHere: workload.isLocal || !workload.takesTunnel)
    }

    /// The object that is the workload of this name.
    private func memberKey(of name: ObjectName) -> ObjectKey {
        let pod = ObjectKey(.pod, name)
        return isLive(pod) ? pod : ObjectKey(.workload, name)
    }

    private func declaredPorts(of name: ObjectName) -> [MeshWorkloadPort] {
        objects[memberKey(of: name)]?.member?.ports ?? []
    }

    // MARK: - Services

    /// The ports of a service that requests have to be read at here, because of its endpoints or of itself.
    private func requestLanes(of service: MeshService) -> [UInt16: [String]] {
        // Clients of a headless service connect to its workloads.
        guard !service.addresses.isEmpty else { return [:] }
        let naming = (requests.scopes[service.name.namespace] ?? [:]).values
            .filter { $0.names(service.name) }.map(\.key.description)
        var lanes: [UInt16: [String]] = [:]
        for port in service.ports where port.transport == .tcp {
            var reasons: Set<String> = []
            for endpoint in port.endpoints {
                let workload = endpoint.workload.flatMap { snapshot.workloads[$0] }
                guard workload.map({ $0.isLocal || !$0.takesTunnel }) ?? true else { continue }
                if port.application.takesRequests { reasons.formUnion(naming) }
                if let workload { reasons.formUnion(requests.rules[workload.name]?.ports[endpoint.port] ?? []) }
            }
            if !reasons.isEmpty { lanes[port.port] = reasons.sorted() }
        }
        return lanes
    }

    // MARK: - Connections to workloads themselves

    /// Makes the services that stand for a workload's own addresses, and takes away those that it had. An address and
    /// port that a service claims is the service's.
    private mutating func rebuildCapture(of name: ObjectName) {
        let rules = requests.rules[name]
        var services: [ObjectName: MeshService] = [:]
        var inbound: [UInt16: ObjectName] = [:]
        if let workload = snapshot.workloads[name], let rules {
            for (index, address) in workload.addresses.enumerated() where rules.isEnforcedHere {
                let own = name.ofWorkloadService(address: index == 0 ? nil : address)
                var ports: [MeshServicePort] = []
                for (port, reasons) in rules.ports.sorted(by: { $0.key < $1.key }) {
                    let claim = ServiceClaim(address: address, port: port, transport: .tcp)
                    if let owner = serviceClaims.owner(of: claim) {
                        if workload.isLocal, inbound[port] == nil { inbound[port] = owner }
                    } else {
                        ports.append(capture(own, address: address, port: port, workload: name, reasons))
                        if workload.isLocal, inbound[port] == nil { inbound[port] = own }
                    }
                }
                guard !ports.isEmpty else { continue }
                services[own] = MeshService(name: own, addresses: [address], ports: ports, balancing: Balancing())
            }
        }
        for old in requests.captures[name] ?? [] where services[old] == nil { snapshot.services[old] = nil }
        for (own, service) in services where snapshot.services[own] != service { snapshot.services[own] = service }
        requests.captures[name] = services.isEmpty ? nil : services.keys.sorted()
        let ports = Set(rules?.ports.keys.map { $0 } ?? [])
        guard let workload = snapshot.workloads[name], workload.requestPorts != ports || workload.inboundHTTP != inbound
        else { return }
        snapshot.workloads[name]?.requestPorts = ports
        snapshot.workloads[name]?.inboundHTTP = inbound
    }

    private func capture(
        _ service: ObjectName, address: IPAddress, port: UInt16, workload: ObjectName, _ reasons: [String]
    ) -> MeshServicePort {
        var result = MeshServicePort(
            name: "", port: port, transport: .tcp,
            endpoints: [MeshEndpoint(address: address, port: port, workload: workload)])
        let itself = HTTPBackend(target: .service(service, port: port, subset: nil))
        result.http = HTTPRouting(rules: [
            HTTPRule(origin: memberKey(of: workload), index: 0, action: .forward([itself]))
        ])
        result.proxyReasons = reasons
        return result
    }
}

extension ApplicationProtocol {
    /// Whether the proxy can read what is spoken there.
    var takesRequests: Bool { self == .undeclared || self == .http }
}
