import Mesh
import WeftABI

/// Drains that were ordered at run time: by backend identifier, the deadline on CLOCK_MONOTONIC in nanoseconds.
public typealias DrainDeadlines = [UInt64: UInt64]

/// One service as the maps hold it. A reference, so that an unchanged service is known by its identity.
final class CompiledService: Sendable {
    struct Backend: Sendable {
        var id: UInt64
        var value: weft_backend
        var isActive: Bool { UInt32(value.state) == WEFT_BACKEND_ACTIVE.rawValue }
    }

    /// One port for one address family.
    struct Frontend: Sendable {
        var header: weft_service
        var keys: [weft_service_key]
        var slots: [weft_slot]
        var backends: [Backend]
        /// The Maglev table; nil for the other algorithms.
        var maglev: [UInt64]?
        var name: String
    }

    let frontends: [Frontend]

    /// A pure function of its arguments.
    init(_ service: MeshService, drains: DrainDeadlines, isCapturing: Bool) {
        var frontends: [Frontend] = []
        for port in service.ports {
            for isIPv4 in [true, false] {
                let addresses = service.addresses.filter { $0.isIPv4 == isIPv4 }
                guard !addresses.isEmpty else { continue }
                var frontend = Self.frontend(service, port, addresses: addresses, isIPv4: isIPv4, drains: drains)
                if isCapturing && port.isProxied {
                    frontend.header.lane = UInt8(truncatingIfNeeded: WEFT_LANE_PROXY.rawValue)
                }
                frontends.append(frontend)
            }
        }
        self.frontends = frontends
    }

    private static func frontend(
        _ service: MeshService, _ port: MeshServicePort, addresses: [IPAddress], isIPv4: Bool, drains: DrainDeadlines
    ) -> Frontend {
        let id = Identifier.service(service.name, port: port.port, transport: port.transport, isIPv4: isIPv4)

        // An IPv6 socket reaches IPv4 backends in mapped form, but for datagrams (the kernel refuses those); an IPv4 socket reaches only its own kind.
        var endpoints = port.endpoints.filter { $0.address.isIPv4 == isIPv4 }
        if endpoints.isEmpty && !isIPv4 && port.transport == .tcp { endpoints = port.endpoints }

        var backends: [Backend] = []
        var selectable: [(id: UInt64, weight: UInt16)] = []
        for endpoint in endpoints {
            let backendID = Identifier.backend(service: id, address: endpoint.address, port: endpoint.port)
            var backend = weft_backend()
            backend.address = endpoint.address.abi
            backend.service = id
            backend.workload = endpoint.workload.map { Identifier.workload($0) } ?? 0
            backend.port = endpoint.port.bigEndian
            backend.weight = endpoint.weight
            backend.protocol = port.transport.number
            if let deadline = drains[backendID] {
                backend.state = UInt8(truncatingIfNeeded: WEFT_BACKEND_DRAINING.rawValue)
                backend.drain_deadline_ns = deadline
            } else if endpoint.isDraining {
                backend.state = UInt8(truncatingIfNeeded: WEFT_BACKEND_DRAINING.rawValue)
            } else if endpoint.weight > 0 {
                selectable.append((backendID, endpoint.weight))
            }
            backends.append(Backend(id: backendID, value: backend))
        }

        let table = selectable.isEmpty ? nil : AliasTable(selectable)
        var header = weft_service()
        header.id = id
        header.backend_count = UInt32(selectable.count)
        header.affinity_seconds = service.balancing.affinitySeconds ?? 0
        header.lane = UInt8(truncatingIfNeeded: WEFT_LANE_KERNEL.rawValue)
        header.algorithm = service.balancing.algorithm.abi
        header.flags =
            table?.hasEqualWeights == true ? UInt8(truncatingIfNeeded: WEFT_SERVICE_EQUAL_WEIGHTS.rawValue) : 0

        let keys = addresses.map { address in
            var key = weft_service_key()
            key.address = address.abi
            key.port = port.port.bigEndian
            key.protocol = port.transport.number
            return key
        }
        return Frontend(
            header: header, keys: keys, slots: table?.slots ?? [], backends: backends,
            maglev: service.balancing.algorithm == .maglev ? MaglevTable.words(selectable) : nil,
            name: "\(service.name):\(port.port)")
    }
}

extension Balancing.Algorithm {
    var abi: UInt8 {
        let algorithm =
            switch self {
            case .random: WEFT_ALGORITHM_RANDOM
            case .roundRobin: WEFT_ALGORITHM_ROUND_ROBIN
            case .leastConnections: WEFT_ALGORITHM_LEAST_CONNECTIONS
            case .maglev: WEFT_ALGORITHM_MAGLEV
            }
        return UInt8(truncatingIfNeeded: algorithm.rawValue)
    }
}
