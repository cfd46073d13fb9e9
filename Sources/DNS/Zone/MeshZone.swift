public import Mesh

/// The names of a snapshot's services.
///
/// `web.shop.svc.cluster.local` and `web.shop.svc` belong to the mesh whether they exist or not: nobody else is asked. The
/// short forms `web.shop` and, seen from a workload of the same namespace, `web` belong to it only if they exist, because
/// they may as well be names of the world outside. The hosts of a ServiceEntry are names of their own, `*.` standing for any
/// labels before the rest; they go before all others.
/// Source: https://github.com/kubernetes/dns/blob/master/docs/specification.md
public struct MeshZone: Sendable {
    public enum Answer: Sendable, Equatable {
        /// Not a name of the mesh: ask others.
        case foreign
        /// There is no such name.
        case nameError
        /// The name exists, with other types of records.
        case noData
        case records([DNSRecord], additional: [DNSRecord] = [])
    }

    /// Seconds for which an answer may be kept: endpoints come and go.
    public static let timeToLive: UInt32 = 10

    private let services: [ObjectName: MeshService]
    private let namespaces: Set<String>
    /// Names of services of any namespace, and which service has an address.
    private let names: Set<String>
    private let owners: [IPAddress: ObjectName]
    /// Names that services have beside those that follow from theirs, with whose they are, in order.
    private let hosts: [String: [ObjectName]]
    private let generation: UInt64
    private let domain: [String]

    /// - Parameter domain: the cluster domain.
    public init(_ snapshot: MeshSnapshot, domain: String = "cluster.local") {
        // What stands for a workload's own address has no name.
        let services = snapshot.services.filter { $0.key.workloadOfService == nil }
        self.services = services
        generation = snapshot.generation
        var namespaces = Set(services.keys.lazy.map(\.namespace))
        namespaces.formUnion(snapshot.workloads.keys.lazy.map(\.namespace))
        self.namespaces = namespaces
        names = Set(services.keys.lazy.map(\.name))
        var owners: [IPAddress: ObjectName] = [:]
        var hosts: [String: [ObjectName]] = [:]
        for (name, service) in services {
            for address in service.addresses where owners[address].map({ name < $0 }) ?? true { owners[address] = name }
            // An entry without any address says that a name is known, not what it stands for.
            guard !service.addresses.isEmpty || service.ports.contains(where: { !$0.endpoints.isEmpty }) else {
                continue
            }
            for host in service.hosts { hosts[host, default: []].append(name) }
        }
        self.owners = owners
        self.hosts = hosts.mapValues { $0.sorted() }
        self.domain = domain.lowercased().split(separator: ".").map(String.init)
    }

    /// - Parameter namespace: the namespace of who asks; called only for names that need it.
    public func lookup(_ question: DNSQuestion, namespace: () -> String) -> Answer {
        let labels = question.name.labels
        if let owners = owners(ofHost: labels) {
            // Of several the one of the asker's namespace, otherwise the first.
            let own = owners.count > 1 ? namespace() : ""
            guard let name = owners.first(where: { $0.namespace == own }) ?? owners.first, let service = services[name]
            else { return .noData }
            return answer([], of: service, question)
        }
        if labels.count >= domain.count, labels.suffix(domain.count).elementsEqual(domain) {
            let rest = labels.dropLast(domain.count)
            guard let last = rest.last else {
                return question.type == .soa ? .records([authority]) : .noData
            }
            return last == "svc" ? resolve(Array(rest.dropLast()), question) : .nameError
        }
        if labels.last == "svc" { return resolve(labels.dropLast(), question) }
        if labels.suffix(2) == ["in-addr", "arpa"] || labels.suffix(2) == ["ip6", "arpa"] {
            return reverse(labels, question)
        }
        return short(labels, question, namespace: namespace)
    }

