public import Mesh

/// The identifiers that the kernel's maps use for what a snapshot names.
public struct RouteIdentifiers: Sendable {
    public struct ServicePort: Hashable, Sendable {
        public var service: ObjectName
        public var port: UInt16

        public init(service: ObjectName, port: UInt16) {
            self.service = service
            self.port = port
        }
    }

    /// A port of a service has one for each address family. The first is the one that metrics use.
    public var services: [ServicePort: [UInt64]]
    public var workloads: [ObjectName: UInt64]

    public init(services: [ServicePort: [UInt64]] = [:], workloads: [ObjectName: UInt64] = [:]) {
        self.services = services
        self.workloads = workloads
    }

    /// Any numbers: for tables that only have to agree with each other.
    init(numbering snapshot: MeshSnapshot) {
        self.init()
        var next: UInt64 = 1
        for (name, service) in snapshot.services {
            for port in service.ports where port.transport == .tcp {
                services[ServicePort(service: name, port: port.port)] = [next]
                next += 1
            }
        }
        for name in snapshot.workloads.keys {
            workloads[name] = next
            next += 1
        }
    }
}
