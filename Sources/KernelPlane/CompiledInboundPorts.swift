import Mesh
import WeftABI

extension MeshWorkload {
    /// The ports at which connections from outside of the mesh meet rules of their own: requests that the agent reads,
    /// and another demand for mutual TLS than the workload's. Of a workload of another node: those that a tunnel leads to
    /// though none leads to the others, and the other way round.
    ///
    /// - Parameter isCapturing: whether there is an agent that reads requests, and carries tunnels.
    func inboundPorts(_ snapshot: MeshSnapshot, isCapturing: Bool) -> [CompiledWorkload.InboundPort] {
        let id = Identifier.workload(name)
        guard isLocal else { return isCapturing && takesTunnel ? tunnelExceptions(id) : [] }
        return Set(inboundHTTP.keys).union(portMutualTLS.keys).sorted().compactMap { port in
            var value = weft_inbound_port()
            if isCapturing, let service = inboundHTTP[port] {
                value.service = snapshot.identifierOfInbound(service, port: port)
            }
            let isStrict = mutualTLS(port: port) == .strict
            if isStrict != (mutualTLS == .strict) {
                value.tls = UInt8(
                    truncatingIfNeeded: (isStrict ? WEFT_PORT_TLS_STRICT : WEFT_PORT_TLS_OPTIONAL).rawValue)
            }
            guard value.service != 0 || value.tls != 0 else { return nil }
            return (weft_inbound_key(workload: id, port: port.bigEndian, reserved: (0, 0, 0, 0, 0, 0)), value)
        }
    }

    private func tunnelExceptions(_ id: UInt64) -> [CompiledWorkload.InboundPort] {
        portMutualTLS.sorted { $0.key < $1.key }.compactMap { port, mode in
            guard (mode == .disable) != (mutualTLS == .disable) else { return nil }
            var value = weft_inbound_port()
            let way = mode == .disable ? WEFT_PORT_TLS_NONE : WEFT_PORT_TLS_OPTIONAL
            value.tls = UInt8(truncatingIfNeeded: way.rawValue)
            return (weft_inbound_key(workload: id, port: port.bigEndian, reserved: (0, 0, 0, 0, 0, 0)), value)
        }
    }
}

extension MeshSnapshot {
    /// The service whose rules requests from outside of the mesh meet at a workload's port; 0 if it has none.
    fileprivate func identifierOfInbound(_ name: ObjectName, port: UInt16) -> UInt64 {
        guard let service = services[name] else { return 0 }
        // A service that stands for a workload has its ports; another one may have others.
        let ports = service.ports.filter(\.isProxied)
        guard let frontend = ports.first(where: { $0.port == port }) ?? ports.first else { return 0 }
        return Identifier.service(
            name, port: frontend.port, transport: .tcp, isIPv4: service.addresses.first?.isIPv4 ?? true)
    }
}
