import KernelPlane
import Mesh
import Telemetry

/// The names of a snapshot by the identifiers of the kernel plane.
struct MeshDirectory: NameDirectory {
    let generation: UInt64
    private var workloads: [UInt64: WorkloadLabels] = [:]
    private var services: [UInt64: ServiceLabels] = [:]
    private var rules: [UInt64: String]
    private var routes: [UInt64: String] = [:]
    private var templates: [UInt64: [String]] = [:]

    /// - Parameter rules: the names that the maps have; a rule that was removed may still be counted.
    init(_ snapshot: MeshSnapshot, generation: UInt64, rules: [UInt64: String]) {
        self.generation = generation
        self.rules = rules
        for workload in snapshot.workloads.values {
            var labels = WorkloadLabels(
                workload: workload.name.name, namespace: workload.name.namespace,
                principal: workload.spiffeID(trustDomain: snapshot.trustDomain), labels: workload.labels)
            labels.isLocal = workload.isLocal
            workloads[Identifier.workload(workload.name)] = labels
        }
        services.reserveCapacity(snapshot.services.count)
        for service in snapshot.services.values where service.name.workloadOfService == nil {
            for port in service.ports {
                let name = service.hosts.first ?? service.name.name
                for rule in port.http?.rules ?? [] { routes[rule.identifier] = rule.title }
                let labels = ServiceLabels(
                    host: service.hosts.first ?? "\(name).\(service.name.namespace).svc.cluster.local", name: name,
                    namespace: service.name.namespace, port: port.port)
                for isIPv4 in [true, false] where service.addresses.contains(where: { $0.isIPv4 == isIPv4 }) {
                    let id = Identifier.service(
                        service.name, port: port.port, transport: port.transport, isIPv4: isIPv4)
                    services[id] = labels
                    if !service.templates.isEmpty { templates[id] = service.templates.map(\.description) }
                }
            }
        }
    }

    /// The workloads and the services that a name on a command line may mean.
    func workloads(named name: String) -> [UInt64] {
        workloads.filter { NamePattern.matches(name, $0.value.fullName) }.map(\.key)
    }

    func services(named name: String) -> [UInt64] {
        services.filter { NamePattern.matches(name, $0.value.fullName) }.map(\.key)
    }

    func workload(_ id: UInt64) -> WorkloadLabels? { workloads[id] }
    func service(_ id: UInt64) -> ServiceLabels? { services[id] }
    func rule(_ id: UInt64) -> String? { rules[id] }
    func route(_ id: UInt64) -> String? { routes[id] }

    func template(_ number: UInt8, of service: UInt64) -> String? {
        guard number > 0, let names = templates[service], Int(number) <= names.count else { return nil }
        return names[Int(number) - 1]
    }
}
