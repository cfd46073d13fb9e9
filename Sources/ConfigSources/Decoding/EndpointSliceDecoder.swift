import Mesh

extension ObjectDecoder {
    /// A Kubernetes EndpointSlice (discovery.k8s.io/v1).
    static func decodeEndpointSlice(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> EndpointSliceResource? {
        var slice = EndpointSliceResource()
        slice.service = metadata.labels["kubernetes.io/service-name"]
        slice.weight = metadata.weight ?? 1
        var type: AddressType?
        if let value = root.field("addressType") {
            type = value.choice(["IPv4": .ipv4, "IPv6": .ipv6, "FQDN": .fqdn])
        } else {
            root.reportMissing("addressType")
        }
        root.forEachOwnField { name, value in
            switch name {
            case "addressType": break
            case "ports": slice.ports = value.map { decodeSlicePort($0, &issues) }
            case "endpoints": value.forEachElement { decodeEndpoint($0, type, &slice.endpoints) }
            default: value.reportUnknownField()
            }
        }
        if type == .fqdn { issues.append(.unsupported(.accepted, "addressType FQDN is not supported")) }
        return slice
    }

    private enum AddressType { case ipv4, ipv6, fqdn }

    private static func decodeSlicePort(
        _ value: YAMLValue, _ issues: inout [ConditionIssue]
    ) -> EndpointSliceResource.Port? {
        var port = EndpointSliceResource.Port(port: nil)
        var isSCTP = false
        value.forEachField { name, value in
            switch name {
            case "name": port.name = value.string() ?? ""
            case "port": port.port = value.port()
            case "protocol":
                let (transport, sctp) = transportProtocol(value)
                port.transport = transport ?? .tcp
                isSCTP = sctp
            case "appProtocol": break
            default: value.reportUnknownField()
            }
        }
        guard isSCTP else { return port }
        issues.append(
            ConditionIssue(
                .partiallyInvalid, reason: "UnsupportedProtocol",
                message: "port \"\(port.name)\": protocol SCTP is not supported"))
        return nil
    }

    private static func decodeEndpoint(
        _ value: YAMLValue, _ type: AddressType?, _ endpoints: inout [EndpointSliceResource.Endpoint]
    ) {
        var state = EndpointState.ready
        var addresses: YAMLValue?
        value.forEachField { name, value in
            switch name {
            case "addresses": addresses = value
            case "conditions": state = endpointState(value)
            case "hostname", "nodeName", "zone", "hints", "targetRef", "deprecatedTopology": break
            default: value.reportUnknownField()
            }
        }
        guard let addresses, !addresses.isEmptySequence else {
            if value.isMapping { value.reportMissing("addresses") }
            return
        }
        addresses.forEachElement { value in
            if type == .fqdn {
                _ = value.string()
            } else if let address = value.address() {
                if let type, address.isIPv4 != (type == .ipv4) {
                    value.report("\(address) is not of the addressType")
                }
                endpoints.append(EndpointSliceResource.Endpoint(address: address, state: state))
            }
        }
    }

    /// Unknown readiness counts as ready (the API's rule); what terminates and still serves is draining.
    private static func endpointState(_ conditions: YAMLValue) -> EndpointState {
        var ready: Bool?
        var serving: Bool?
        var isTerminating = false
        conditions.forEachField { name, value in
            switch name {
            case "ready": ready = value.bool()
            case "serving": serving = value.bool()
            case "terminating": isTerminating = value.bool() ?? false
            default: value.reportUnknownField()
            }
        }
        if isTerminating { return serving ?? ready ?? true ? .draining : .notReady }
        return ready ?? true ? .ready : .notReady
    }
}
