import BPF
import ConfigSources
import FoundationEssentials
import Glibc
import KernelPlane
import Mesh
import Proxy
import Telemetry
import WeftABI

/// The admin API: JSON over HTTP, on the socket in the run directory and on the admin address.
///
///     GET    /v1/status            the agent, every object with its conditions, configuration errors; namespace=shop: the
///                                  objects of one namespace
///     GET    /v1/flows             flow records as NDJSON; follow=1 keeps the response open
///     GET    /v1/flows/state       how many there have been, and how many were lost
///     GET    /v1/tap               live requests as NDJSON, for as long as the client stays
///     GET    /v1/drains            endpoints being drained, with the connections that are left
///     POST   /v1/endpoints/drain   {"service": "ns/name", "endpoint": "ip:port", "deadlineSeconds": 30}
///     DELETE /v1/endpoints/drain   takes a drain back
///     GET    /v1/routes            rules of HTTP requests; service=ns/name: of one service
///     GET    /v1/clusters          endpoints as the proxy sees them
///     GET    /v1/service           endpoints with health and load, policies and identities; name=ns/name
///     GET    /v1/identities        certificates of workloads; identity=spiffe://…: one of them
///     POST   /v1/identities/rotate {"identity": "spiffe://…"}, or {} for all
///     GET    /v1/ca                what issues them, and what peers' are checked against
///     GET    /v1/stat              golden signals by=service, workload or route; window=60&namespace=shop&name=web
///     GET    /v1/graph             who talks to whom; window=60
///     GET    /v1/history           points of ten seconds; seconds=3600&namespace=shop&name=web, or of the node
///     GET    /v1/node              the node: kernel, maps, lanes, and what the agent and its programs cost
///     GET    /v1/probes            whether the accelerated lane is on, and what probes of this kernel found
///     POST   /v1/probes            makes the probes anew, and answers when they are made
///     POST   /v1/explain           {"method": "GET", "url": "http://web.shop/", "headers": [], "from": "ns/name"}
///     POST   /v1/policy/test       {"from": "ns/name", "to": "ns/name", "port": 8080, "request": {...}}
struct AdminAPI {
    let agent: Agent

    func answer(_ request: HTTPRequest) -> HTTPResponse {
        switch request.path {
        case "/v1/status": request.method == .get ? status(request) : .methodNotAllowed([.get])
        case "/v1/flows": request.method == .get ? flows(request) : .methodNotAllowed([.get])
        case "/v1/flows/state": request.method == .get ? flowState() : .methodNotAllowed([.get])
        case "/v1/tap": request.method == .get ? agent.taps.answer(request) : .methodNotAllowed([.get])
        case "/v1/drains": request.method == .get ? drains() : .methodNotAllowed([.get])
        case "/v1/endpoints/drain":
            switch request.method {
            case .post: drain(request, isUndone: false)
            case .delete: drain(request, isUndone: true)
            default: .methodNotAllowed([.post, .delete])
            }
        case "/v1/routes": request.method == .get ? routes(request) : .methodNotAllowed([.get])
        case "/v1/clusters":
            request.method == .get
                ? Self.json(200, (agent.proxy.engine.clusters?.clusters ?? []).map(ClusterReport.init))
                : .methodNotAllowed([.get])
        case "/v1/service": service(request)
        case "/v1/identities": request.method == .get ? identities(request) : .methodNotAllowed([.get])
        case "/v1/identities/rotate": request.method == .post ? rotate(request) : .methodNotAllowed([.post])
        case "/v1/ca": request.method == .get ? authority() : .methodNotAllowed([.get])
        case "/v1/stat": stat(request)
        case "/v1/graph": graph(request)
        case "/v1/history": history(request)
        case "/v1/node": node(request)
        case "/v1/probes": probes(request)
        case "/v1/explain": request.method == .post ? explain(request) : .methodNotAllowed([.post])
        case "/v1/policy/test": request.method == .post ? testPolicy(request) : .methodNotAllowed([.post])
        default: Self.error(404, "there is nothing at \(request.path); see /v1/status, /v1/flows, /v1/drains")
        }
    }

    // MARK: Status

    private struct Status: Encodable {
        struct Agent: Encodable {
            var version: String
            var pid: Int32
            var node: String
            var generation: UInt64
            var startedAt: String
            var pinDirectory: String
            var cgroup: String
            var missingCgroups: [String]
        }
        struct Problem: Encodable {
            var file: String
            var line: Int
            var document: Int
            var path: String
            var message: String
        }

