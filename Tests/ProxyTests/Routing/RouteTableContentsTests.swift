import Mesh
import Testing

@testable import Proxy

/// What a table tells balancing, resilience and logs.
@Suite struct RouteTableContentsTests {
    @Test func clustersAreTheServicesThemselves() throws {
        // `a` has routes of its own; they do not apply to requests that come through web's.
        let fixture = try RouteFixture([.to("a", "b")]) { snapshot in
            let a = ObjectName(namespace: "shop", name: "a")
            snapshot.services[a]?.ports[0].http = HTTPRouting(rules: [.to("c")])
            var traffic = HTTPTraffic()
            traffic.fallback = .shop("b")
            snapshot.services[a]?.traffic = traffic
            var other = HTTPTraffic()
            other.fallback = .shop("a")
            snapshot.services[ObjectName(namespace: "shop", name: "b")]?.traffic = other
        }
        let clusters = fixture.table.clusters
        #expect(clusters.map(\.key.service.name).sorted() == ["a", "b", "c", "web"])
        #expect(Set(clusters.map(\.key)).count == clusters.count)
        let places = Dictionary(uniqueKeysWithValues: clusters.enumerated().map { ($1.key.service.name, $0) })
        let identities = fixture.table.clusterIdentities
        #expect(identities[places["a"] ?? 0].fallback == places["b"])
        #expect(identities[places["b"] ?? 0].fallback == places["a"])
        #expect(identities[places["web"] ?? 0].service == RouteFixture.webID)
        #expect(identities[places["web"] ?? 0].fallback == nil)
        #expect(fixture.table.generation == 7)
    }

    @Test func subsetsHaveTheEndpointsWithTheirLabels() throws {
        let rule = HTTPRule.to().with {
            $0.action = .forward([
                HTTPBackend(target: .shop("a", subset: "v1")), HTTPBackend(target: .shop("a", subset: "v2")),
            ])
        }
        let fixture = try RouteFixture([rule]) { snapshot in
            let a = ObjectName(namespace: "shop", name: "a")
            var endpoints: [MeshEndpoint] = []
            for index in 1...4 {
                let name = ObjectName(namespace: "shop", name: "a-\(index)")
                let labels = index == 4 ? ["app": "a"] : ["app": "a", "version": index == 1 ? "v1" : "v2"]
                snapshot.workloads[name] = MeshWorkload(name: name, serviceAccount: "a", labels: labels)
                endpoints.append(
                    MeshEndpoint(
                        address: IPAddress("10.1.0.\(index)") ?? IPAddress(high: 0, low: 0), port: 80, workload: name))
            }
            endpoints.append(MeshEndpoint(address: IPAddress(high: 0, low: 1), port: 80))
            snapshot.services[a]?.ports[0].endpoints = endpoints
            var traffic = HTTPTraffic()
            traffic.panicThreshold = 9
            snapshot.services[a]?.subsets = [
                HTTPSubset(name: "v1", labels: ["version": "v1"], traffic: traffic),
                HTTPSubset(name: "v2", labels: ["version": "v2"], traffic: HTTPTraffic()),
            ]
        }
        func cluster(_ subset: String) throws -> (config: ClusterConfig, identity: ClusterIdentity) {
            let place = try #require(fixture.table.clusters.firstIndex { $0.key.subset == subset })
            return (fixture.table.clusters[place], fixture.table.clusterIdentities[place])
        }
        #expect(try cluster("v1").config.endpoints.map(\.workload?.name) == ["a-1"])
        #expect(try cluster("v1").config.traffic.panicThreshold == 9)
        #expect(try cluster("v1").identity.workloads == [1])
        #expect(try cluster("v2").config.endpoints.map(\.workload?.name) == ["a-2", "a-3"])
        #expect(try cluster("v2").identity.workloads == [2, 3])
    }

