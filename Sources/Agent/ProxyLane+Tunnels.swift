import KernelPlane
import Mesh
import Proxy

// What tunnels between nodes are told.
extension ProxyLane {
    /// Puts certificates and trust bundles in force.
    func publish(_ trust: TrustSnapshot) { engine.publish(trust) }

    /// Where tunnels lead and end by this snapshot.
    func publishTunnels(_ snapshot: MeshSnapshot) {
        let part = tunnelled(snapshot)
        guard part != publishedTunnels else { return }
        publishedTunnels = part
        let table = TunnelTable(
            part, identifiers: RouteIdentifiers(part), ownPorts: ownPorts, previous: tunnelTable,
            backend: { Identifier.backend(service: $0, address: $1, port: $2) })
        tunnelTable = table
        engine.publish(table)
    }

    /// The part of a snapshot that tunnels can meet: workloads, and the services that lead to other nodes, that other nodes
    /// may come for, or whose requests are read where they arrive.
    private func tunnelled(_ snapshot: MeshSnapshot) -> MeshSnapshot {
        var part = snapshot
        part.generation = 0
        part.requestAuthentications = [:]
        part.authorizers = [:]
        let remote = Set(snapshot.workloads.values.filter { !$0.isLocal && $0.takesTunnel }.map(\.name))
        let ends = remote.union(snapshot.workloads.values.filter(\.isLocal).map(\.name))
        let inbound = Set(snapshot.workloads.values.filter(\.isLocal).flatMap(\.inboundHTTP.values))
        part.services = snapshot.services.filter { name, service in
            inbound.contains(name)
                || !remote.isEmpty
                    && service.ports.contains { port in
                        port.endpoints.contains { $0.workload.map(ends.contains) ?? false }
                    }
        }
        return part
    }
}
