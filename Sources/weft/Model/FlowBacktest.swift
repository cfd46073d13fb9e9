import Mesh
import Proxy

/// Recorded flows under other policies.
struct FlowBacktest {
    /// What decides about a flow.
    struct Case: Hashable {
        /// nil: no identity.
        var from: String?
        var sourceAddress: String?
        var destination: String
        var port: UInt16
        var wasDenied: Bool
    }

    struct Change: Equatable {
        var flow: Case
        var flows: Int
        /// That would decide; nil: none.
        var rule: String?
    }

    private let explainer: PolicyExplainer
    private let known: Set<String>
    private var counts: [Case: Int] = [:]
    /// Flows that no policy decides about: no connection to a workload, or one that the configuration does not have.
    private(set) var skipped = 0
    private(set) var flows = 0

    init(_ snapshot: MeshSnapshot) {
        explainer = PolicyExplainer(snapshot)
        known = Set(snapshot.workloads.keys.map(\.description))
    }

    mutating func add(_ line: FlowLine) {
        flows += 1
        // What has failed otherwise was allowed; requests and what no workload gets are not policy's business here.
        guard line.transport == "tcp", let destination = line.destination, known.contains(destination),
            line.from.map(known.contains) ?? true, let peer = line.peerAddress.flatMap({ Endpoint($0) })
        else {
            skipped += 1
            return
        }
        let source = line.sourceAddress.flatMap { Endpoint($0) }.map { "\($0.address)" }
        let flow = Case(
            from: line.from, sourceAddress: source, destination: destination, port: peer.port,
            wasDenied: ["denied", "ended_by_policy"].contains(line.event))
        counts[flow, default: 0] += 1
    }

    /// What would be decided otherwise, the most frequent first.
    func changes() throws(InquiryProblem) -> [Change] {
        var changes: [Change] = []
        for (flow, count) in counts {
            let account = try explainer.explain(
                PolicyInquiry(
                    from: flow.from, sourceAddress: flow.sourceAddress, to: flow.destination, port: flow.port))
            guard account.isAllowed == flow.wasDenied else { continue }
            changes.append(Change(flow: flow, flows: count, rule: account.layers.last?.rule))
        }
        return changes.sorted {
            ($1.flows, $0.flow.destination, $0.flow.from ?? "", $0.flow.sourceAddress ?? "", $0.flow.port)
                < ($0.flows, $1.flow.destination, $1.flow.from ?? "", $1.flow.sourceAddress ?? "", $1.flow.port)
        }
    }
}

extension FlowBacktest.Change {
    var record: Record {
        Record([
            Field("flows", Value(flows)),
            Field("from", .optional(flow.from), text: flow.from ?? "unknown"),
            Field("source_address", .optional(flow.sourceAddress), title: "ADDRESS", text: flow.sourceAddress ?? "-"),
            Field("to", .string(flow.destination)),
            Field("port", Value(flow.port)),
            Field("was", .string(flow.wasDenied ? "denied" : "allowed")),
            Field(
                "would_be", .string(flow.wasDenied ? "allowed" : "denied"), title: "WOULD BE",
                style: flow.wasDenied ? .caution : .bad),
            Field("rule", .optional(rule), text: rule ?? "-"),
        ])
    }
}
