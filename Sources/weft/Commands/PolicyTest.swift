import ArgumentParser
import KernelPlane
import Mesh
import Proxy
import WeftABI

extension PolicyCommand {
    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ask whether policy allows a connection, or a request on it, and by which rule.",
            discussion: """
                The decision about the connection is the kernel programs' own, over the maps that they use: the caller's \
                NetworkPolicies, the destination's, then its AuthorizationPolicies. What the proxy decides about a \
                request is asked of the agent. With --config both are decided as a configuration directory has it, \
                without an agent. A token is verified with keys that the configuration holds (jwks); where they are \
                fetched it says that the signature is taken to be valid. Exit status 0 allowed, 1 denied (for a service: at one of its \
                endpoints at least).

                EXAMPLES
                  weft policy test --from shop/client --to shop/web-1 --port 8080
                  weft policy test --from shop/client --to shop/web     every endpoint
                  weft policy test --from unknown --source-ip 10.1.2.3 --to 10.0.0.7:8080
                  weft policy test --from shop/client --to shop/web --method DELETE --path /items --jwt token
                  weft policy test --from shop/client --to shop/web-1 --port 8080 --config ./mesh.d
                """)

        @Option(help: ArgumentHelp("The workload that connects, or 'unknown'.", valueName: "namespace/name"))
        var from: String

        @Option(
            help: ArgumentHelp(
                "A workload, a service, or an address and port.", valueName: "namespace/name|address:port"))
        var to: String

        @Option(help: "The destination's port; of a workload's own, not of a service.")
        var port: UInt16?

        @Option(help: ArgumentHelp("The address that the connection comes from.", valueName: "address"))
        var sourceIP: String?

        @Option(help: ArgumentHelp("Decide as this configuration has it.", valueName: "dir"))
        var config: String?

        @OptionGroup var proxies: TrustedProxiesOption
        @OptionGroup(title: "Request") var request: PolicyRequestOptions
        @OptionGroup var runtime: RunOptions
        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func validate() throws {
            try proxies.check(config)
            if let sourceIP, IPAddress(sourceIP) == nil { throw ValidationError("'\(sourceIP)' is not an IP address.") }
        }

        func run() throws {
            if let config {
                try run(ProxySource.snapshot(of: config))
                return
            }
            let maps = try pins.open()
            let resolver = Resolver(maps)
            var source = try Source(named: from, resolver)
            source.address = sourceIP.flatMap { IPAddress($0) }

            let decisions = try targets(source, maps, resolver).map { target in
                let question = PolicyDecision.Question(
                    source: source.workload, destination: target.workload,
                    sourceAddress: try target.address.map { try source.address(towards: $0, maps) } ?? source.address,
                    port: target.port)
                let egress = try target.address.flatMap { address in
                    try PolicyDecision(
                        egressOf: source.workload, to: target.workload, address: address, port: target.port,
                        transport: question.transport, in: maps)
                }
                // The caller's own NetworkPolicies are asked first.
                if let egress, egress.isDenied { return (target, egress) }
                return (target, try PolicyDecision(question, in: maps))
            }
            let requests = try decisions.map { target, decision in
                try decision.isDenied ? nil : ask(resolver.name(target.workload), target.port)
            }
            let answers = zip(decisions, requests).map { decision, request in
                let (target, decision) = decision
                var object: Value.Object = [
                    "destination": resolver.value(target.workload),
                    "address": target.address.map {
                        .string(Endpoint(address: $0, port: target.port, transport: 0).host)
                    } ?? .null,
                    "port": Value(target.port),
                ]
                for member in decision.fields(resolver).members { object[member.key] = member.value }
                if let request { object["request"] = request.value }
                return Value.object(object)
            }
            format.print(.array(answers)) { terminal in
                var page = Page(terminal)
                for ((target, decision), request) in zip(decisions, requests) {
                    Self.describe(target, decision, resolver, &page)
                    request?.describe(&page, skipping: ["egress", "ingress", "connection"])
                }
                return page.text
            }
            if decisions.contains(where: { $0.1.isDenied }) || requests.contains(where: { $0?.isAllowed == false }) {
                throw end(with: .no)
            }
        }

        /// What the agent says of the request; nil: nothing is asked about one.
        private func ask(_ workload: String, _ port: UInt16) throws -> PolicyAccount? {
            let service = to.contains("/") && to != workload ? to : nil
            guard let question = try request.request(to: service ?? workload, service: service) else { return nil }
            return try ProxySource(config: nil, runtime).test(
                PolicyInquiry(
                    from: from == "unknown" ? nil : from, sourceAddress: sourceIP, to: workload, port: port,
                    request: question))
        }

        /// Without an agent.
        private func run(_ snapshot: MeshSnapshot) throws {
            let source = ProxySource.snapshot(snapshot, trustedProxies: proxies.count)
            let accounts = try targets(in: snapshot).map { workload, port, service in
                try source.test(
                    PolicyInquiry(
                        from: from == "unknown" ? nil : from, sourceAddress: sourceIP, to: workload.description,
                        port: port,
                        request: try request.request(to: service ?? workload.description, service: service)))
            }
            format.print(.array(accounts.map(\.value))) { terminal in
                var page = Page(terminal)
                for account in accounts { account.describe(&page) }
                return page.text
            }
            if accounts.contains(where: { !$0.isAllowed }) { throw end(with: .no) }
        }

        /// What `--to` names in a configuration: a workload with a port, or the workloads behind a service.
        private func targets(
            in snapshot: MeshSnapshot
        ) throws -> [(workload: ObjectName, port: UInt16, service: String?)] {
            let parts = to.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else {
                throw Failure.usage("'\(to)' is not namespace/name of a workload or a service, which --config needs")
            }
            let name = ObjectName(namespace: parts[0], name: parts[1])
            if snapshot.workloads[name] != nil {
                guard let port else { throw Failure.usage("'\(to)' is a workload: name its port too (--port)") }
                return [(name, port, nil)]
            }
            guard let service = snapshot.services[name] else {
                throw Failure.no("there is no workload or service \(to)")
            }
            var found: [(workload: ObjectName, port: UInt16, service: String?)] = []
            for servicePort in service.ports where servicePort.transport == .tcp {
                for endpoint in servicePort.endpoints where port == nil || endpoint.port == port {
                    guard let workload = endpoint.workload else { continue }
                    found.append((workload, endpoint.port, to))
                }
            }
            guard !found.isEmpty else {
                throw Failure.no("no endpoint of \(to) belongs to a workload: no policy is asked")
            }
            return found
        }

        private static func describe(
            _ target: Target, _ decision: PolicyDecision, _ resolver: Resolver, _ page: inout Page
        ) {
            let verdict = decision.isDenied ? "denied" : "allowed"
            let place = "\(resolver.name(target.workload)):\(target.port)"
            page.line("\(verdict)  \(place): \(decision.explanation(resolver))", decision.isDenied ? .bad : .good)
            if let shadow = decision.shadowExplanation(resolver) { page.line("  shadow: \(shadow)", .caution) }
            if decision.auditRule != 0 { page.line("  audit: counted for \(resolver.name(decision.auditRule))") }
        }

        private struct Target: Hashable {
            var workload: UInt64
            var address: IPAddress?
            var port: UInt16
        }

        /// What `--to` names: an address of a workload, a workload, or the endpoints of a service.
        private func targets(_ source: Source, _ maps: NodeMaps, _ resolver: Resolver) throws -> [Target] {
            if let endpoint = Endpoint(to) {
                if let service = try maps.services.get(weft_service_key(endpoint)) {
                    return try endpoints(of: [service.id], maps, named: to)
                }
                return [try target(endpoint, source, maps)]
            }
            if let workload = try? resolver.id(to, .workload) {
                guard let port else {
                    throw Failure.usage("'\(to)' is a workload: name its port too (--port)")
                }
                let entry = try maps.workloads.get(workload)
                let address = entry.map { IPAddress($0.address) }.flatMap { $0.isUnspecified ? nil : $0 }
                return [Target(workload: workload, address: address, port: port)]
            }
            guard let services = try? resolver.serviceIDs(to) else {
                throw Failure.no(
                    "this node knows no workload or service '\(to)' (see 'weft workload list' and 'weft service list')")
            }
            return try endpoints(of: services, maps, named: to)
        }

        private func target(_ endpoint: Endpoint, _ source: Source, _ maps: NodeMaps) throws -> Target {
            guard let workload = try maps.workload(of: endpoint, seenFrom: source) else {
                throw Failure.no("\(endpoint) is neither a service nor an address of a workload: no policy is asked")
            }
            return Target(workload: workload, address: endpoint.address, port: endpoint.port)
        }

        private func endpoints(of services: [UInt64], _ maps: NodeMaps, named name: String) throws -> [Target] {
            let backends = try maps.backendsByService()
            let targets = services.flatMap { backends[$0] ?? [] }
                .filter { $0.entry.workload != 0 && (port == nil || $0.endpoint.port == port) }
                .map { Target(workload: $0.entry.workload, address: $0.endpoint.address, port: $0.endpoint.port) }
            guard !targets.isEmpty else {
                throw Failure.no("no endpoint of \(name) belongs to a workload: no policy is asked")
            }
            // The kernel has the same endpoints once for each address family of the service.
            var seen: Set<Target> = []
            return targets.filter { seen.insert($0).inserted }
        }
    }
}
