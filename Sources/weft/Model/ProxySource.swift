import ConfigSources
import FoundationEssentials
import Mesh
import Proxy

/// Where questions about the proxy lane are answered: by the agent, or from a configuration directory without one.
enum ProxySource {
    case agent(AdminClient)
    case snapshot(MeshSnapshot)

    /// - Parameter config: a directory; nil: the agent is asked.
    init(config: String?, _ run: RunOptions) throws(Failure) {
        guard let config else {
            self = .agent(AdminClient(runDirectory: run.directory))
            return
        }
        let outcome = ConfigSources.validate(directory: config, options: MeshOptions(node: ""))
        guard let snapshot = outcome.snapshot else {
            let first = outcome.errors.first.map { "\($0)" } ?? "it cannot be read"
            throw .no("the configuration in \(config) is not valid: \(first)")
        }
        self = .snapshot(snapshot)
    }

    func routes(of service: ObjectName) throws(Failure) -> [RouteListing] {
        switch self {
        case .agent(let client):
            return try client.get("/v1/routes?service=\(service)", as: [RouteListing].self)
        case .snapshot(let snapshot):
            guard let ports = RouteListing.of(service, in: snapshot) else {
                throw .no("there is no service \(service)")
            }
            return ports
        }
    }

    func explain(_ inquiry: RequestInquiry) throws(Failure) -> RequestAccount {
        switch self {
        case .agent(let client):
            guard let body = try? JSONEncoder().encode(inquiry) else { throw .usage("the request cannot be written") }
            let response = try client.request("POST", "/v1/explain", body: Array(body))
            try client.check(response, "/v1/explain")
            do {
                return try JSONDecoder().decode(RequestAccount.self, from: Data(response.body))
            } catch {
                throw .unknown("the agent's answer is not understood (is it of another version?): \(error)")
            }
        case .snapshot(let snapshot):
            do throws(InquiryProblem) {
                return try RequestExplainer(snapshot).explain(inquiry)
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
