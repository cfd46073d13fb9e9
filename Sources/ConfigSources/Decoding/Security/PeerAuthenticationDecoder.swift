import Mesh

extension ObjectDecoder {
    /// Istio's PeerAuthentication.
    static func decodePeerAuthentication(_ root: YAMLValue) -> PeerAuthenticationResource? {
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var resource = PeerAuthenticationResource()
        guard let spec = root.field("spec") else { return resource }
        spec.forEachField { name, value in
            switch name {
            case "selector": resource.selector = PolicyTargets.selector(value)
            case "mtls": resource.mode = mode(value)
            case "portLevelMtls": resource.portModes = portModes(value)
            default: value.reportUnknownField()
            }
        }
        if resource.selector.isEmpty {
            spec.field("portLevelMtls")?.report("ports are for workloads that spec.selector chooses")
        }
        return resource
    }

    /// nil for UNSET.
    private static func mode(_ value: YAMLValue) -> MutualTLSMode? {
        var mode: MutualTLSMode?
        value.forEachField { name, value in
            guard name == "mode" else { return value.reportUnknownField() }
            let known: MutualTLSMode?? = value.choice([
                "UNSET": nil, "DISABLE": .disable, "PERMISSIVE": .permissive, "STRICT": .strict,
            ])
            mode = known ?? .strict
        }
        return mode
    }

    private static func portModes(_ value: YAMLValue) -> [UInt16: MutualTLSMode] {
        var modes: [UInt16: MutualTLSMode] = [:]
        value.forEachField { name, value in
            guard let port = UInt16(name), port > 0 else {
                return value.report("\"\(name.prefix(64))\" is not a port (1...65535)")
            }
            modes[port] = mode(value)
        }
        return modes
    }
}
