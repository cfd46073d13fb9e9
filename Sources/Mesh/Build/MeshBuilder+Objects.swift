// Takes objects in and out, and notes what has to be computed again.

extension MeshBuilder {
    mutating func insert(_ object: MeshObject, _ dirty: inout Dirty) {
        let name = object.key.name
        objects[object.key] = object
        dirty.statuses.insert(object.key)
        for service in object.references { referrersOfService[service, default: []].insert(object.key) }
        dirty.routing.formUnion(object.governed)
        switch object.resource {
        case .service, .serviceEntry:
            guard let (name, service) = object.declaredService else { return }
            let objects = objects
            members.add(service: name, selector: service.selector) { objects[$0]?.labels ?? [:] }
            for claim in service.claims { serviceClaims.add(claim, for: name) }
            dirty.frontends.formUnion(service.addresses)
            dirty.routing.insert(name)
            dirty.references.insert(name)
        case .endpointSlice(let slice):
            link(\.slicesOfService, name, slice.service.map { ObjectName(namespace: name.namespace, name: $0) }, &dirty)
        case .destinationRule:
            for service in object.governed { link(\.rulesOfService, name, service, &dirty) }
            dirty.references.formUnion(object.governed)
        case .trafficPolicy(let policy):
            for service in object.governed { link(\.policiesOfService, name, service, &dirty) }
            guard policy.setsAcceleration else { return }
            accelerationPolicies[name.namespace, default: []].insert(name)
            markAcceleration(of: name.namespace, &dirty)
        case .httpRoute:
            for service in object.governed { link(\.routesOfService, name, service, &dirty) }
        case .virtualService:
            for service in object.governed { link(\.virtualServicesOfService, name, service, &dirty) }
        case .authorizationPolicy(let resource):
            let policy = resource.compiled(options: options)
            snapshot.policies[name] = policy
            if let scope = policy.flatMap({ RuleScope($0) }) { requests.add(scope, &dirty) }
        case .requestAuthentication(let resource):
            let authentication = resource.compiled(options: options)
            snapshot.requestAuthentications[name] = authentication
            if let scope = authentication.flatMap({ RuleScope($0) }) { requests.add(scope, &dirty) }
        case .extensionProvider(let authorizer):
            snapshot.authorizers[authorizer.name] = authorizer
            markPolicies(of: authorizer.name, &dirty)
        case .networkPolicy(let policy):
            snapshot.networkPolicies[name] = policy
        case .peerAuthentication:
            peerAuthentications[name.namespace, default: []].insert(name)
            markPeerAuthentications(of: name.namespace, &dirty)
        case .pod, .workload:
            guard let member = object.member else { return }
            members.add(member: object.key, labels: member.labels)
            for claim in member.claims(options: options) { workloadClaims.add(claim, for: object.key) }
            mark(member, &dirty)
        case .namespace(let labels):
            snapshot.namespaceLabels[name.name] = labels.merging([MeshSnapshot.namespaceNameLabel: name.name]) { $1 }
            dirty.workloads.formUnion(members.members(namespace: name.name))
        case .unserved: break
        }
    }

