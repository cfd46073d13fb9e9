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
}
