/// The labels that Linkerd's proxies, and the configuration of its Prometheus, give to metrics.
///
/// A workload is the pod; what Istio's rules find as its canonical service stands for the deployment. The authority is
/// no label: clients choose it.
struct LinkerdLabels {
    var isInbound: Bool
    var source: WorkloadLabels?
    var destination: WorkloadLabels?
    var service: ServiceLabels?
    /// Whether mTLS has protected the connection, and the SPIFFE id that the client has proved.
    var isTLS: Bool
    var principal: String?

    /// - Parameter peer: whether to say which end of the proxy a connection is at.
    func rendered(peer: Bool) -> MetricLabels {
        var labels = MetricLabels([("direction", isInbound ? "inbound" : "outbound")])
        // The server's proxy counts at its client's side, the client's at its server's.
        if peer { labels.append("peer", isInbound ? "src" : "dst") }
        labels.append("tls", isTLS ? "true" : "no_identity")
        if isTLS, isInbound { labels.append("client_id", principal ?? source?.principal ?? Terms.unknown) }
        if isTLS, !isInbound { labels.append("server_id", destination?.principal ?? Terms.unknown) }
        Self.append(isInbound ? destination : source, prefix: "", to: &labels)
        guard !isInbound else { return labels }
        Self.append(destination, prefix: "dst_", namespace: service?.namespace, to: &labels)
        labels.append("dst_service", service?.name ?? Terms.unknown)
        return labels
    }

    private static func append(
        _ workload: WorkloadLabels?, prefix: String, namespace: String? = nil, to labels: inout MetricLabels
    ) {
        labels.append("\(prefix)namespace", workload?.namespace ?? namespace ?? Terms.unknown)
        labels.append("\(prefix)deployment", workload?.canonicalService ?? workload?.workload ?? Terms.unknown)
        labels.append("\(prefix)pod", workload?.workload ?? Terms.unknown)
    }

    /// Of what found no room.
    static func overflow(_ more: [String]) -> MetricLabels {
        MetricLabels((["direction", "tls", "namespace", "deployment", "pod"] + more).map { ($0, "overflow") })
    }
}

extension KnownNames {
    mutating func linkerdLabels(
        _ key: RequestKey, isInbound: Bool, _ directory: some NameDirectory
    ) -> MetricLabels {
        linkerdLabels(
            source: key.source, destination: key.destination, service: key.service, isInbound: isInbound,
            isTLS: key.isFromTunnel || !isInbound && key.isToTunnel, principal: key.principal, directory
        ).rendered(peer: false)
    }

    mutating func linkerdLabels(
        _ key: TrafficKey, isInbound: Bool, _ directory: some NameDirectory
    ) -> MetricLabels {
        linkerdLabels(
            source: key.source, destination: key.destination, service: key.service, isInbound: isInbound,
            isTLS: key.isTunnel, principal: nil, directory
        ).rendered(peer: true)
    }

    mutating func linkerdLabels(
        source: UInt64, destination: UInt64, service: UInt64, isInbound: Bool, isTLS: Bool, principal: String?,
        _ directory: some NameDirectory
    ) -> LinkerdLabels {
        LinkerdLabels(
            isInbound: isInbound, source: workload(source, directory), destination: workload(destination, directory),
            service: self.service(service, directory), isTLS: isTLS, principal: principal)
    }
}
