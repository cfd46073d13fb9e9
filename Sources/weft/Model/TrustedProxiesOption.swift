import ArgumentParser

/// What an agent has been told of proxies in front of the mesh, for questions that are asked of none.
struct TrustedProxiesOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "With --config: --trusted-proxies of the agent (0). An agent that is asked uses its own.",
            valueName: "count"
        ))
    var trustedProxies: Int?

    var count: Int { trustedProxies ?? 0 }

    func check(_ config: String?) throws {
        guard let trustedProxies else { return }
        guard config != nil else {
            throw ValidationError("--trusted-proxies goes with --config: an agent has its own.")
        }
        guard (0...100).contains(trustedProxies) else {
            throw ValidationError("--trusted-proxies: \(trustedProxies) is not a number from 0 to 100.")
        }
    }
}
