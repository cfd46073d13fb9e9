import Mesh

/// Computes what a `TunnelTable` has.
struct TunnelTableBuilder {
    typealias Place = TunnelTable.Place

    private let snapshot: MeshSnapshot
    private let identifiers: RouteIdentifiers
    /// In the order of their names, so that equal snapshots give equal tables.
    private let workloads: [MeshWorkload]

    init(_ snapshot: MeshSnapshot, _ identifiers: RouteIdentifiers) {
        self.snapshot = snapshot
        self.identifiers = identifiers
        workloads = snapshot.workloads.values.sorted { $0.name < $1.name }
    }

    private func spiffeID(_ workload: MeshWorkload) -> String {
        workload.spiffeID(trustDomain: snapshot.trustDomain)
    }

    private func identifier(_ workload: MeshWorkload) -> UInt64 { identifiers.workloads[workload.name] ?? 0 }

    func sources() -> [UInt64: String] {
        var sources: [UInt64: String] = [:]
        for workload in workloads where workload.isLocal { sources[identifier(workload)] = spiffeID(workload) }
        sources[0] = nil
        sources[TunnelTable.agent] = AgentIdentity.spiffeID(trustDomain: snapshot.trustDomain)
        return sources
    }

    func addresses() -> [UInt64: [IPAddress]] {
        var addresses: [UInt64: [IPAddress]] = [:]
        for workload in workloads where workload.isLocal { addresses[identifier(workload)] = workload.addresses }
        addresses[0] = nil
        return addresses
    }

    /// What a peer's telemetry says of the workload; see HBONE's `baggage` header. A value that would need quoting is left
    /// out (W3C Baggage §3.2).
    func baggage() -> [UInt64: [UInt8]] {
        var result: [UInt64: [UInt8]] = [:]
        for workload in workloads where workload.isLocal {
            let name = workload.labels["app.kubernetes.io/name"] ?? workload.labels["app"]
            let version = workload.labels["app.kubernetes.io/version"] ?? workload.labels["version"]
            let entries: [(String, String?)] = [
                ("k8s.namespace.name", workload.name.namespace), ("k8s.pod.name", workload.name.name),
                ("service.name", name), ("service.version", version),
            ]
            let text = entries.compactMap { key, value in
                value.flatMap { Self.isPlain($0) ? "\(key)=\($0)" : nil }
            }
            result[identifier(workload)] = Array(text.joined(separator: ",").utf8.prefix(1_024))
        }
        return result
    }

    private static func isPlain(_ value: String) -> Bool {
        !value.isEmpty
            && value.utf8.allSatisfy { byte in
                byte > 0x20 && byte < 0x7f && !#"",;\="#.utf8.contains(byte)
            }
    }

    func remotes() -> (identities: [Place: [String]], exceptions: [Place: Bool]) {
        var identities: [Place: Set<String>] = [:]
        var exceptions: [Place: Bool] = [:]
        for workload in workloads where !workload.isLocal && workload.takesTunnel {
            for address in workload.addresses {
                identities[Place(address), default: []].insert(spiffeID(workload))
                // Without own ports it has all that nobody declares.
                for port in Set(workload.ports.filter { $0.transport == .tcp }.map(\.port)) {
                    exceptions[Place(address, port)] = workload.mutualTLS(port: port) != .disable
                }
                for (port, mode) in workload.portMutualTLS where workload.ports.isEmpty {
                    exceptions[Place(address, port)] = mode != .disable
                }
                if workload.ports.isEmpty { exceptions[Place(address)] = workload.mutualTLS != .disable }
            }
        }
        // Addresses that a workload without the tunnel shares: its ports are reached as they are.
        for workload in workloads where !workload.isLocal && !workload.takesTunnel {
            for address in workload.addresses where identities[Place(address)] != nil {
                for port in workload.ports where port.transport == .tcp {
                    exceptions[Place(address, port.port)] = false
                }
                if workload.ports.isEmpty { exceptions[Place(address)] = false }
            }
        }
        return (identities.mapValues { $0.sorted() }, exceptions)
    }

