import Doctor
import FoundationEssentials
import KernelPlane

/// What the admin API says of the accelerated lane's ground.
extension AdminAPI {
    private struct Answer: Encodable {
        var lane: AccelerationState
        /// Whether probes are being made.
        var isRunning: Bool
        /// Why they could not be made.
        var problem: String?
        var enablesAcceleration: Bool
        /// nil until somebody needs it.
        var report: BehaviourReport?
    }

    func probes(_ request: HTTPRequest) -> HTTPResponse {
        switch request.method {
        case .get: return Self.json(200, probes)
        case .post:
            let agent = agent
            return .stream(contentType: "application/json") { stream in
                agent.behaviour.run { [self] in
                    stream.write(Self.encode(probes))
                    stream.end()
                }
            }
        case .delete: return .methodNotAllowed([.get, .post])
        }
    }

    private var probes: Answer {
        let behaviour = agent.behaviour
        return Answer(
            lane: agent.accelerationState, isRunning: behaviour.isRunning,
            problem: agent.plane.redirectProblem ?? behaviour.problem,
            enablesAcceleration: agent.laneProblem == nil, report: behaviour.report)
    }

    private static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { Array($0) } ?? []
    }
}
