import Mesh
import Proxy

/// Recorded flows under other policies.
struct FlowBacktest {
    /// What decides about a flow.
    struct Case: Hashable {
        /// nil: no identity.
        var from: String?
        var sourceAddress: String?
        /// A workload; or, if the proxy has carried the connection, the service that it was for.
        var destination: String
        var port: UInt16
        var wasDenied: Bool
        var isCarried = false
    }

    struct Change: Equatable {
        var flow: Case
        var flows: Int
        /// That would decide; nil: none.
        var rule: String?
    }

    private let explainer: PolicyExplainer
    private let known: Set<String>
    private let places: [String: [Place]]

    private struct Place: Hashable {
        var workload: String
        var port: UInt16
    }

    private var counts: [Case: Int] = [:]
    private(set) var skipped = Skipped()
    private(set) var flows = 0
    /// Connections that the proxy has carried, whose requests are in no flow record.
    private(set) var carried = 0

    /// Flows that nothing is said about, by why.
    struct Skipped: Equatable {
        var datagrams = 0
        /// They led to no workload.
        var outside = 0
        /// The configuration does not have one of their ends.
        var unknown = 0

        var count: Int { datagrams + outside + unknown }
    }

    init(_ snapshot: MeshSnapshot) {
        explainer = PolicyExplainer(snapshot)
        known = Set(snapshot.workloads.keys.map(\.description))
        places = Self.places(snapshot)
    }

    /// Where the requests of each service's ports may go, `namespace/name:port`.
    private static func places(_ snapshot: MeshSnapshot) -> [String: [Place]] {
        var places: [String: [Place]] = [:]
        for service in snapshot.services.values {
            for port in service.ports where port.transport == .tcp {
                var found: [Place] = []
                for case .service(let name, let number, _) in service.targets(of: port) {
                    let target = snapshot.services[name]?.ports.first { $0.port == number && $0.transport == .tcp }
                    for endpoint in target?.endpoints ?? [] {
                        guard let workload = endpoint.workload else { continue }
                        found.append(Place(workload: workload.description, port: endpoint.port))
                    }
                }
                places["\(service.name):\(port.port)"] = found
            }
        }
        return places
    }

    mutating func add(_ line: FlowLine) {
        flows += 1
        guard line.transport == "tcp" else {
            skipped.datagrams += 1
            return
        }
        guard line.from.map(known.contains) ?? true else {
            skipped.unknown += 1
            return
        }
        let source = line.sourceAddress.flatMap { Endpoint($0) }.map { "\($0.address)" }
        // What has failed otherwise was allowed.
        var flow = Case(
            from: line.from, sourceAddress: source, destination: "", port: 0,
            wasDenied: ["denied", "ended_by_policy"].contains(line.event))
        if line.lane == "proxy", let service = line.to {
            guard places[service] != nil else {
                skipped.unknown += 1
                return
            }
            (flow.destination, flow.isCarried) = (service, true)
            carried += 1
        } else if let destination = line.destination, let port = port(of: line, destination) {
            guard known.contains(destination) else {
                skipped.unknown += 1
                return
            }
            (flow.destination, flow.port) = (destination, port)
        } else {
            skipped.outside += 1
            return
        }
        counts[flow, default: 0] += 1
    }

    /// The port of the workload that a connection has led to.
    private func port(of line: FlowLine, _ destination: String) -> UInt16? {
        guard line.lane == "tunnel", line.reporter == "source" else {
            return line.peerAddress.flatMap { Endpoint($0) }?.port
        }
        // Its peer is the agent of its own node.
        guard let service = line.to else { return line.serviceAddress.flatMap { Endpoint($0) }?.port }
        return places[service]?.first { $0.workload == destination }?.port
    }

    /// What decides about a connection. One that is carried needs every place that its requests may go to.
    private func account(of flow: Case) throws(InquiryProblem) -> (isAllowed: Bool, rule: String?) {
        guard flow.isCarried else { return try account(of: flow, at: flow.destination, flow.port) }
        var allowing: String?
        for place in places[flow.destination] ?? [] {
            let account = try account(of: flow, at: place.workload, place.port)
            guard account.isAllowed else { return account }
            allowing = account.rule
        }
        return (true, allowing)
    }

    private func account(
        of flow: Case, at workload: String, _ port: UInt16
    ) throws(InquiryProblem) -> (isAllowed: Bool, rule: String?) {
        let account = try explainer.explain(
            PolicyInquiry(from: flow.from, sourceAddress: flow.sourceAddress, to: workload, port: port))
        return (account.isAllowed, account.layers.last?.rule)
    }

    /// What would be decided otherwise, the most frequent first.
    func changes() throws(InquiryProblem) -> [Change] {
        var changes: [Change] = []
        for (flow, count) in counts {
            let account = try account(of: flow)
            guard account.isAllowed == flow.wasDenied else { continue }
            changes.append(Change(flow: flow, flows: count, rule: account.rule))
        }
        return changes.sorted {
            ($1.flows, $0.flow.destination, $0.flow.from ?? "", $0.flow.sourceAddress ?? "", $0.flow.port)
                < ($0.flows, $1.flow.destination, $1.flow.from ?? "", $1.flow.sourceAddress ?? "", $1.flow.port)
        }
    }
}

extension FlowBacktest {
    /// How many flows there were, and how many of them were looked at only in part or not at all.
    var summary: String {
        var parts = ["\(flows) flows"]
        if carried > 0 { parts.append("\(carried) carried by the proxy, without their requests") }
        let left = [
            (skipped.outside, "to no workload"), (skipped.unknown, "of workloads or services that it does not have"),
            (skipped.datagrams, "of datagrams"),
        ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        if skipped.count > 0 { parts.append("\(skipped.count) skipped: \(left.joined(separator: ", "))") }
        return parts.joined(separator: "; ")
    }
}

extension FlowBacktest.Change {
    var record: Record {
        Record([
            Field("flows", Value(flows)),
            Field("from", .optional(flow.from), text: flow.from ?? "unknown"),
            Field("source_address", .optional(flow.sourceAddress), title: "ADDRESS", text: flow.sourceAddress ?? "-"),
            Field("to", .string(flow.destination)),
            Field("port", flow.isCarried ? .null : Value(flow.port), text: flow.isCarried ? "-" : nil),
            Field("was", .string(flow.wasDenied ? "denied" : "allowed")),
            Field(
                "would_be", .string(flow.wasDenied ? "allowed" : "denied"), title: "WOULD BE",
                style: flow.wasDenied ? .caution : .bad),
            Field("rule", .optional(rule), text: rule ?? "-"),
        ])
    }
}