    @Test func rulesCarryTheirSettings() throws {
        let rule = HTTPRule.to("a").with {
            $0.timeouts = HTTPTimeouts(request: 10_000, backendRequest: 500)
            var retry = RetryPolicy()
            retry.attempts = 3
            retry.conditions = [.retriableStatusCodes]
            retry.statusCodes = [500, 503]
            retry.perTryTimeout = 100
            $0.retry = retry
            var persistence = SessionPersistence(kind: .cookie(lifetime: 60), name: "Session")
            persistence.idleTimeout = 5
            $0.persistence = persistence
        }
        let table = try RouteFixture([rule]).table
        let compiled = table.rules[0]
        #expect((compiled.requestTimeout, compiled.backendTimeout) == (10_000, 500))
        let retry = table.retries[Int(compiled.retry)]
        #expect(retry.attempts == 3 && retry.perTryTimeout == 100 && retry.backoffBase == 25)
        #expect(retry.statuses.indices.map { table.retriableStatuses[$0] } == [500, 503])
        let persistence = table.persistences[Int(compiled.persistence)]
        #expect(persistence.isCookie && persistence.cookieLifetime == 60 && persistence.idleTimeout == 5)
        #expect(String(table.text(persistence.name)) == "Session")
        #expect(table.ruleTitles == ["HTTPRoute shop/route rule 0"])
        #expect(table.ruleConfigs == [rule])
    }

    @Test(
        arguments: [
            (nil, false), (.prefix("/"), false), (.textPrefix("/"), false), (.prefix("/a"), true), (.exact("/"), true),
            (.regex(".*"), true),
        ] as [(PathMatch?, Bool)])
    func encodedSlashesAreRefusedWhereRulesLookAtPaths(_ path: PathMatch?, _ expected: Bool) throws {
        let rule = HTTPRule.to("a", matches: [.any { $0.path = path }])
        for fixture in [try RouteFixture([rule]), try RouteFixture([], consumers: ["other": [rule]])] {
            #expect(fixture.table.rejectsEncodedSlashes(fixture.service) == expected)
            var request = SyntheticRequest(target: "/a%2fb", host: "web")
            request.rejectsEncodedSlashes = fixture.table.rejectsEncodedSlashes(fixture.service)
            if expected {
                #expect(throws: SyntheticRequest.Problem.path(.encodedSlash)) { try fixture.decide(request) }
            } else {
                #expect(try fixture.outcome(request) != "404")
            }
        }
    }

    @Test func limitsAndFaultsHaveConditions() throws {
        var limit = RateLimit(name: "free", requests: 1, window: .day, key: .header("X-User"))
        limit.matches = [
            .path(.prefix("/free")), .any { $0.headers = [NamedMatch(name: "x-plan", value: .exact("free"))] },
            .path(.regex("/r[0-9]")),
        ]
        let rule = HTTPRule.to("a").with {
            $0.rateLimits = [limit]
            $0.fault = HTTPFault(
                delay: .init(milliseconds: 5, partsPerMillion: 10), abort: .init(status: 418),
                headers: [NamedMatch(name: "x-fault", value: .present)])
        }
        let fixture = try RouteFixture([rule]) { snapshot in
            snapshot.services[RouteFixture.web]?.traffic.rateLimits = [
                RateLimit(name: "all", requests: 9, window: .month, key: .identity)
            ]
            let name = ObjectName(namespace: "shop", name: "client")
            snapshot.workloads[name] = MeshWorkload(name: name, serviceAccount: "client")
        }
        let table = fixture.table
        let own = table.limits[table.limits(ofService: fixture.service).indices.lowerBound]
        #expect(own.key == .identity && table.limitConfigs[Int(own.config)].rule == nil)
        let ruled = table.limits[table.rules[0].limits.indices.lowerBound]
        #expect(ruled.key == .header && String(table.text(ruled.header)) == "x-user")
        #expect(table.limitConfigs[Int(ruled.config)].limit == limit)
        #expect(table.limitConfigs[Int(ruled.config)].rule == "HTTPRoute shop/route rule 0")
        let fault = table.faults[Int(table.rules[0].fault)]
        #expect(fault.delay == 5 && fault.delayPartsPerMillion == 10 && fault.abortStatus == 418)

        for (target, headers, isLimited, isFaulty) in [
            ("/", [], false, false), ("/free/x", [], true, false), ("/freedom", [], false, false),
            ("/", [(name: "X-Plan", value: "free")], true, false), ("/r1", [], true, false), ("/r12", [], false, false),
            ("/", [(name: "X-Fault", value: "")], false, true),
        ] {
            let applies = try SyntheticRequest(target: target, host: "web", headers: headers).withView { view in
                [table.applies(own, to: view), table.applies(ruled, to: view), table.applies(fault, to: view)]
            }
            #expect(applies == [true, isLimited, isFaulty])
        }
        #expect(table.identity(ofWorkload: 1) != 0)
        #expect(table.identity(ofWorkload: 2) == 0)
    }
}
