extension ServiceResource.Port {
    /// Whether the proxy can read what is spoken there.
    var takesRequests: Bool {
        transport == .tcp && application.takesRequests
    }

    /// For people: what it is that the proxy cannot read.
    var protocolText: String {
        transport == .udp ? "UDP" : ["http2": "HTTP/2", "tls": "TLS"][application.rawValue] ?? "no HTTP"
    }
}

extension MeshBuilder {
    /// The service of that name, if it is in force.
    func service(_ name: ObjectName) -> ServiceResource? {
        guard let service = objects[name.serviceKey]?.declaredService?.service, service.isUsable,
            serviceClaims.losses[name] == nil
        else { return nil }
        return service
    }

    /// What is wrong with a backend; nil if requests can go there. `port` 0 stands for the one that `resolve` would find.
    func problem(of name: ObjectName, port: UInt16, subset: String?) -> ConditionIssue? {
        guard let service = service(name) else {
            return .notFound("\(ObjectKey(.service, name)) does not exist")
        }
        if port != 0 {
            guard
                let found = service.ports.first(where: { $0.port == port && $0.transport == .tcp })
                    ?? service.ports.first(where: { $0.port == port })
            else { return .notFound("\(ObjectKey(.service, name)) has no port \(port)") }
            guard found.transport == .tcp, found.application != .http2, found.application != .tls else {
                return ConditionIssue(
                    .resolvedRefs, reason: "UnsupportedProtocol",
                    message: "port \(port) of \(ObjectKey(.service, name)) speaks \(found.protocolText)")
            }
        }
        if let subset, governingRule(of: name)?.resource.subsets.contains(where: { $0.name == subset }) != true {
            return .notFound("no DestinationRule gives \(ObjectKey(.service, name)) a subset \"\(subset)\"")
        }
        return nil
    }

    /// The target with its port filled in, or why it is none. `port` is the one that the client connected to.
    func resolve(_ target: HTTPBackend.Target, port: UInt16) -> HTTPBackend.Target {
        guard case .service(let name, var number, let subset) = target else { return target }
        if number == 0, let service = service(name) {
            let ports = service.ports.filter { $0.transport == .tcp }
            guard let found = ports.count == 1 ? ports.first : ports.first(where: { $0.port == port }) else {
                return .invalid("the destination needs a port: \(ObjectKey(.service, name)) has no port \(port)")
            }
            number = found.port
        }
        if let problem = problem(of: name, port: number, subset: subset) { return .invalid(problem.message) }
        return .service(name, port: number, subset: subset)
    }

    func resolve(_ rule: HTTPRule, port: UInt16) -> HTTPRule {
        var rule = rule
        for index in rule.mirrors.indices {
            rule.mirrors[index].target = resolve(rule.mirrors[index].target, port: port)
        }
        guard case .forward(var backends) = rule.action else { return rule }
        for index in backends.indices {
            backends[index].target = resolve(backends[index].target, port: port)
            for mirror in backends[index].mirrors.indices {
                backends[index].mirrors[mirror].target = resolve(backends[index].mirrors[mirror].target, port: port)
            }
        }
        rule.action = .forward(backends)
        return rule
    }

    /// What is wrong with the backends and mirrors of rules, each problem once.
    func problems(of rules: some Sequence<HTTPRule>) -> [ConditionIssue] {
        var issues: [ConditionIssue] = []
        func check(_ target: HTTPBackend.Target) {
            guard case .service(let name, let port, let subset) = target,
                let problem = problem(of: name, port: port, subset: subset), !issues.contains(problem)
            else { return }
            issues.append(problem)
        }
        for rule in rules {
            for mirror in rule.mirrors { check(mirror.target) }
            guard case .forward(let backends) = rule.action else { continue }
            for backend in backends {
                check(backend.target)
                for mirror in backend.mirrors { check(mirror.target) }
            }
        }
        return issues
    }
}
