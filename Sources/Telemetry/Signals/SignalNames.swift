/// Names of the identifiers that series have. What an identifier once stood for it stands for always: the requests of a
/// workload that was just removed keep its name for as long as they are in a window.
struct SignalNames: Sendable {
    struct Workload: Sendable {
        var name: ServiceName
        var isLocal: Bool
        var node: ServiceGraph.Node
    }

    struct Service: Sendable {
        var name: ServiceName
        var node: ServiceGraph.Node
    }

    private struct Template: Hashable, Sendable {
        var service: UInt64
        var number: UInt8
    }

    private var workloads: [UInt64: Workload] = [:]
    private var services: [UInt64: Service] = [:]
    private var routes: [UInt64: String] = [:]
    private var templates: [Template: String] = [:]
    private var generation: UInt64?
    private var known = 0

    func workload(_ id: UInt64) -> Workload? { workloads[id] }
    func service(_ id: UInt64) -> Service? { services[id] }

    /// The route template of its service that a request met, or the rule that decided about it.
    func route(_ key: SignalKey) -> String? {
        if key.template != 0 {
            return templates[Template(service: key.service, number: key.template)] ?? "template \(key.template)"
        }
        return key.rule == 0 ? nil : routes[key.rule] ?? Terms.unknown
    }

    /// Looks names up when they may have changed, and those of new series.
    mutating func refresh(_ directory: some NameDirectory, _ series: SignalSeries) {
        let isSame = generation == directory.generation
        guard !isSame || series.changes != known else { return }
        generation = directory.generation
        known = series.changes
        var workloads: [UInt64: Workload] = [:]
        var services: [UInt64: Service] = [:]
        var routes: [UInt64: String] = [:]
        var templates: [Template: String] = [:]
        for case let one? in series.all {
            for id in [one.key.source, one.key.destination] where id != 0 && workloads[id] == nil {
                workloads[id] = directory.workload(id).map(Workload.init) ?? self.workloads[id]
            }
            if one.key.service != 0, services[one.key.service] == nil {
                services[one.key.service] =
                    directory.service(one.key.service).map(Service.init) ?? self.services[one.key.service]
            }
            let template = Template(service: one.key.service, number: one.key.template)
            if one.key.template != 0, templates[template] == nil {
                templates[template] =
                    directory.template(one.key.template, of: one.key.service) ?? self.templates[template]
            }
            if one.key.rule != 0, routes[one.key.rule] == nil {
                routes[one.key.rule] = directory.route(one.key.rule) ?? self.routes[one.key.rule]
            }
        }
        self.workloads = workloads
        self.services = services
        self.routes = routes
        self.templates = templates
    }
}

extension SignalNames.Workload {
    fileprivate init(_ labels: WorkloadLabels) {
        name = ServiceName(namespace: labels.namespace, name: labels.workload)
        isLocal = labels.isLocal
        node = ServiceGraph.Node(.workload, name, isLocal: isLocal)
    }
}

extension SignalNames.Service {
    fileprivate init(_ labels: ServiceLabels) {
        name = ServiceName(namespace: labels.namespace, name: labels.name)
        node = ServiceGraph.Node(.service, name)
    }
}
