import Proxy

/// Names by identifier, and the labels that are made of them. An identifier is the hash of a name, so what it once stood
/// for it stands for always: the connections of a workload that was just removed still end under its name.
struct KnownNames {
    private var generation: UInt64?
    private var workloads: [UInt64: WorkloadLabels] = [:]
    private var services: [UInt64: ServiceLabels] = [:]
    /// Whether an identifier had no name since the last refresh.
    private var missed = false
    /// Beyond this, names of the past are forgotten.
    private static let limit = 65536

    /// Whether names that were known have changed since the last call.
    mutating func refresh(_ directory: some NameDirectory) -> Bool {
        guard generation != directory.generation else { return false }
        let isFirst = generation == nil
        generation = directory.generation
        if workloads.count + services.count > Self.limit {
            workloads = [:]
            services = [:]
        }
        var hasChanged = false
        for (id, labels) in workloads {
            guard let current = directory.workload(id), current != labels else { continue }
            workloads[id] = current
            hasChanged = true
        }
        // Names that were unknown may be known now.
        return !isFirst && (hasChanged || hadUnknown())
    }

    private mutating func hadUnknown() -> Bool {
        defer { missed = false }
        return missed
    }

    mutating func workload(_ id: UInt64, _ directory: some NameDirectory) -> WorkloadLabels? {
        guard id != 0 else { return nil }
        if let known = workloads[id] { return known }
        guard let found = directory.workload(id) else {
            missed = true
            return nil
        }
        workloads[id] = found
        return found
    }

    mutating func service(_ id: UInt64, _ directory: some NameDirectory) -> ServiceLabels? {
        guard id != 0 else { return nil }
        if let known = services[id] { return known }
        guard let found = directory.service(id) else {
            missed = true
            return nil
        }
        services[id] = found
        return found
    }

    /// The labels of Istio's TCP metrics, and the lane: that of the client's end, or of the server's.
    mutating func istioLabels(
        _ key: TrafficKey, isFromSource: Bool, _ directory: some NameDirectory, cluster: String
    ) -> MetricLabels {
        let source = workload(key.source, directory)
        let destination = workload(key.destination, directory)
        let service = service(key.service, directory)
        return Self.istioLabels(
            reporter: Self.reporter(isFromSource), source: source, destination: destination, service: service,
            cluster: cluster, transport: Terms.transport(key.transport),
            security: Self.security(isFromSource: isFromSource, isTunnelled: key.isTunnel),
            lane: Terms.lane(key.lane), missing: Terms.unknown)
    }

    /// The labels of Istio's TCP metrics for connections that came through tunnels.
    ///
    /// - Parameter principal: the client's SPIFFE id.
    mutating func tunnelLabels(
        _ key: WorkerStatistics.ConnectionKey, principal: String?, _ directory: some NameDirectory, cluster: String
    ) -> MetricLabels {
        let source = workload(key.source, directory)
        let destination = workload(key.destination, directory)
        return Self.istioLabels(
            reporter: "destination", source: source, destination: destination,
            service: service(key.service, directory), cluster: cluster, transport: "tcp", security: Terms.mutualTLS,
            lane: "tunnel", missing: Terms.unknown, sourcePrincipal: principal)
    }

    /// Istio's `connection_security_policy`. The client's end does not know how the server's takes what is not tunnelled.
    private static func security(isFromSource: Bool, isTunnelled: Bool) -> String {
        if isTunnelled { return Terms.mutualTLS }
        return isFromSource ? Terms.unknown : "none"
    }

    /// The labels of Istio's HTTP metrics, and the lane: that of the client's end, or of the server's.
    mutating func requestLabels(
        _ key: RequestKey, isFromSource: Bool, _ directory: some NameDirectory, cluster: String
    ) -> MetricLabels {
        let source = workload(key.source, directory)
        let destination = workload(key.destination, directory)
        let service = service(key.service, directory)
        return Self.istioLabels(
            reporter: Self.reporter(isFromSource), source: source, destination: destination,
            service: service, cluster: cluster, transport: "http", code: "\(key.status)",
            flags: Terms.responseFlags(key.flags),
            security: Self.security(
                isFromSource: isFromSource, isTunnelled: key.isFromTunnel || isFromSource && key.isToTunnel),
            lane: Terms.lane(key.lane), missing: Terms.unknown, sourcePrincipal: key.principal)
    }