    mutating func retract(_ key: ObjectKey, _ dirty: inout Dirty) {
        guard let object = objects.removeValue(forKey: key) else { return }
        let name = key.name
        for service in object.references {
            referrersOfService[service]?.remove(key)
            if referrersOfService[service]?.isEmpty == true { referrersOfService[service] = nil }
        }
        dirty.routing.formUnion(object.governed)
        switch object.resource {
        case .service, .serviceEntry:
            guard let (name, service) = object.declaredService else { return }
            members.remove(service: name, selector: service.selector)
            for claim in service.claims { serviceClaims.remove(claim, for: name) }
            dirty.frontends.formUnion(service.addresses)
            dirty.routing.insert(name)
            dirty.references.insert(name)
        case .endpointSlice(let slice):
            unlink(
                \.slicesOfService, name, slice.service.map { ObjectName(namespace: name.namespace, name: $0) }, &dirty)
        case .destinationRule:
            for service in object.governed { unlink(\.rulesOfService, name, service, &dirty) }
            dirty.references.formUnion(object.governed)
        case .trafficPolicy(let policy):
            for service in object.governed { unlink(\.policiesOfService, name, service, &dirty) }
            guard policy.setsAcceleration else { return }
            accelerationPolicies[name.namespace]?.remove(name)
            if accelerationPolicies[name.namespace]?.isEmpty == true { accelerationPolicies[name.namespace] = nil }
            markAcceleration(of: name.namespace, &dirty)
        case .httpRoute:
            for service in object.governed { unlink(\.routesOfService, name, service, &dirty) }
        case .virtualService:
            for service in object.governed { unlink(\.virtualServicesOfService, name, service, &dirty) }
        case .authorizationPolicy:
            snapshot.policies[name] = nil
            requests.remove(key, &dirty)
        case .requestAuthentication:
            snapshot.requestAuthentications[name] = nil
            requests.remove(key, &dirty)
        case .extensionProvider:
            snapshot.authorizers[name.name] = nil
            markPolicies(of: name.name, &dirty)
        case .networkPolicy:
            snapshot.networkPolicies[name] = nil
        case .peerAuthentication:
            peerAuthentications[name.namespace]?.remove(name)
            if peerAuthentications[name.namespace]?.isEmpty == true { peerAuthentications[name.namespace] = nil }
            markPeerAuthentications(of: name.namespace, &dirty)
        case .pod, .workload:
            guard let member = object.member else { return }
            members.remove(member: key, labels: member.labels)
            for claim in member.claims(options: options) { workloadClaims.remove(claim, for: key) }
            mark(member, &dirty)
        case .namespace:
            snapshot.namespaceLabels[name.name] = nil
            dirty.workloads.formUnion(members.members(namespace: name.name))
        case .unserved: break
        }
    }

    /// What is to be said of policies depends on whether their provider exists.
    private func markPolicies(of provider: String, _ dirty: inout Dirty) {
        for policy in snapshot.policies.values where policy.provider == provider {
            dirty.statuses.insert(ObjectKey(.authorizationPolicy, policy.name))
        }
    }

    private func markAcceleration(of namespace: String, _ dirty: inout Dirty) {
        dirty.workloads.formUnion(members.members(namespace: namespace))
        // Of several the oldest is in force.
        for name in accelerationPolicies[namespace] ?? [] { dirty.statuses.insert(ObjectKey(.trafficPolicy, name)) }
    }

    private mutating func markPeerAuthentications(of namespace: String, _ dirty: inout Dirty) {
        dirty.peerAuthentications.insert(namespace)
        // Of several the oldest is in force.
        for name in peerAuthentications[namespace] ?? [] {
            dirty.statuses.insert(ObjectKey(.peerAuthentication, name))
        }
    }

    private typealias Links = WritableKeyPath<MeshBuilder, [ObjectName: Set<ObjectName>]>

    private mutating func link(_ links: Links, _ name: ObjectName, _ service: ObjectName?, _ dirty: inout Dirty) {
        guard let service else { return }
        self[keyPath: links][service, default: []].insert(name)
        dirty.services.insert(service)
    }

    private mutating func unlink(_ links: Links, _ name: ObjectName, _ service: ObjectName?, _ dirty: inout Dirty) {
        guard let service else { return }
        self[keyPath: links][service]?.remove(name)
        if self[keyPath: links][service]?.isEmpty == true { self[keyPath: links][service] = nil }
        dirty.services.insert(service)
    }

    func mark(_ member: Member, _ dirty: inout Dirty) {
        dirty.workloads.insert(member.key)
        dirty.addresses.formUnion(member.addresses)
        dirty.services.formUnion(members.services(namespace: member.key.name.namespace, labels: member.labels))
    }
}
