/// Kubernetes YAML for the tests, as a user would write it. Everything is in the namespace `shop`.
enum Manifest {
    /// Documents of one file.
    static func file(_ documents: String...) -> String { documents.joined(separator: "---\n") }

    /// A service, and the explicit endpoints of it: one slice for each weight.
    static func service(
        _ name: String, address: String, port: Int = 80, targetPort: Int = 8080, protocol transport: String = "TCP",
        endpoints: [String] = [], weights: [Int: [String]] = [:], affinitySeconds: Int? = nil
    ) -> String {
        let affinity = affinitySeconds.map {
            """
              sessionAffinity: ClientIP
              sessionAffinityConfig: { clientIP: { timeoutSeconds: \($0) } }

            """
        }
        var documents = [
            """
            apiVersion: v1
            kind: Service
            metadata: { name: \(name), namespace: shop }
            spec:
              clusterIP: "\(address)"
              ports: [{ name: main, port: \(port), targetPort: \(targetPort), protocol: \(transport) }]
            \(affinity ?? "")
            """
        ]
        for (weight, addresses) in weights.merging(endpoints.isEmpty ? [:] : [1: endpoints], uniquingKeysWith: +) {
            documents.append(
                """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  name: \(name)-\(weight)
                  namespace: shop
                  labels: { kubernetes.io/service-name: \(name) }
                  annotations: { weft.dev/weight: "\(weight)" }
                addressType: \(address.contains(":") ? "IPv6" : "IPv4")
                ports: [{ name: main, port: \(targetPort), protocol: \(transport) }]
                endpoints:
                \(addresses.map { "- { addresses: [\"\($0)\"], conditions: { ready: true } }" }.joined(separator: "\n"))

                """)
        }
        return documents.joined(separator: "---\n")
    }

    /// A service that finds its endpoints by the label `app`.
    static func selecting(
        _ name: String, address: String, app: String, port: Int = 80, targetPort: Int = 8080
    ) -> String {
        """
        apiVersion: v1
        kind: Service
        metadata: { name: \(name), namespace: shop }
        spec:
          clusterIP: "\(address)"
          selector: { app: \(app) }
          ports: [{ name: main, port: \(port), targetPort: \(targetPort), protocol: TCP }]

        """
    }

    /// Local processes with a name and a service account.
    static func workload(
        _ name: String, cgroup: String?, serviceAccount: String? = nil, app: String? = nil, addresses: [String] = [],
        port: Int? = nil, namespace: String = "shop", isAccelerated: Bool = false
    ) -> String {
        """
        apiVersion: weft.dev/v1alpha1
        kind: Workload
        metadata: { name: \(name), namespace: \(namespace), labels: { app: \(app ?? name) } }
        spec:
          serviceAccount: \(serviceAccount ?? name)
        \(cgroup.map { "  match: { cgroup: \"\($0)\" }\n" } ?? "")\
        \(addresses.isEmpty ? "" : "  addresses: [\(addresses.map { "\"\($0)\"" }.joined(separator: ", "))]\n")\
        \(port.map { "  ports: [{ name: main, port: \($0) }]\n" } ?? "")\
        \(isAccelerated ? "  acceleration: On\n" : "")
        """
    }

    /// An AuthorizationPolicy for the workloads with the label `app`.
    static func policy(_ name: String, action: String, app: String, rules: String, isDryRun: Bool = false) -> String {
        """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata:
          name: \(name)
          namespace: shop
        \(isDryRun ? "  annotations: { \"istio.io/dry-run\": \"true\" }\n" : "")\
        spec:
          selector: { matchLabels: { app: \(app) } }
          action: \(action)
          rules: \(rules)

        """
    }

    /// A rule for a service account of `shop`.
    static func from(_ serviceAccounts: String...) -> String {
        let principals = serviceAccounts.map { "\"cluster.local/ns/shop/sa/\($0)\"" }.joined(separator: ", ")
        return "[{ from: [{ source: { principals: [\(principals)] } }] }]"
    }

    /// An HTTPRoute in mesh form that sends every path of a service to the service itself.
    static func route(_ name: String, service: String, port: Int = 80) -> String {
        """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: { name: \(name), namespace: shop }
        spec:
          parentRefs: [{ group: "", kind: Service, name: \(service), port: \(port) }]
          rules:
          - matches: [{ path: { type: PathPrefix, value: / } }]
            backendRefs: [{ name: \(service), port: \(port) }]

        """
    }

    /// The load balancer of a service.
    static func destinationRule(_ service: String, loadBalancer: String) -> String {
        """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: { name: \(service), namespace: shop }
        spec:
          host: \(service).shop.svc.cluster.local
          trafficPolicy: { loadBalancer: \(loadBalancer) }

        """
    }
}

extension String {
    /// The manifest with an annotation at the object of this name.
    func annotated(_ name: String, _ annotation: String, _ value: String) -> String {
        replacing(
            "metadata: { name: \(name), namespace: shop }",
            with: "metadata: { name: \(name), namespace: shop, annotations: { \(annotation): \"\(value)\" } }")
    }
}