    /// {reporter, source, destination_service, lane}.
    mutating func unparsedLabels(
        _ key: RequestKey, isFromSource: Bool, _ directory: some NameDirectory
    ) -> MetricLabels {
        MetricLabels([
            ("reporter", Self.reporter(isFromSource)),
            ("source", workload(key.source, directory)?.fullName ?? Terms.unknown),
            ("destination_service", service(key.service, directory)?.host ?? Terms.unknown),
            ("lane", Terms.lane(key.lane)),
        ])
    }

    /// {reporter, destination_service, http_route, response_code}.
    mutating func templateLabels(
        _ key: RequestKey, isFromSource: Bool, _ directory: some NameDirectory
    ) -> MetricLabels {
        let template = directory.template(key.template, of: key.service)
        if template == nil { missed = true }
        return MetricLabels([
            ("reporter", Self.reporter(isFromSource)),
            ("destination_service", service(key.service, directory)?.host ?? Terms.unknown),
            ("http_route", template ?? Terms.unknown), ("response_code", "\(key.status)"),
        ])
    }

    private static func reporter(_ isFromSource: Bool) -> String { isFromSource ? "source" : "destination" }

    /// {destination_service, route, response_code}.
    mutating func routeLabels(_ key: WorkerStatistics.Key, _ directory: some NameDirectory) -> MetricLabels {
        if key.rule != 0, directory.route(key.rule) == nil { missed = true }
        return MetricLabels([
            ("destination_service", service(key.service, directory)?.host ?? Terms.unknown),
            ("route", key.rule == 0 ? "none" : directory.route(key.rule) ?? Terms.unknown),
            ("response_code", "\(key.status)"),
        ])
    }

    /// Whether a workload of this node has answered.
    mutating func isLocal(_ id: UInt64, _ directory: some NameDirectory) -> Bool {
        workload(id, directory)?.isLocal == true
    }

    static func istioLabels(
        reporter: String, source: WorkloadLabels?, destination: WorkloadLabels?, service: ServiceLabels?,
        cluster: String, transport: String, code: String? = nil, flags: String = "-", security: String, lane: String,
        missing: String, sourcePrincipal: String? = nil
    ) -> MetricLabels {
        var labels = MetricLabels()
        labels.append("reporter", reporter)
        for (prefix, workload, principal) in [
            ("source", source, sourcePrincipal), ("destination", destination, nil),
        ] {
            labels.append("\(prefix)_workload", workload?.workload ?? missing)
            labels.append("\(prefix)_workload_namespace", workload?.namespace ?? missing)
            labels.append("\(prefix)_principal", principal ?? workload?.principal ?? missing)
            labels.append("\(prefix)_app", workload?.app ?? missing)
            labels.append("\(prefix)_version", workload?.version ?? missing)
            labels.append("\(prefix)_cluster", workload == nil ? missing : cluster)
            labels.append("\(prefix)_canonical_service", workload?.canonicalService ?? missing)
            labels.append("\(prefix)_canonical_revision", workload?.canonicalRevision ?? missing)
        }
        labels.append("destination_service", service?.host ?? missing)
        labels.append("destination_service_name", service?.name ?? missing)
        labels.append("destination_service_namespace", service?.namespace ?? missing)
        labels.append("request_protocol", transport)
        if let code { labels.append("response_code", code) }
        labels.append("response_flags", flags)
        labels.append("connection_security_policy", security)
        labels.append("weft_lane", lane)
        return labels
    }

    /// {source, destination_service, lane}.
    mutating func meshLabels(_ key: TrafficKey, _ directory: some NameDirectory) -> MetricLabels {
        MetricLabels([
            ("source", workload(key.source, directory)?.fullName ?? Terms.unknown),
            ("destination_service", service(key.service, directory)?.host ?? Terms.unknown),
            ("lane", Terms.lane(key.lane)),
        ])
    }

    /// {source, class}: of a destination outside the mesh nothing but the class of its address is a label.
    mutating func passthroughLabels(_ key: TrafficKey, _ directory: some NameDirectory) -> MetricLabels {
        MetricLabels([
            ("source", workload(key.source, directory)?.fullName ?? Terms.unknown),
            ("class", Terms.addressClass(key.addressClass)),
        ])
    }
}