    private func owners(ofHost labels: [String]) -> [ObjectName]? {
        guard !hosts.isEmpty else { return nil }
        if let owners = hosts[labels.joined(separator: ".")] { return owners }
        for count in stride(from: labels.count - 1, to: 0, by: -1) {
            if let owners = hosts["*." + labels.suffix(count).joined(separator: ".")] { return owners }
        }
        return nil
    }

    /// The SOA record that negative answers carry.
    public var authority: DNSRecord {
        let name = DNSName(labels: domain) ?? .root
        return DNSRecord(
            name: name, ttl: Self.timeToLive,
            value: .soa(
                DNSAuthority(
                    server: DNSName(labels: ["ns", "dns"] + domain) ?? .root,
                    mailbox: DNSName(labels: ["hostmaster"] + domain) ?? .root,
                    serial: UInt32(truncatingIfNeeded: generation), minimum: Self.timeToLive / 2)))
    }

    /// `labels` are those before `svc`.
    private func resolve(_ labels: [String], _ question: DNSQuestion) -> Answer {
        guard let namespace = labels.last else { return .noData }
        guard namespaces.contains(namespace) else { return .nameError }
        guard labels.count > 1 else { return .noData }
        guard let service = services[ObjectName(namespace: namespace, name: labels[labels.count - 2])] else {
            return .nameError
        }
        return answer(Array(labels.dropLast(2)), of: service, question)
    }

    /// A name without `svc`: ours only if there is such a service.
    private func short(_ labels: [String], _ question: DNSQuestion, namespace: () -> String) -> Answer {
        // `_port._protocol` may come before it.
        let isPort = labels.count > 2 && labels[0].hasPrefix("_") && labels[1].hasPrefix("_")
        let prefix = isPort ? Array(labels[..<2]) : []
        // No name server outside knows better (RFC 6761 §6.3).
        if labels.last == "localhost" {
            return records(question, [IPAddress(v4: 127, 0, 0, 1), IPAddress(high: 0, low: UInt64(1).bigEndian)])
        }
        let rest = labels.dropFirst(prefix.count)
        guard let name = rest.first, rest.count <= 2 else { return .foreign }
        if rest.count == 1, !names.contains(name) { return .foreign }
        let space = rest.count == 2 ? rest[rest.startIndex + 1] : namespace()
        guard let service = services[ObjectName(namespace: space, name: name)] else { return .foreign }
        return answer(prefix, of: service, question)
    }

    /// - Parameter prefix: what comes before the service's name.
    private func answer(_ prefix: [String], of service: MeshService, _ question: DNSQuestion) -> Answer {
        switch prefix.count {
        case 0:
            let addresses = addresses(of: service)
            // A headless service without endpoints does not exist (specification, 2.4.1).
            guard !addresses.isEmpty else { return service.addresses.isEmpty ? .nameError : .noData }
            return records(question, addresses)
        case 1 where prefix[0] == "_tcp" || prefix[0] == "_udp":
            let transport: TransportProtocol = prefix[0] == "_tcp" ? .tcp : .udp
            return service.ports.contains { $0.transport == transport && !$0.name.isEmpty } ? .noData : .nameError
        case 1:
            // An endpoint of a headless service.
            guard service.addresses.isEmpty else { return .nameError }
            let matching = addresses(of: service).filter { Self.label(of: $0) == prefix[0] }
            return matching.isEmpty ? .nameError : records(question, matching)
        case 2: return srv(prefix, of: service, question)
        default: return .nameError
        }
    }

    private func records(_ question: DNSQuestion, _ addresses: [IPAddress]) -> Answer {
        let wanted = addresses.filter { address in
            question.type == .any || question.type == (address.isIPv4 ? .a : .aaaa)
        }
        guard !wanted.isEmpty else { return .noData }
        return .records(
            wanted.map { DNSRecord(name: question.name, ttl: Self.timeToLive, value: .address($0)) })
    }

