/// What the agent's proxy knows of endpoints; nothing where no agent runs.
struct ProxiedEndpoints {
    /// By service (`namespace/name:port`) and endpoint; the subsets of a service together.
    private var known: [String: [String: AgentCluster.Endpoint]] = [:]

    init(_ client: AdminClient) {
        self.init(client.isThere ? (try? client.get("/v1/clusters", as: [AgentCluster].self)) ?? [] : [])
    }

    init(_ clusters: [AgentCluster]) {
        for cluster in clusters {
            for endpoint in cluster.endpoints {
                known["\(cluster.service):\(cluster.port)", default: [:]].merge([endpoint.endpoint: endpoint]) { a, b in
                    var sum = a
                    if sum.state == "healthy" { sum.state = b.state }
                    sum.activeRequests += b.activeRequests
                    sum.averageMilliseconds = [a.averageMilliseconds, b.averageMilliseconds].compactMap(\.self).max()
                    sum.requests += b.requests
                    sum.failures += b.failures
                    sum.ejections += b.ejections
                    return sum
                }
            }
        }
    }

    /// - Parameter service: `namespace/name:port`.
    func fields(of endpoint: String, service: String) -> [Field] {
        let found = known[service]?[endpoint]
        return [
            Field("health", .optional(found?.state)),
            Field("activeRequests", found.map { Value($0.activeRequests) } ?? .null, title: "ACTIVE"),
            Field(
                "averageMilliseconds", found?.averageMilliseconds.map(Value.number) ?? .null, title: "EWMA",
                text: found?.averageMilliseconds.map { formatSeconds($0 / 1000) } ?? "-"),
            Field("requests", found.map { Value($0.requests) } ?? .null),
            Field("failures", found.map { Value($0.failures) } ?? .null),
            Field("ejections", found.map { Value($0.ejections) } ?? .null),
        ]
    }
}
