extension MeshService {
    /// The services that requests to a port may be sent to, itself included, whatever their rules match.
    public func targets(of port: MeshServicePort) -> [HTTPBackend.Target] {
        var targets: [HTTPBackend.Target] = []
        func add(_ target: HTTPBackend.Target) {
            if !targets.contains(target) { targets.append(target) }
        }
        for routing in port.http.map({ [$0] + $0.consumers.values }) ?? [] {
            for rule in routing.rules {
                for mirror in rule.mirrors { add(mirror.target) }
                guard case .forward(let backends) = rule.action else { continue }
                for backend in backends {
                    add(backend.target)
                    for mirror in backend.mirrors { add(mirror.target) }
                }
            }
        }
        add(.service(name, port: port.port, subset: nil))
        return targets
    }
}
