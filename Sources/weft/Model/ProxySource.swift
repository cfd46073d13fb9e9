import ConfigSources
import FoundationEssentials
import Mesh
import Proxy

/// Where questions about the proxy lane are answered: by the agent, or from a configuration directory without one.
enum ProxySource {
    case agent(AdminClient)
    /// - Parameter trustedProxies: of an agent that would have it.
    case snapshot(MeshSnapshot, trustedProxies: Int = 0)

    /// - Parameter config: a directory; nil: the agent is asked.
    init(config: String?, _ run: RunOptions, trustedProxies: Int = 0) throws(Failure) {
        guard let config else {
            self = .agent(AdminClient(runDirectory: run.directory))
            return
        }
        self = .snapshot(try Self.snapshot(of: config), trustedProxies: trustedProxies)
    }

    /// What a configuration directory means.
    static func snapshot(of config: String) throws(Failure) -> MeshSnapshot {
        let outcome = ConfigSources.validate(directory: config, options: MeshOptions(node: ""))
        guard let snapshot = outcome.snapshot else {
            let first = outcome.errors.first.map { "\($0)" } ?? "it cannot be read"
            throw .no("the configuration in \(config) is not valid: \(first)")
        }
        return snapshot
    }

    func routes(of service: ObjectName) throws(Failure) -> [RouteListing] {
        switch self {
        case .agent(let client):
            return try client.get("/v1/routes?service=\(service)", as: [RouteListing].self)
        case .snapshot(let snapshot, _):
            guard let ports = RouteListing.of(service, in: snapshot) else {
                throw .no("there is no service \(service)")
            }
            return ports
        }
    }

    private static func ask<Answer: Decodable>(
        _ client: AdminClient, _ path: String, _ question: some Encodable
    ) throws(Failure) -> Answer {
        guard let body = try? JSONEncoder().encode(question) else { throw .usage("the question cannot be written") }
        let response = try client.request("POST", path, body: Array(body))
        try client.check(response, path)
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(response.body))
        } catch {
            throw .unknown("the agent's answer is not understood (is it of another version?): \(error)")
        }
    }

    func test(_ inquiry: PolicyInquiry) throws(Failure) -> PolicyAccount {
        switch self {
        case .agent(let client): return try Self.ask(client, "/v1/policy/test", inquiry)
        case .snapshot(let snapshot, let trustedProxies):
            do throws(InquiryProblem) {
                return try PolicyExplainer(snapshot, trustedHops: trustedProxies).explain(inquiry)
            } catch {
                throw .no("\(error)")
            }
        }
    }

    func explain(_ inquiry: RequestInquiry) throws(Failure) -> RequestAccount {
        switch self {
        case .agent(let client): return try Self.ask(client, "/v1/explain", inquiry)
        case .snapshot(let snapshot, let trustedProxies):
            do throws(InquiryProblem) {
                return try RequestExplainer(snapshot, trustedHops: trustedProxies).explain(inquiry)
            } catch {
                throw .no("\(error)")
            }
        }
    }
}

/// `GET /v1/clusters`.
struct AgentCluster: Decodable {
    struct Endpoint: Decodable {
        var endpoint: String
        var workload: String?
        var weight: Int
        var state: String
        var activeRequests: Int
        var averageMilliseconds: Double?
        var requests: UInt64
        var failures: UInt64
        var ejections: UInt64
    }

    var service: String
    var port: Int
    var subset: String?
    var endpoints: [Endpoint]
}
