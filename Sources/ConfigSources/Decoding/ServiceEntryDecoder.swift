import Mesh

extension ObjectDecoder {
    /// Istio's ServiceEntry with `resolution` STATIC or NONE.
    static func decodeServiceEntry(_ root: YAMLValue, _ issues: inout [ConditionIssue]) -> ServiceEntryResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var entry = ServiceEntryResource()
        var addresses: [IPAddress] = []
        var endpoints: [Endpoint] = []
        var resolution = Resolution.none
        spec.forEachField { field, value in
            switch field {
            case "hosts": entry.hosts = hosts(value)
            case "addresses": addresses = value.map { entryAddress($0, &issues) }
            case "ports": entry.service.ports = entryPorts(value)
            case "location": _ = value.choice(["MESH_EXTERNAL": (), "MESH_INTERNAL": ()])
            case "resolution":
                resolution =
                    value.choice([
                        "NONE": .none, "STATIC": .fixed, "DNS": .dns, "DNS_ROUND_ROBIN": .dns, "DYNAMIC_DNS": .dns,
                    ]) ?? .none
            case "endpoints": endpoints = value.map { endpoint($0, resolution: spec.field("resolution"), &issues) }
            case "workloadSelector":
                value.forEachField { name, value in
                    if name == "labels" { entry.service.selector = value.labels() } else { value.reportUnknownField() }
                }
            case "exportTo":
                if value.map({ $0.string() }) != ["*"] {
                    issues.append(.unsupported("spec.exportTo is not supported yet: the entry is visible everywhere"))
                }
            case "subjectAltNames":
                _ = value.map { $0.string() }
                issues.append(.unsupported("spec.subjectAltNames is not supported yet: TLS is not originated"))
            default: value.reportUnknownField()
            }
        }
        if spec.isMapping, spec.field("hosts") == nil { spec.reportMissing("hosts") }
        if spec.field("endpoints") != nil, spec.field("workloadSelector") != nil {
            spec.report("endpoints and workloadSelector exclude each other")
        }
        switch resolution {
        case .fixed:
            entry.service.addresses = addresses
            entry.slices = endpoints.map { $0.slice(entry.service.ports) }
        case .none:
            // Its addresses are where clients connect to in the end.
            entry.slices = addresses.map { Endpoint(address: $0).slice(entry.service.ports) }
            entry.service.selector = [:]
            if !endpoints.isEmpty { spec.field("endpoints")?.report("resolution NONE has no endpoints: use STATIC") }
        case .dns:
            entry.service.isUsable = false
            issues.append(.unsupported(.accepted, "spec.resolution: only STATIC and NONE are supported"))
        }
        return entry
    }

    private enum Resolution { case none, fixed, dns }

    private struct Endpoint {
        var address: IPAddress
        var ports: [String: UInt16] = [:]
        var weight: UInt16 = 1

        func slice(_ ports: [ServiceResource.Port]) -> EndpointSliceResource {
            var slice = EndpointSliceResource()
            slice.endpoints = [.init(address: address)]
            slice.weight = weight
            slice.ports = ports.map { .init(name: $0.name, port: self.ports[$0.name], transport: $0.transport) }
            return slice
        }
    }

    private static func hosts(_ value: YAMLValue) -> [String] {
        if value.isEmptySequence { value.report("at least one host is required") }
        return value.map { value in
            guard let text = value.string()?.lowercased() else { return nil }
            guard HTTPSyntax.isHostname(text.hasPrefix("*.") ? text.dropFirst(2) : text[...]) else {
                value.report("\"\(text.prefix(64))\" is not a host name such as api.example.com or *.example.com")
                return nil
            }
            return text
        }
    }

    private static func entryAddress(_ value: YAMLValue, _ issues: inout [ConditionIssue]) -> IPAddress? {
        guard let text = value.string() else { return nil }
        if let address = IPAddress(text), !address.isUnspecified { return address }
        guard let block = IPBlock(text), !text.hasPrefix("0.0.0.0") else {
            value.report("\"\(text.prefix(64))\" is not an address that a client can connect to")
            return nil
        }
        if block.prefixLength == 128 { return block.address }
        issues.append(
            .unsupported(
                "\(value.tree.path(of: value.index)): blocks of addresses are not supported yet, only addresses"))
        return nil
    }

    private static func entryPorts(_ value: YAMLValue) -> [ServiceResource.Port] {
        var names: Set<String> = []
        var numbers: Set<UInt16> = []
        return value.map { element in
            var name = ""
            var number: UInt16?
            var target: UInt16?
            var declared: String?
            element.forEachField { field, value in
                switch field {
                case "name": name = value.string() ?? ""
                case "number": number = value.port()
                case "targetPort": target = value.port()
                case "protocol":
                    declared = value.choice([
                        "HTTP": "http", "HTTP2": "http2", "GRPC": "grpc", "GRPC-WEB": "grpc-web", "HTTPS": "https",
                        "TLS": "tls", "TCP": "tcp", "MONGO": "mongo", "REDIS": "redis", "MYSQL": "mysql",
                    ])
                default: value.reportUnknownField()
                }
            }
            for field in ["number", "name"] where element.isMapping && element.field(field) == nil {
                element.reportMissing(field)
            }
            guard let number else { return nil }
            if !names.insert(name).inserted { element.report("two ports have the name \"\(name)\"") }
            if !numbers.insert(number).inserted { element.report("port \(number) is there twice") }
            var port = ServiceResource.Port(name: name, port: number, target: .number(target ?? number))
            port.application = ApplicationProtocol(declared: declared, portName: name, port: number)
            return port
        }
    }

    private static func endpoint(
        _ value: YAMLValue, resolution: YAMLValue?, _ issues: inout [ConditionIssue]
    ) -> Endpoint? {
        var address: IPAddress?
        var ports: [String: UInt16] = [:]
        var weight: UInt16 = 1
        value.forEachField { field, value in
            switch field {
            case "address":
                guard let text = value.string() else { return }
                if text.hasPrefix("unix:") {
                    let path = value.tree.path(of: value.index)
                    issues.append(.unsupported("\(path): Unix domain sockets are not supported"))
                } else if resolution?.string()?.contains("DNS") != true {
                    // With DNS it is a name.
                    address = value.address()
                }
            case "ports": value.forEachField { name, value in ports[name] = value.port() }
            case "weight": weight = value.integer(0...65535, what: "a weight").map { $0 == 0 ? 1 : UInt16($0) } ?? 1
            case "labels": _ = value.labels()
            case "network", "locality", "serviceAccount": _ = value.string()
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("address") == nil { value.reportMissing("address") }
        return address.map { Endpoint(address: $0, ports: ports, weight: weight) }
    }
}
