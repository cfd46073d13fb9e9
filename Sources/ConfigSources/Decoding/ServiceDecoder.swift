import Mesh

extension ObjectDecoder {
    /// A Kubernetes Service (v1).
    static func decodeService(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> ServiceResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var service = ServiceResource()
        service.templates = metadata.templates
        var clusterIP: IPAddress?
        var clusterIPs: [IPAddress] = []
        var externalIPs: [IPAddress] = []
        var hasAffinity = false
        var affinityTimeout: UInt32 = 10800
        var type = ServiceType.clusterIP
        spec.forEachField { name, value in
            switch name {
            case "clusterIP": clusterIP = clusterAddress(value)
            case "clusterIPs": clusterIPs = value.map { clusterAddress($0) }
            case "externalIPs": externalIPs = value.map { serviceAddress($0) }
            case "ports": service.ports = value.map { decodeServicePort($0, &issues) }
            case "selector": service.selector = value.labels()
            case "type":
                type =
                    value.choice([
                        "ClusterIP": .clusterIP, "NodePort": .nodePort, "LoadBalancer": .loadBalancer,
                        "ExternalName": .externalName,
                    ]) ?? .clusterIP
            case "sessionAffinity": hasAffinity = value.choice(["ClientIP": true, "None": false]) ?? false
            case "sessionAffinityConfig":
                affinityTimeout = affinitySeconds(value) ?? affinityTimeout
            case "publishNotReadyAddresses": service.publishesNotReady = value.bool() ?? false
            case "allocateLoadBalancerNodePorts", "externalName", "externalTrafficPolicy", "healthCheckNodePort",
                "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy", "loadBalancerClass", "loadBalancerIP",
                "loadBalancerSourceRanges", "trafficDistribution":
                break
            default: value.reportUnknownField()
            }
        }
        checkPorts(of: service, spec)
        if clusterIPs.isEmpty, let clusterIP { clusterIPs = [clusterIP] }
        for address in clusterIPs + externalIPs where !service.addresses.contains(address) {
            service.addresses.append(address)
        }
        if hasAffinity { service.affinitySeconds = affinityTimeout }
        if type == .externalName {
            service.isUsable = false
            issues.append(.unsupported(.accepted, "type ExternalName is not supported"))
        }
        return service
    }

    private enum ServiceType { case clusterIP, nodePort, loadBalancer, externalName }

    /// nil for `None` and for an address that is yet to be given.
    private static func clusterAddress(_ value: YAMLValue) -> IPAddress? {
        guard let text = value.string(), text != "None", !text.isEmpty else { return nil }
        return serviceAddress(value)
    }

    private static func serviceAddress(_ value: YAMLValue) -> IPAddress? {
        guard let address = value.address() else { return nil }
        guard !address.isUnspecified else {
            value.report("\(address) is not an address that a client can connect to")
            return nil
        }
        return address
    }

    private static func affinitySeconds(_ config: YAMLValue) -> UInt32? {
        var seconds: UInt32?
        config.forEachField { name, value in
            guard name == "clientIP" else { return value.reportUnknownField() }
            value.forEachField { name, value in
                guard name == "timeoutSeconds" else { return value.reportUnknownField() }
                seconds = value.integer(1...86400, what: "a number of seconds").map { UInt32($0) }
            }
        }
        return seconds
    }

    private static func decodeServicePort(
        _ value: YAMLValue, _ issues: inout [ConditionIssue]
    ) -> ServiceResource.Port? {
        var name = ""
        var port: UInt16?
        var transport: TransportProtocol?
        var target: ServiceResource.TargetPort?
        var appProtocol: String?
        var isSCTP = false
        value.forEachField { field, value in
            switch field {
            case "name": name = value.string() ?? ""
            case "port": port = value.port()
            case "protocol": (transport, isSCTP) = transportProtocol(value)
            case "targetPort": target = targetPort(value)
            case "appProtocol": appProtocol = value.string()
            case "nodePort": break
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("port") == nil { value.reportMissing("port") }
        if isSCTP {
            issues.append(
                ConditionIssue(
                    .partiallyInvalid, reason: "UnsupportedProtocol",
                    message: "port \(port.map { "\($0)" } ?? name): protocol SCTP is not supported"))
            return nil
        }
        guard let port else { return nil }
        var result = ServiceResource.Port(name: name, port: port, transport: transport ?? .tcp, target: target)
        result.application = ApplicationProtocol(declared: appProtocol, portName: name, port: port)
        return result
    }

    /// The protocol, and whether it is SCTP, which Kubernetes knows and Weft does not.
    static func transportProtocol(_ value: YAMLValue) -> (TransportProtocol?, isSCTP: Bool) {
        let known: TransportProtocol?? = value.choice(["TCP": .tcp, "UDP": .udp, "SCTP": nil])
        guard let known else { return (nil, false) }
        return (known, known == nil)
    }

    private static func targetPort(_ value: YAMLValue) -> ServiceResource.TargetPort? {
        if value.isInteger { return value.port().map { .number($0) } }
        guard let text = value.string() else { return nil }
        guard !text.isEmpty, text.contains(where: { $0.isLetter }) else {
            value.report("\"\(text)\" is not a port: write the number without quotes, or the name of a port")
            return nil
        }
        return .name(text)
    }

    private static func checkPorts(of service: ServiceResource, _ spec: YAMLValue) {
        var names: Set<String> = []
        var numbers: Set<[UInt16]> = []
        for port in service.ports {
            let isNew = numbers.insert([port.port, UInt16(port.transport.number)]).inserted
            if !isNew { spec.field("ports")?.report("port \(port.port)/\(port.transport.rawValue) is there twice") }
            if port.name.isEmpty, service.ports.count > 1 {
                spec.field("ports")?.report("port \(port.port) needs a name, because there is more than one port")
            } else if !names.insert(port.name).inserted {
                spec.field("ports")?.report("two ports have the name \"\(port.name)\"")
            }
        }
    }
}
