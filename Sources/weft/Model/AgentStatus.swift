import FoundationEssentials
import Mesh

/// `GET /v1/status` of the agent's admin API.
struct AgentStatus: Decodable {
    var agent: Agent
    var objects: [ObjectStatus]
    var errors: [ConfigurationError]

    struct Agent: Decodable {
        var version: String
        var pid: Int
        var node: String
        var generation: UInt64
        var startedAt: String
        var pinDirectory: String
        var cgroup: String
    }

    struct ConfigurationError: Decodable {
        var file: String
        var line: Int?
        var document: Int?
        var path: String?
        var message: String
    }
}

/// `GET /v1/drains`.
struct AgentDrain: Decodable {
    var service: String
    var endpoint: String
    /// Seconds until open connections are ended.
    var deadlineSeconds: Double
    var connectionsLeft: Int
}

extension AgentStatus.ConfigurationError {
    /// `file:line: document N: path: message`, without what is not known.
    var text: String {
        var place = line.flatMap { $0 > 0 ? "\(file):\($0)" : nil } ?? file
        if let document, document > 0 { place += ": document \(document)" }
        return path.flatMap { $0.isEmpty ? nil : $0 }.map { "\(place): \($0): \(message)" } ?? "\(place): \(message)"
    }

    var value: Value {
        [
            "file": .string(file), "line": line.map { Value($0) } ?? .null,
            "document": document.map { Value($0) } ?? .null, "path": .optional(path),
            "message": .string(message),
        ]
    }
}

extension AdminClient {
    /// Gets a JSON answer.
    func get<Answer: Decodable>(_ target: String, as type: Answer.Type) throws(Failure) -> Answer {
        let response = try request("GET", target)
        try check(response, target)
        do {
            return try JSONDecoder().decode(type, from: Data(response.body))
        } catch {
            throw .unknown("the agent's answer to \(target) is not understood (is it of another version?): \(error)")
        }
    }

    /// Orders something without a body, and gets a JSON answer.
    func post<Answer: Decodable>(_ target: String, as type: Answer.Type, seconds: Int) throws(Failure) -> Answer {
        let response = try request("POST", target, seconds: seconds)
        try check(response, target)
        do {
            return try JSONDecoder().decode(type, from: Data(response.body))
        } catch {
            throw .unknown("the agent's answer to \(target) is not understood (is it of another version?): \(error)")
        }
    }

    /// Turns a status other than 2xx into the error that it carries.
    func check(_ response: Response, _ target: String) throws(Failure) {
        guard !(200...299).contains(response.status) else { return }
        let message = (try? JSONDecoder().decode(AgentError.self, from: Data(response.body)))?.error
        let text = message ?? "the agent answered \(target) with status \(response.status)"
        throw response.status < 500 ? .no(text) : .unknown(text)
    }
}

private struct AgentError: Decodable {
    var error: String
}
