import FoundationEssentials

/// `GET /v1/status` of the agent's admin API.
struct AgentStatus: Decodable {
    var agent: Agent
    var objects: [Object]
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

    struct Object: Decodable {
        var apiVersion: String
        var kind: String
        var metadata: Metadata
        var status: Status
    }

    struct Metadata: Decodable {
        var name: String
        var namespace: String?
    }

    struct Status: Decodable {
        var conditions: [Condition]?
    }

    struct Condition: Decodable {
        var type: String
        var status: String
        var reason: String?
        var message: String?
        var lastTransitionTime: String?
        var observedGeneration: Int64?
    }

    struct ConfigurationError: Decodable {
        var file: String
        var line: Int?
        var path: String?
        var message: String
    }
}

/// `GET /v1/drains`.
struct AgentDrain: Decodable {
    var service: String
    var endpoint: String
    var deadline: String?
    var connectionsLeft: Int
    var state: String
}

extension AgentStatus.Object {
    var name: String { metadata.namespace.map { "\($0)/\(metadata.name)" } ?? metadata.name }

    var value: Value {
        var metadata: Value.Object = ["name": .string(self.metadata.name)]
        metadata["namespace"] = self.metadata.namespace.map(Value.string)
        return [
            "apiVersion": .string(apiVersion), "kind": .string(kind), "metadata": .object(metadata),
            "status": ["conditions": .array((status.conditions ?? []).map(\.value))],
        ]
    }
}

extension AgentStatus.Condition {
    var value: Value {
        var object: Value.Object = ["type": .string(type), "status": .string(status)]
        object["reason"] = reason.map(Value.string)
        object["message"] = message.map(Value.string)
        object["lastTransitionTime"] = lastTransitionTime.map(Value.string)
        object["observedGeneration"] = observedGeneration.map { Value($0) }
        return .object(object)
    }

    /// Conditions such as `Accepted` are good when they are True; those that name a trouble when they are False.
    var isTrouble: Bool {
        let namesTrouble = type.hasSuffix("Conflicted") || type.hasSuffix("Overflow") || type.hasSuffix("Failed")
        return status == (namesTrouble ? "True" : "False")
    }
}

extension AgentStatus.ConfigurationError {
    /// `file:line: path: message`.
    var text: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return path.flatMap { $0.isEmpty ? nil : $0 }.map { "\(place): \($0): \(message)" } ?? "\(place): \(message)"
    }

    var value: Value {
        [
            "file": .string(file), "line": line.map { Value($0) } ?? .null, "path": .optional(path),
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