        var agent: Agent
        var objects: [ObjectStatus]
        var errors: [Problem]
    }

    private func status(_ request: HTTPRequest) -> HTTPResponse {
        let namespace = request.query("namespace")
        let age = Double(Reactor.now() - agent.startedAt) / 1e9
        return Self.json(
            200,
            Status(
                agent: .init(
                    version: AgentVersion.current, pid: getpid(), node: agent.options.node,
                    generation: agent.config.snapshot.generation,
                    startedAt: Date(timeIntervalSinceNow: -age).formatted(.iso8601),
                    pinDirectory: agent.plane.pins.path, cgroup: agent.plane.options.cgroup,
                    missingCgroups: agent.plane.missingCgroups),
                objects: agent.config.statuses(agent.acceleration.verdicts).filter {
                    namespace == nil || $0.name.namespace == namespace
                },
                errors: agent.config.errors.map {
                    .init(file: $0.file, line: $0.line, document: $0.document, path: $0.path, message: $0.message)
                }))
    }

    // MARK: Flows

    private func flows(_ request: HTTPRequest) -> HTTPResponse {
        let filter: FlowFilter
        do throws(FlowFilter.Invalid) {
            filter = try FlowFilter(query: request.query, now: Reactor.now())
        } catch {
            return Self.error(400, error.description)
        }
        agent.collectFlows()
        let records = agent.flows.records(matching: filter, limit: request.query("limit").flatMap { Int($0) } ?? .max)
        let contentType = "application/x-ndjson"
        guard request.query("follow") == "1" else {
            return .full(200, contentType: contentType, body: records.flatMap(Self.line))
        }
        let window = agent.flows
        return .stream(contentType: contentType) { stream in
            for record in records where !stream.write(Self.line(record)) { return }
            let subscription = window.subscribe(filter) { _ = stream.write(Self.line($0)) }
            stream.onClose = { window.unsubscribe(subscription) }
        }
    }

    private struct FlowState: Encodable {
        /// Records that are kept at most, that are kept now, and that were ever read.
        var capacity: Int
        var held: Int
        var seen: UInt64
        /// Records that are not among these, because the kernel's queue or a worker's was full.
        var lost: UInt64
        /// Records that are not in the log on disk; null: there is none.
        var lostOnDisk: UInt64?
    }

    private func flowState() -> HTTPResponse {
        agent.collectFlows()
        do throws(BPFError) {
            let lost = try agent.lostFlows()
            return Self.json(
                200,
                FlowState(
                    capacity: agent.flows.capacity, held: agent.flows.count, seen: agent.flows.total,
                    lost: lost,
                    lostOnDisk: agent.flowOutlet.flatMap { $0.hasLog ? $0.lost : nil }))
        } catch {
            return Self.error(500, "\(error)")
        }
    }