    /// A service's own addresses, or those of a headless one's endpoints, in an order that changes.
    private func addresses(of service: MeshService) -> [IPAddress] {
        guard service.addresses.isEmpty else { return service.addresses }
        var seen: Set<IPAddress> = []
        return service.ports.flatMap(\.endpoints).filter(Self.isReady).map(\.address)
            .filter { seen.insert($0).inserted }.shuffled()
    }

    private static func isReady(_ endpoint: MeshEndpoint) -> Bool { !endpoint.isDraining && endpoint.weight > 0 }

    /// What an endpoint of a headless service is called: its address with dashes.
    private static func label(of address: IPAddress) -> String {
        String(address.description.map { $0 == "." || $0 == ":" ? "-" : $0 })
    }

    // MARK: Ports

    /// `_http._tcp` of a service (RFC 2782).
    private func srv(_ prefix: [String], of service: MeshService, _ question: DNSQuestion) -> Answer {
        guard prefix[0].hasPrefix("_"), prefix[1] == "_tcp" || prefix[1] == "_udp",
            let port = service.ports.first(where: {
                !$0.name.isEmpty && "_" + $0.name.lowercased() == prefix[0]
                    && "_" + $0.transport.rawValue.lowercased() == prefix[1]
            }), let host = DNSName(labels: [service.name.name, service.name.namespace, "svc"] + domain)
        else { return .nameError }
        guard question.type == .srv || question.type == .any else { return .noData }
        var answers: [DNSRecord] = []
        var additional: [DNSRecord] = []
        func add(_ target: DNSName, _ number: UInt16, _ weight: UInt16, _ addresses: [IPAddress]) {
            answers.append(
                DNSRecord(
                    name: question.name, ttl: Self.timeToLive,
                    value: .srv(priority: 0, weight: weight, port: number, target: target)))
            additional += addresses.map {
                DNSRecord(name: target, ttl: Self.timeToLive, value: .address($0))
            }
        }
        if service.addresses.isEmpty {
            for endpoint in port.endpoints where Self.isReady(endpoint) {
                let labels = [Self.label(of: endpoint.address), service.name.name, service.name.namespace, "svc"]
                guard let target = DNSName(labels: labels + domain) else { continue }
                add(target, endpoint.port, endpoint.weight, [endpoint.address])
            }
        } else {
            add(host, port.port, 1, service.addresses)
        }
        return answers.isEmpty ? .nameError : .records(answers, additional: additional)
    }

    // MARK: Addresses

    /// The name of an address: of the service that has it.
    private func reverse(_ labels: [String], _ question: DNSQuestion) -> Answer {
        guard let address = Self.address(reversed: labels),
            let owner = owners[address], let host = hostname(of: owner)
        else { return .foreign }
        guard question.type == .ptr || question.type == .any else { return .noData }
        return .records([DNSRecord(name: question.name, ttl: Self.timeToLive, value: .ptr(host))])
    }

    private func hostname(of service: ObjectName) -> DNSName? {
        guard let hosts = services[service]?.hosts, !hosts.isEmpty else {
            return DNSName(labels: [service.name, service.namespace, "svc"] + domain)
        }
        return hosts.first { !$0.hasPrefix("*") }.flatMap { DNSName(labels: $0.split(separator: ".").map(String.init)) }
    }

    /// RFC 1035 §3.5 and RFC 3596 §2.5.
    private static func address(reversed labels: [String]) -> IPAddress? {
        let digits = labels.dropLast(2).reversed()
        if labels.suffix(2) == ["in-addr", "arpa"] {
            return digits.count == 4 ? IPAddress(digits.joined(separator: ".")) : nil
        }
        guard digits.count == 32, digits.allSatisfy({ $0.utf8.count == 1 }) else { return nil }
        let text = Array(digits)
        let groups = stride(from: 0, to: 32, by: 4).map { text[$0..<($0 + 4)].joined() }
        return IPAddress(groups.joined(separator: ":"))
    }
}
