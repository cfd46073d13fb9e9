import Testing

@testable import Mesh

@Suite("MeshBuilder")
struct MeshBuilderTests {
    private static let options = MeshOptions(node: "node-a")
    private static let time = "2025-01-01T00:00:00Z"

    private func location(_ key: ObjectKey) -> Mesh.SourceLocation {
        Mesh.SourceLocation(file: key.description, line: 1)
    }

    private func build(_ objects: [MeshObject]) -> MeshBuilder {
        var builder = MeshBuilder(options: Self.options)
        apply(objects, to: &builder)
        return builder
    }

    private func apply(_ objects: [MeshObject], removed: [ObjectKey] = [], to builder: inout MeshBuilder) {
        var change = MeshChange()
        change.removed = removed
        change.updated = objects.map { ($0, location($0.key)) }
        builder.apply(change, time: Self.time)
    }

    // MARK: - Random meshes, small enough that their objects meet

    private struct Generator {
        var random = SplitMix(seed: 1)
        var kinds = ResourceKind.allCases

        mutating func pick<Element>(_ elements: [Element]) -> Element {
            elements[Int(random.next() % UInt64(elements.count))]
        }

        mutating func name() -> String { pick(["a", "b", "c", "d"]) }
        mutating func address() -> IPAddress { IPAddress(v4: 10, 0, 0, UInt8(random.next() % 6)) }
        mutating func labels() -> [String: String] { pick([[:], ["app": "x"], ["app": "y"], ["app": "x", "v": "1"]]) }
        mutating func ports() -> [MeshWorkloadPort] {
            pick([
                [], [MeshWorkloadPort(name: "http", port: 80, transport: .tcp)],
                [MeshWorkloadPort(name: "http", port: 81, transport: .tcp)],
            ])
        }

        mutating func key() -> ObjectKey {
            let kind = pick(kinds)
            switch kind {
            case .namespace: return ObjectKey(kind, ObjectName(namespace: "", name: pick(["n", "istio-system"])))
            case .extensionProvider, .gatewayClass: return ObjectKey(kind, ObjectName(namespace: "", name: name()))
            default: return ObjectKey(kind, ObjectName(namespace: pick(["n", "n", "n", "istio-system"]), name: name()))
            }
        }

