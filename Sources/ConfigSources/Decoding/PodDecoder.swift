import Mesh

extension ObjectDecoder {
    static func decodeNamespace(_ root: YAMLValue, _ metadata: Metadata) -> Resource? {
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        return .namespace(metadata.labels)
    }

    /// A Kubernetes Pod (v1). Of its spec, which is the kubelet's business, only what identifies it is read.
    static func decodePod(_ root: YAMLValue, _ metadata: Metadata) -> PodResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var pod = PodResource()
        pod.labels = metadata.labels
        pod.weight = metadata.weight ?? 1
        pod.cgroup = metadata.cgroup
        pod.acceleration = metadata.acceleration
        pod.isRedirected = metadata.isRedirected
        spec.forEachField { name, value in
            switch name {
            case "nodeName": pod.node = value.string() ?? ""
            case "serviceAccountName": pod.serviceAccount = value.string() ?? "default"
            case "hostNetwork": pod.usesHostNetwork = value.bool() ?? false
            case "containers": value.forEachElement { pod.ports += containerPorts($0) }
            default: break
            }
        }
        if let status = root.field("status") { readStatus(status, &pod) }
        if metadata.isDeleted, pod.state == .ready { pod.state = .draining }
        return pod
    }

    private static func containerPorts(_ container: YAMLValue) -> [MeshWorkloadPort] {
        guard let ports = container.field("ports") else { return [] }
        return ports.map { value in
            let (transport, isSCTP) = value.field("protocol").map { transportProtocol($0) } ?? (.tcp, false)
            guard !isSCTP, let port = value.field("containerPort")?.port() else { return nil }
            return MeshWorkloadPort(
                name: value.field("name")?.string() ?? "", port: port, transport: transport ?? .tcp)
        }
    }

    private static func readStatus(_ status: YAMLValue, _ pod: inout PodResource) {
        var addresses = status.field("podIPs")?.map { $0.field("ip")?.address() } ?? []
        if let address = status.field("podIP")?.address(), !addresses.contains(address) {
            addresses.insert(address, at: 0)
        }
        pod.addresses = addresses
        let phase = status.field("phase")?.string() ?? "Running"
        pod.isFinished = phase == "Succeeded" || phase == "Failed"
        var isReady: Bool?
        status.field("conditions")?.forEachElement { condition in
            if condition.field("type")?.string() == "Ready" {
                isReady = condition.field("status")?.string() == "True"
            }
        }
        pod.state = isReady ?? (phase == "Running") ? .ready : .notReady
    }
}