    func hosts() -> [UInt64: [UInt8]] {
        var hosts: [UInt64: [UInt8]] = [:]
        for (key, ids) in identifiers.services {
            guard let service = snapshot.services[key.service] else { continue }
            let name = service.hosts.first ?? "\(key.service.name).\(key.service.namespace).svc.cluster.local"
            guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") }) else { continue }
            for id in ids { hosts[id] = Array(name.utf8.prefix(253)) }
        }
        return hosts
    }

    func services() -> [Place: [TunnelTable.Service]] {
        let hosts = hosts()
        var services: [Place: [TunnelTable.Service]] = [:]
        for service in snapshot.services.values.sorted(by: { $0.name < $1.name }) {
            for port in service.ports where port.transport == .tcp {
                let key = RouteIdentifiers.ServicePort(service: service.name, port: port.port)
                guard let identifier = identifiers.services[key]?.first, let host = hosts[identifier] else { continue }
                for endpoint in port.endpoints {
                    guard let workload = endpoint.workload, snapshot.workloads[workload]?.isLocal == true else {
                        continue
                    }
                    services[Place(endpoint.address, endpoint.port), default: []].append(
                        TunnelTable.Service(host: host, identifier: identifier))
                }
            }
        }
        return services
    }

    func servers() -> [Place: String] {
        var servers: [Place: String] = [:]
        for workload in workloads where workload.isLocal {
            let id = spiffeID(workload)
            for address in workload.addresses {
                servers[Place(address)] = min(servers[Place(address)] ?? id, id)
            }
        }
        return servers
    }

    func clients() -> [String: [TunnelTable.Client]] {
        var clients: [String: [TunnelTable.Client]] = [:]
        for workload in workloads where !workload.isLocal && identifier(workload) != 0 {
            clients[spiffeID(workload), default: []].append(
                TunnelTable.Client(
                    workload: identifier(workload), addresses: Set(workload.addresses.map { Place($0) })))
        }
        return clients
    }

    func inbound() -> [Place: TunnelTable.Inbound] {
        var inbound: [Place: TunnelTable.Inbound] = [:]
        for workload in workloads where workload.isLocal {
            let common = TunnelTable.Inbound(workload: identifier(workload))
            var ports: [UInt16: TunnelTable.Inbound] = [:]
            if workload.ports.isEmpty { ports[0] = common }
            for port in workload.ports where port.transport == .tcp { ports[port.port] = common }
            for port in workload.requestPorts {
                guard let service = workload.inboundHTTP[port].flatMap({ service($0) }) else { continue }
                guard ports[port] != nil || workload.ports.isEmpty else { continue }
                ports[port] = common
                ports[port]?.service = service
            }
            for address in workload.addresses {
                for (port, value) in ports where inbound[Place(address, port)] == nil {
                    inbound[Place(address, port)] = value
                }
            }
        }
        return inbound
    }

    private func service(_ name: ObjectName) -> UInt64? {
        guard let port = snapshot.services[name]?.ports.first(where: { $0.http != nil }) else { return nil }
        return identifiers.services[RouteIdentifiers.ServicePort(service: name, port: port.port)]?.first
    }

    func backends(
        _ identifier: (_ service: UInt64, _ address: IPAddress, _ port: UInt16) -> UInt64
    ) -> [UInt64: TunnelTable.Backend] {
        var backends: [UInt64: TunnelTable.Backend] = [:]
        for (key, ids) in identifiers.services {
            guard
                let port = snapshot.services[key.service]?.ports.first(where: {
                    $0.port == key.port && $0.transport == .tcp
                })
            else { continue }
            for endpoint in port.endpoints {
                let address = ClientAddress(
                    high: endpoint.address.high.bigEndian, low: endpoint.address.low.bigEndian, port: endpoint.port)
                for id in ids {
                    let backend = identifier(id, endpoint.address, endpoint.port)
                    if backend != 0 { backends[backend] = TunnelTable.Backend(address: address, service: id) }
                }
            }
        }
        return backends
    }
}
