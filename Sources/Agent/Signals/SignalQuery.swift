import Telemetry

/// What a request asks of the golden signals.
struct SignalQuery {
    enum Subject: String, CaseIterable {
        case service, workload, route
    }

    struct Invalid: Error, CustomStringConvertible {
        var description: String
    }

    var subject = Subject.service
    /// Nanoseconds.
    var window: UInt64 = 60_000_000_000
    var namespace: String?
    var name: String?
    /// Of history.
    var seconds = 3600

    /// - Parameter known: the parameters that there are.
    init(_ request: HTTPRequest, _ known: [String]) throws(Invalid) {
        for (parameter, value) in request.query {
            guard known.contains(parameter) else {
                throw Invalid(
                    description: "there is no parameter \(parameter); there is \(known.joined(separator: ", "))")
            }
            switch parameter {
            case "by":
                guard let subject = Subject(rawValue: value) else {
                    throw Invalid(description: "by has to be service, workload or route, and is '\(value)'")
                }
                self.subject = subject
            case "window":
                let longest = Double(GoldenSignals.longestWindow) / 1e9
                guard let window = Double(value), window >= 1, window <= longest else {
                    throw Invalid(description: "window has to be seconds between 1 and \(Int(longest))")
                }
                self.window = UInt64(window * 1e9)
            case "seconds":
                guard let seconds = Int(value), (10...3600).contains(seconds) else {
                    throw Invalid(description: "seconds has to be between 10 and 3600")
                }
                self.seconds = seconds
            case "namespace": namespace = value
            default: name = value
            }
        }
    }

    func selects(_ candidate: ServiceName) -> Bool {
        (namespace ?? candidate.namespace) == candidate.namespace && (name ?? candidate.name) == candidate.name
    }
}