        mutating func object() -> MeshObject {
            let key = key()
            return MeshObject(
                key: key, apiVersion: key.kind.apiVersions[0],
                created: pick([nil, "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]), resource: resource(key))
        }

        private mutating func service() -> ObjectName { ObjectName(namespace: "n", name: name()) }

        private mutating func target() -> HTTPBackend.Target {
            .service(service(), port: pick([0, 80, 81]), subset: pick([nil, nil, "v1"]))
        }

        private mutating func resource(_ key: ObjectKey) -> Resource {
            switch key.kind {
            case .service:
                var service = ServiceResource()
                service.addresses = Set([address(), address()]).sorted()
                service.ports = [.init(name: "", port: 80, target: pick([.number(80), .name("http")]))]
                service.ports[0].application = pick([.undeclared, .undeclared, .http, .opaque])
                service.selector = labels()
                service.isUsable = pick([true, true, true, false])
                return .service(service)
            case .endpointSlice:
                var slice = EndpointSliceResource()
                slice.service = pick([nil, name()])
                slice.ports = [.init(name: pick(["", "other"]), port: pick([80, 81]))]
                slice.endpoints = (0..<3).map { _ in
                    .init(address: address(), state: pick([.ready, .draining, .notReady]))
                }
                return .endpointSlice(slice)
            case .pod:
                var pod = PodResource()
                pod.labels = labels()
                pod.addresses = [address()]
                pod.ports = ports()
                pod.usesHostNetwork = pick([true, false])
                pod.isFinished = pick([true, false, false])
                pod.state = pick([.ready, .draining, .notReady])
                pod.node = pick(["", "node-b"])
                pod.isRedirected = pick([true, false, false])
                pod.acceleration = pick([nil, nil, true, false])
                return .pod(pod)
            case .workload:
                var workload = WorkloadResource()
                workload.labels = labels()
                workload.addresses = [address()]
                workload.ports = ports()
                workload.cgroup = pick([nil, "/x", "/y"])
                workload.node = pick(["", "node-b"])
                workload.takesTunnel = pick([true, false])
                workload.acceleration = pick([nil, nil, true, false])
                return .workload(workload)
            case .trafficPolicy:
                var policy = TrafficPolicyResource()
                policy.targets = pick([[name()], [name(), "z"]])
                policy.algorithm = pick([.maglev, .roundRobin])
                policy.settings.fallback = pick([nil, target()])
                policy.settings.proxyFields = pick([[], ["fallback"]])
                policy.timeouts.request = pick([nil, 1000])
                policy.targetsNamespace = pick([true, false])
                policy.acceleration = pick([nil, true, false])
                return .trafficPolicy(policy)
            case .destinationRule:
                var rule = DestinationRuleResource()
                rule.host = pick([name(), "\(name()).n", "*"])
                rule.algorithm = pick([.leastConnections, .roundRobin])
                rule.subsets = pick([[], [.init(name: "v1")], [.init(name: "v2")]])
                rule.settings.outlier = pick([nil, OutlierDetection()])
                if rule.settings.outlier != nil { rule.settings.proxyFields = ["outlierDetection"] }
                rule.portSettings = pick([[:], [80: TrafficSettings()]])
                return .destinationRule(rule)
            case .serviceEntry:
                var entry = ServiceEntryResource()
                entry.hosts = ["\(name()).example.com"]
                entry.service.addresses = pick([[], [address()]])
                entry.service.ports = [.init(name: "", port: 80)]
                entry.service.selector = labels()
                entry.service.isUsable = pick([true, true, false])
                var slice = EndpointSliceResource()
                slice.ports = [.init(name: "", port: 80)]
                slice.endpoints = [.init(address: address())]
                entry.slices = pick([[], [slice]])
                return .serviceEntry(entry)
            case .httpRoute:
                var route = HTTPRouteResource()
                route.parents = (0..<pick([0, 1, 1, 2])).map { _ in
                    ParentReference(
                        group: pick(["", "", "x"]), kind: "Service", namespace: pick([nil, "n"]), name: name(),
                        port: pick([nil, 80, 81]))
                }
                route.rules = [HTTPRule(origin: key, index: 0, action: .forward([HTTPBackend(target: target())]))]
                return .httpRoute(route)
            case .virtualService:
                var virtualService = VirtualServiceResource()
                virtualService.hosts = pick([[], [service()], [service(), service()]])
                virtualService.isPrivate = pick([true, false])
                virtualService.isUsable = pick([true, true, false])
                var rule = HTTPRule(origin: key, index: 0, action: .forward([HTTPBackend(target: target())]))
                rule.matches = pick([[], [HTTPMatch()]])
                virtualService.rules = [.init(rule: rule, matchPorts: rule.matches.map { _ in pick([nil, 80, 81]) })]
                return .virtualService(virtualService)
            case .authorizationPolicy:
                var policy = AuthorizationPolicy(
                    name: key.name, action: pick([.allow, .deny, .custom]), selector: labels(),
                    rules: pick([[], [AuthorizationPolicy.Rule()], [Self.ruleAboutRequests]]))
                if policy.action == .custom { policy.provider = name() }
                if policy.selector.isEmpty { policy.targetServices = pick([[], [name()]]) }
                return .authorizationPolicy(
                    AuthorizationPolicyResource(policy: policy, isUsable: pick([true, true, false])))
            case .requestAuthentication:
                var authentication = RequestAuthentication(name: key.name, selector: labels())
                authentication.rules = pick([[], [JWTRule(issuer: "i", keys: .inline("{}"))]])
                if authentication.selector.isEmpty { authentication.targetServices = pick([[], [], [name()]]) }
                return .requestAuthentication(
                    RequestAuthenticationResource(authentication: authentication, isUsable: pick([true, true, false])))
            case .peerAuthentication:
                var resource = PeerAuthenticationResource()
                resource.selector = labels()
                resource.mode = pick([nil, .strict, .permissive, .disable])
                if !resource.selector.isEmpty { resource.portModes = pick([[:], [80: .disable]]) }
                return .peerAuthentication(resource)
            case .extensionProvider:
                return .extensionProvider(
                    ExternalAuthorizer(name: key.name.name, api: .grpc, service: service(), port: pick([80, 81])))
            case .networkPolicy:
                return .networkPolicy(
                    NetworkPolicy(
                        name: key.name, podSelector: LabelSelector(labels: labels()), ingress: pick([nil, []])))
            case .namespace:
                return .namespace(pick([[:], ["istio.io/dataplane-mode": "ambient"], ["a": "b"]]))
            case .gatewayClass, .gateway, .grpcRoute, .tcpRoute, .tlsRoute, .referenceGrant, .backendTLSPolicy:
                return .unserved
            }
        }

        private static let ruleAboutRequests: AuthorizationPolicy.Rule = {
            var operation = AuthorizationPolicy.Operation()
            operation.methods = [.exact("GET")]
            return AuthorizationPolicy.Rule(operations: [operation])
        }()
    }

    /// Kinds by which rules about requests, and who they are for, change.
    private static let securityKinds: [ResourceKind] = [
        .service, .service, .endpointSlice, .pod, .workload, .workload, .authorizationPolicy, .requestAuthentication,
        .peerAuthentication, .namespace,
    ]

    @Test(
        "after any changes is what the same objects give from nothing", arguments: 1...40,
        [ResourceKind.allCases, securityKinds])
    func incremental(_ seed: UInt64, _ kinds: [ResourceKind]) {
        var generator = Generator(random: SplitMix(seed: seed), kinds: kinds)
        var builder = MeshBuilder(options: Self.options)
        var objects: [ObjectKey: MeshObject] = [:]
        for step in 0..<60 {
            var updated: [ObjectKey: MeshObject] = [:]
            for _ in 0..<(generator.random.next() % 4) {
                let object = generator.object()
                updated[object.key] = object
            }
            let removed = (0..<(generator.random.next() % 3)).map { _ in generator.key() }
                .filter { objects[$0] != nil && updated[$0] == nil }
            for key in removed { objects[key] = nil }
            objects.merge(updated) { $1 }
            apply(Array(updated.values), removed: Array(Set(removed)), to: &builder)

            var fresh = build(Array(objects.values)).snapshot
            fresh.generation = builder.snapshot.generation
            #expect(builder.snapshot.services == fresh.services, "step \(step)")
            #expect(builder.snapshot.workloads == fresh.workloads, "step \(step)")
            #expect(builder.snapshot == fresh, "step \(step)")
            #expect(builder.statuses.statuses == build(Array(objects.values)).statuses.statuses, "step \(step)")
        }
    }

    private func mesh(services: Int) -> [MeshObject] {
        (0..<services).flatMap { index -> [MeshObject] in
            var service = ServiceResource()
            service.addresses = [IPAddress(v4: 127, 96, UInt8(index >> 8), UInt8(index & 255))]
            service.ports = [.init(name: "http", port: 80)]
            var slice = EndpointSliceResource()
            slice.service = "s\(index)"
            slice.ports = [.init(name: "http", port: 8080)]
            slice.endpoints = (0..<10).map {
                .init(address: IPAddress(v4: 10, UInt8(index >> 8), UInt8(index & 255), $0))
            }
            return [
                MeshObject(
                    key: ObjectKey(.service, ObjectName(namespace: "n", name: "s\(index)")), apiVersion: "v1",
                    resource: .service(service)),
                MeshObject(
                    key: ObjectKey(.endpointSlice, ObjectName(namespace: "n", name: "s\(index)-a")),
                    apiVersion: "discovery.k8s.io/v1", resource: .endpointSlice(slice)),
            ]
        }
    }

    @Test("changes one service for one endpoint, and the others keep their storage")
    func sharing() throws {
        var objects = mesh(services: 1000)
        var builder = build(objects)
        let before = builder.snapshot
        guard case .endpointSlice(var slice) = objects[1].resource else { return }
        slice.endpoints[0].address = IPAddress(v4: 10, 99, 99, 99)
        objects[1].resource = .endpointSlice(slice)
        apply([objects[1]], to: &builder)

        let changed = builder.snapshot.services.filter { before.services[$0.key] != $0.value }
        #expect(changed.keys.map(\.name) == ["s0"])
        #expect(builder.snapshot.generation == before.generation + 1)
        for (name, service) in builder.snapshot.services where name.name != "s0" {
            let old = try #require(before.services[name])
            let isShared = unsafe service.ports.withUnsafeBufferPointer { new in
                unsafe old.ports.withUnsafeBufferPointer { unsafe $0.baseAddress == new.baseAddress }
            }
            #expect(isShared)
        }
    }

    @Test("an endpoint's change keeps the storage of its service's rules, a route's change leaves other services alone")
    func routes() throws {
        func route(_ index: Int, host: String) -> MeshObject {
            let key = ObjectKey(.httpRoute, ObjectName(namespace: "n", name: "r\(index)"))
            var route = HTTPRouteResource()
            route.parents = [ParentReference(group: "", kind: "Service", name: "s\(index % 2)")]
            var rule = HTTPRule(
                origin: key, index: 0,
                action: .forward([
                    HTTPBackend(target: .service(ObjectName(namespace: "n", name: "s2"), port: 80, subset: nil))
                ]))
            rule.hostnames = [host]
            route.rules = [rule]
            return MeshObject(key: key, apiVersion: key.kind.apiVersions[0], resource: .httpRoute(route))
        }
        var objects = mesh(services: 3)
        var builder = build(objects + (0..<100).map { route($0, host: "a.example.com") })
        func rules(_ service: String) throws -> [HTTPRule] {
            let service = builder.snapshot.services[ObjectName(namespace: "n", name: service)]
            return try #require(service?.ports.first?.http).rules
        }
        func isShared(_ a: [HTTPRule], _ b: [HTTPRule]) -> Bool {
            unsafe a.withUnsafeBufferPointer { a in
                unsafe b.withUnsafeBufferPointer { unsafe a.baseAddress == $0.baseAddress }
            }
        }
        let before = (try rules("s0"), try rules("s1"))
        #expect(before.0.count == 50 && before.1.count == 50)

        guard case .endpointSlice(var slice) = objects[1].resource else { return }
        slice.endpoints[0].address = IPAddress(v4: 10, 99, 99, 99)
        objects[1].resource = .endpointSlice(slice)
        apply([objects[1]], to: &builder)
        #expect(isShared(try rules("s0"), before.0))

        apply([route(1, host: "b.example.com")], to: &builder)
        #expect(isShared(try rules("s0"), before.0))
        #expect(try rules("s1") != before.1)
    }

    @Test("takes time in proportion to the change, not to the mesh")
    func time() {
        var objects = mesh(services: 4000)
        var builder = build(objects)
        let clock = ContinuousClock()
        let whole = clock.measure { _ = build(objects) }
        guard case .endpointSlice(var slice) = objects[1].resource else { return }
        // The best of several, because other tests run beside it.
        var one = Duration.seconds(1000)
        for index in 0..<8 {
            slice.endpoints[0].address = IPAddress(v4: 10, 99, 99, UInt8(index))
            objects[1].resource = .endpointSlice(slice)
            one = min(one, clock.measure { apply([objects[1]], to: &builder) })
        }
        #expect(one < whole / 20, "\(one) for one endpoint, \(whole) for all")
    }

    @Test("keeps the time of a condition while its status stays the same")
    func transitionTimes() throws {
        var slice = EndpointSliceResource()
        slice.service = "web"
        let key = ObjectKey(.endpointSlice, ObjectName(namespace: "n", name: "web-a"))
        func change(_ slice: EndpointSliceResource) -> MeshChange {
            let object = MeshObject(key: key, apiVersion: "discovery.k8s.io/v1", resource: .endpointSlice(slice))
            var change = MeshChange()
            change.updated = [(object, location(key))]
            return change
        }
        var builder = MeshBuilder(options: Self.options)
        builder.apply(change(slice), time: "1")
        slice.weight = 2
        builder.apply(change(slice), time: "2")
        #expect(builder.statuses.status(of: key)?[.resolvedRefs]?.status == .no)
        #expect(builder.statuses.status(of: key)?[.resolvedRefs]?.lastTransitionTime == "1")
        var service = MeshChange()
        let name = ObjectKey(.service, ObjectName(namespace: "n", name: "web"))
        service.updated = [
            (MeshObject(key: name, apiVersion: "v1", resource: .service(ServiceResource())), location(name))
        ]
        builder.apply(service, time: "3")
        #expect(builder.statuses.status(of: key)?[.resolvedRefs]?.status == .yes)
        #expect(builder.statuses.status(of: key)?[.resolvedRefs]?.lastTransitionTime == "3")
        #expect(builder.statuses.status(of: key)?[.accepted]?.lastTransitionTime == "1")
    }
}

/// SplitMix64: the same numbers in every run.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