    private static func line(_ record: FlowRecord) -> [UInt8] {
        var bytes: [UInt8] = []
        record.writeJSON(to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    // MARK: Requests

    private func routes(_ request: HTTPRequest) -> HTTPResponse {
        let snapshot = agent.config.snapshot
        guard let text = request.query("service") else {
            let names = snapshot.services.filter { $0.value.ports.contains { $0.http != nil } }.keys.sorted()
            return Self.json(200, names.flatMap { RouteListing.of($0, in: snapshot) ?? [] })
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2,
            let ports = RouteListing.of(ObjectName(namespace: parts[0], name: parts[1]), in: snapshot)
        else { return Self.error(404, "there is no service \(text)") }
        return Self.json(200, ports)
    }

    private func explain(_ request: HTTPRequest) -> HTTPResponse {
        guard let inquiry = try? JSONDecoder().decode(RequestInquiry.self, from: Data(request.body)) else {
            return Self.error(
                400, #"the body has to be {"method": "GET", "url": "http://web.shop/", "headers": [], "from": null}"#)
        }
        do throws(InquiryProblem) {
            return Self.json(200, try agent.inquiry.explain(inquiry, in: agent.config.snapshot))
        } catch {
            return Self.error(404, "\(error)")
        }
    }

    private func testPolicy(_ request: HTTPRequest) -> HTTPResponse {
        guard let inquiry = try? JSONDecoder().decode(PolicyInquiry.self, from: Data(request.body)) else {
            return Self.error(
                400,
                #"the body has to be {"from": "ns/name", "to": "ns/name", "port": 8080, "request": {"method": "GET", "#
                    + #""path": "/", "host": "web.shop", "headers": [], "token": null, "service": null}}"#)
        }
        do throws(InquiryProblem) {
            return Self.json(200, try agent.inquiry.test(inquiry, in: agent.config.snapshot))
        } catch {
            return Self.error(404, "\(error)")
        }
    }

    // MARK: Draining

    private struct DrainRequest: Decodable {
        var service: String
        var endpoint: String
        var deadlineSeconds: Double?
    }

    private struct Drain: Encodable {
        var service: String
        var endpoint: String
        /// Seconds until its connections are ended; 0 when that time has come.
        var deadlineSeconds: Double
        var connectionsLeft: Int64
        /// `draining` or `drained`.
        var state: String
    }

    private func drains() -> HTTPResponse {
        let now = Reactor.now()
        do throws(BPFError) {
            let drains = try agent.plane.withMaps { maps throws(BPFError) -> [Drain] in
                var drains: [Drain] = []
                for (id, deadline) in agent.plane.drains {
                    guard let backend = try maps.backends.get(id) else { continue }
                    let left = try maps.backendLoad.get(id)?.active ?? 0
                    drains.append(
                        Drain(
                            service: try maps.names.get(backend.service)?.string ?? "",
                            endpoint: Self.endpoint(backend),
                            deadlineSeconds: deadline > now ? Double(deadline - now) / 1e9 : 0,
                            connectionsLeft: max(0, left), state: left > 0 ? "draining" : "drained"))
                }
                return drains.sorted { ($0.service, $0.endpoint) < ($1.service, $1.endpoint) }
            }
            return Self.json(200, drains)
        } catch {
            return Self.error(500, "\(error)")
        }
    }

    private func drain(_ request: HTTPRequest, isUndone: Bool) -> HTTPResponse {
        let order: DrainRequest
        do {
            order = try JSONDecoder().decode(DrainRequest.self, from: Data(request.body))
        } catch {
            return Self.error(
                400, #"the body has to be {"service": "ns/name", "endpoint": "ip:port", "deadlineSeconds": 30}"#)
        }
        let seconds = order.deadlineSeconds ?? 30
        guard seconds >= 0, seconds <= 7 * 24 * 3600 else {
            return Self.error(400, "deadlineSeconds has to be between 0 and 604800 (a week)")
        }
        do throws(BPFError) {
            let backends = try agent.plane.withMaps { maps throws(BPFError) in try maps.backends.entries() }
            let matching = try agent.plane.withMaps { maps throws(BPFError) -> [UInt64] in
                var found: [UInt64] = []
                for (id, backend) in backends where Self.endpoint(backend) == order.endpoint {
                    // `ns/name` or, for one port of it, `ns/name:port`.
                    let name = try maps.names.get(backend.service)?.string ?? ""
                    let plain = name.lastIndex(of: ":").map { String(name[..<$0]) } ?? name
                    if order.service == name || order.service == plain { found.append(id) }
                }
                return found
            }
            guard !matching.isEmpty else {
                return Self.error(404, "service \(order.service) has no endpoint \(order.endpoint)")
            }
            let deadline = Reactor.now() + UInt64(seconds * 1e9)
            try agent.drain(matching, deadline: isUndone ? nil : max(1, deadline))
            return Self.json(200, ["drained": matching.count])
        } catch {
            return Self.error(500, "\(error)")
        }
    }

    /// `ip:port`, as the CLI prints it.
    private static func endpoint(_ backend: weft_backend) -> String {
        let address = IPAddress(backend.address)
        let port = UInt16(bigEndian: backend.port)
        return address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }

    // MARK: Answers

    static func json(_ status: UInt16, _ value: some Encodable) -> HTTPResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let body = try? encoder.encode(value) else { return error(500, "the answer could not be encoded") }
        return .full(status, contentType: "application/json", body: Array(body))
    }

    static func error(_ status: UInt16, _ message: String) -> HTTPResponse {
        let body = (try? JSONEncoder().encode(["error": message])) ?? Data()
        return .full(status, contentType: "application/json", body: Array(body))
    }
}
