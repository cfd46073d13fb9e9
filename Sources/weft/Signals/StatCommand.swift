import ArgumentParser

struct StatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stat", abstract: "Requests, success, latency and connections of services, workloads or routes.",
        discussion: """
            Services are shown as this node's clients have seen them, and what came to them from outside of the node; \
            workloads as they have served, those of other nodes as this node's clients have seen them. MESHED is how \
            many of a service's endpoints are workloads that take connections, of all.

            \(SignalOptions.success) \(SignalOptions.percentiles)

            \(SignalOptions.absence)

            Exit status: 0 printed; 1 there is no such service or workload; 3 neither an agent nor its maps are there.

            EXAMPLES
              weft stat                              every service, over the last minute
              weft stat workloads -n shop            what each workload of a namespace has served
              weft stat shop/web -o wide             one service, with bytes, RTT, refusals and lanes
              weft stat routes shop/web --window 5m
              weft stat --acceleration               what went from socket to socket, what did not and why, and its worth
              weft stat -o json | jq -r '.[] | select(.success < 0.99) | .name'
            """)

    enum Subject: String, CaseIterable {
        case service, workload, route

        /// By its name, in the singular or the plural, or as Kubernetes' users abbreviate it.
        init?(named text: String) {
            guard let subject = Self.allCases.first(where: { [$0.rawValue, $0.rawValue + "s"].contains(text) }) else {
                guard text == "svc" else { return nil }
                self = .service
                return
            }
            self = subject
        }
    }

    @Argument(help: "What is looked at: services, workloads or routes.")
    var subject: String = "services"

    @Argument(help: ArgumentHelp("Only this one: NAMESPACE/NAME, or NAME; of routes, its service.", valueName: "name"))
    var name: String?

    @Flag(
        help: """
            What the accelerated lane is worth, by destination, since the maps were made: shares of connections and bytes, mean \
            latency beside that of the few connections that stay with TCP, and why others do.
            """)
    var acceleration = false

    @Option(name: .shortAndLong, help: "Only of this namespace.")
    var namespace: String?

    @Option(name: .shortAndLong, help: "Print a table, a wide one, or everything as JSON or YAML.")
    var output: SignalFormat = .table

    @OptionGroup var options: SignalOptions

    mutating func validate() throws {
        if Subject(named: subject) == nil, name == nil, subject.contains("/") {
            name = subject
            subject = "services"
        }
        guard Subject(named: subject) != nil else {
            throw ValidationError("'\(subject)' is not services, workloads or routes.")
        }
        guard let name, let slash = name.firstIndex(of: "/") else { return }
        guard name[name.index(after: slash)...].allSatisfy({ $0 != "/" }), name.first != "/", name.last != "/" else {
            throw ValidationError("'\(name)' is neither NAME nor NAMESPACE/NAME.")
        }
        guard namespace == nil || namespace == String(name[..<slash]) else {
            throw ValidationError("'\(name)' is not in the namespace that -n names.")
        }
    }

    func run() throws {
        if acceleration {
            return OutputOptions.print(
                try AccelerationReport(options.pins.directory).records(namespace: namespace, name: name),
                as: output.format,
                empty: "no connection that could be accelerated")
        }
        let request = StatRequest(
            subject: Subject(named: subject) ?? .service, namespace: namespace, name: name, seconds: options.seconds)
        let answer = try options.stat(request)
        if let name, answer.rows.isEmpty, request.subject != .route {
            throw Failure.no("there is no \(request.subject.rawValue) \(name)")
        }
        OutputOptions.print(
            answer.rows.map { $0.record(isWide: output == .wide) }, as: output.format,
            empty: request.subject == .route ? "no request in \(options.window)" : "no \(request.subject.rawValue)s")
    }
}

/// What is asked of `/v1/stat`.
struct StatRequest {
    var subject: StatCommand.Subject
    var namespace: String?
    /// `name` or `namespace/name`.
    var name: String?
    var seconds: Double

    var target: String {
        var target = "/v1/stat?by=\(subject.rawValue)&window=\(fixed(seconds, decimals: 3))"
        let parts = name?.split(separator: "/", maxSplits: 1).map(String.init) ?? []
        if let namespace = namespace ?? (parts.count == 2 ? parts.first : nil) {
            target += "&namespace=\(queryEscaped(namespace))"
        }
        if let last = parts.last { target += "&name=\(queryEscaped(last))" }
        return target
    }
}
