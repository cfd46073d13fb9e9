import Mesh

extension ObjectDecoder {
    /// Weft's Workload.
    static func decodeWorkload(_ root: YAMLValue, _ metadata: Metadata) -> WorkloadResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var workload = WorkloadResource()
        workload.labels = metadata.labels
        spec.forEachField { name, value in
            switch name {
            case "serviceAccount": workload.serviceAccount = value.name(.subdomain) ?? "default"
            case "addresses": workload.addresses = workloadAddresses(value)
            case "node": workload.node = value.name(.subdomain) ?? ""
            case "match": workload.cgroup = cgroup(value)
            case "ports": workload.ports = workloadPorts(value)
            case "weight": workload.weight = value.integer(0...65535, what: "a weight").map { UInt16($0) } ?? 1
            case "acceleration": workload.acceleration = value.choice(["On": true, "Off": false])
            case "tunnel": workload.takesTunnel = value.choice(["HBONE": true, "None": false]) ?? true
            default: value.reportUnknownField()
            }
        }
        return workload
    }

    private static func workloadAddresses(_ value: YAMLValue) -> [IPAddress] {
        var addresses: [IPAddress] = []
        value.forEachElement { value in
            guard let address = value.address() else { return }
            if address.isUnspecified {
                value.report("\(address) is no address of a workload: name those that it is reached at")
            } else if addresses.contains(address) {
                value.report("\(address) is there twice")
            } else {
                addresses.append(address)
            }
        }
        return addresses
    }

    private static func workloadPorts(_ value: YAMLValue) -> [MeshWorkloadPort] {
        var ports: [MeshWorkloadPort] = []
        value.forEachElement { value in
            var name = ""
            var port: UInt16?
            var transport = TransportProtocol.tcp
            value.forEachField { field, value in
                switch field {
                case "name": name = value.string() ?? ""
                case "port": port = value.port()
                case "protocol": transport = value.choice(["TCP": .tcp, "UDP": .udp]) ?? .tcp
                default: value.reportUnknownField()
                }
            }
            if value.isMapping, value.field("port") == nil { value.reportMissing("port") }
            guard let port else { return }
            if ports.contains(where: { $0.port == port && $0.transport == transport }) {
                value.report("port \(port)/\(transport.rawValue) is there twice")
            } else if !name.isEmpty, ports.contains(where: { $0.name == name && $0.transport == transport }) {
                value.report("two ports have the name \"\(name)\"")
            } else {
                ports.append(MeshWorkloadPort(name: name, port: port, transport: transport))
            }
        }
        return ports
    }

    private static func cgroup(_ match: YAMLValue) -> String? {
        var path: String?
        var unit: String?
        match.forEachField { name, value in
            switch name {
            case "cgroup": path = value.cgroupPath()
            case "systemdUnit": unit = systemdPath(value)
            default: value.reportUnknownField()
            }
        }
        if path != nil, unit != nil { match.report("cgroup and systemdUnit exclude each other") }
        return path ?? unit
    }

    /// Where systemd puts a system service: in system.slice, instances of a template in a slice of the template.
    /// Source: systemd.slice(5), unit_default_slice.
    private static func systemdPath(_ value: YAMLValue) -> String? {
        guard let unit = value.string() else { return nil }
        let bytes = unit.utf8
        let isName = bytes.allSatisfy { $0 > UInt8(ascii: " ") && $0 != UInt8(ascii: "/") && $0 < 127 }
        guard isName, unit.hasSuffix(".service"), bytes.count > ".service".utf8.count, bytes.count < 256 else {
            value.report("\"\(unit.prefix(64))\" is not the name of a systemd service, such as web.service")
            return nil
        }
        guard let at = unit.firstIndex(of: "@") else { return "/system.slice/\(unit)" }
        let template = unit[..<at].split(separator: "-", omittingEmptySubsequences: false).joined(separator: "\\x2d")
        return "/system.slice/system-\(template).slice/\(unit)"
    }
}
