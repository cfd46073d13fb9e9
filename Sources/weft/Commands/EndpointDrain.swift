import ArgumentParser

extension EndpointCommand {
    struct Drain: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give an endpoint no more connections, and end its open ones at a deadline.",
            discussion: """
                The agent keeps the drain until it is undone, over changes of the configuration too. \
                'weft endpoint list' shows its progress.

                EXAMPLES
                  weft endpoint drain shop/web 10.0.0.7:8080
                  weft endpoint drain shop/web 10.0.0.7:8080 --deadline 5m --wait
                  weft endpoint drain shop/web 10.0.0.7:8080 --undo
                """)

        @Argument(help: ArgumentHelp("The service.", valueName: "namespace/name"))
        var service: String

        @Argument(help: ArgumentHelp("The endpoint.", valueName: "address:port"))
        var endpoint: String

        @Option(help: "When connections that are still open are ended: 30s, 5m, 1h.")
        var deadline = "30s"

        @Flag(help: "Wait until no connection is left, and show the progress.")
        var wait = false

        @Flag(help: "Let the endpoint have connections again.")
        var undo = false

        @OptionGroup var runtime: RunOptions
        @OptionGroup var format: OutputOptions

        func validate() throws {
            guard Endpoint(endpoint) != nil else {
                throw ValidationError("'\(endpoint)' is not an address and port, such as 10.0.0.7:8080.")
            }
            guard parseDuration(deadline) != nil else {
                throw ValidationError("'\(deadline)' is not a duration, such as 30s, 5m or 1h30m.")
            }
            if undo && wait { throw ValidationError("--undo and --wait exclude each other.") }
        }

        func run() throws {
            let agent = AdminClient(runDirectory: runtime.directory)
            let host = Endpoint(endpoint)?.host ?? endpoint
            var body: Value.Object = ["service": .string(service), "endpoint": .string(host)]
            if !undo { body["deadlineSeconds"] = Value(Int64((parseDuration(deadline)?.seconds ?? 0).rounded(.up))) }
            let target = "/v1/endpoints/drain"
            let response = try agent.request(
                undo ? "DELETE" : "POST", target, body: Array(Value.object(body).json(indented: false).utf8))
            try agent.check(response, target)
            if wait { try follow(agent, host) }

            let state = undo ? "active" : wait ? "drained" : "draining"
            let answer: Value = ["service": .string(service), "endpoint": .string(host), "state": .string(state)]
            format.print(answer) { _ in
                switch state {
                case "active": "\(host) of \(service) takes connections again\n"
                case "drained": "\(host) of \(service) is drained: no connection is left\n"
                default: "\(host) of \(service) gets no more connections; open ones end in \(deadline) at the latest\n"
                }
            }
        }

        /// Reports until the endpoint has no connection any more.
        private func follow(_ agent: AdminClient, _ host: String) throws {
            var progress = ProgressLine()
            defer { progress.finish() }
            while true {
                let drains = try agent.get("/v1/drains", as: [AgentDrain].self)
                // An endpoint is there once for each port and address family of the service.
                let own = drains.filter { $0.endpoint == host && isSameService($0.service) }
                let count = own.reduce(0) { $0 + $1.connectionsLeft }
                guard count > 0 else { return }
                let left = formatWholeSeconds(own.map(\.deadlineSeconds).max()?.rounded(.up) ?? 0)
                progress.show("\(host): \(count) connection\(count == 1 ? "" : "s") left, ended in \(left)")
                pause(.milliseconds(250))
            }
        }

        /// The agent may name the port of the service too.
        private func isSameService(_ name: String) -> Bool { name == service || name.hasPrefix(service + ":") }
    }
}
