import ArgumentParser

/// What commands about the golden signals have in common.
struct SignalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The time that the numbers stand for: 10s, 5m; at most 15m.", valueName: "duration"))
    var window = "60s"

    @OptionGroup var pins: PinOptions
    @OptionGroup var runtime: RunOptions

    /// What every one of them has to say of its percentiles.
    static let percentiles = """
        Percentiles come from histograms: they lie in the right bucket, so they are off by less than its width, which is \
        at most half the value from 20µs to 10ms and at most the value itself above (10µs below 50µs).
        """

    /// What counts as a success.
    static let success = """
        Success is Linkerd's and Istio's: a status of 500 or more, or an answer that the server broke off, is a failure; a \
        request whose client went away first counts neither way.
        """

    /// What is shown while no agent runs.
    static let absence = """
        While no agent runs, what the kernel has counted since its maps were made is shown, without a rate; requests that \
        the agent carried are not among it.
        """

    func validate() throws {
        guard let duration = parseDuration(window), (1.0...900).contains(duration.seconds) else {
            throw ValidationError("'\(window)' is not a window between 1s and 15m, such as 30s or 5m.")
        }
    }

    var seconds: Double { parseDuration(window)?.seconds ?? 60 }

    func stat(_ request: StatRequest) throws -> StatAnswer {
        let agent = AdminClient(runDirectory: runtime.directory)
        guard !agent.isThere else { return try agent.get(request.target, as: StatAnswer.self) }
        guard request.subject != .route else {
            throw Failure.unknown("no agent answers at \(agent.path), and only an agent counts by route: start weftd")
        }
        return try pinned(agent).stat(request)
    }

    func graph() throws -> GraphAnswer {
        let agent = AdminClient(runDirectory: runtime.directory)
        guard !agent.isThere else {
            return try agent.get("/v1/graph?window=\(fixed(seconds, decimals: 3))", as: GraphAnswer.self)
        }
        return try pinned(agent).graph
    }

    private func pinned(_ agent: AdminClient) throws -> PinnedSignals {
        let signals = try PinnedSignals(pins.directory)
        Console.error("no agent answers at \(agent.path): what the kernel has counted since its maps were made")
        return signals
    }
}

/// How commands about the golden signals print.
enum SignalFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table, wide, json, yaml

    var format: OutputFormat {
        switch self {
        case .table, .wide: .table
        case .json: .json
        case .yaml: .yaml
        }
    }
}

/// The text with what a query of a URL cannot hold escaped (RFC 3986 §2.1).
func queryEscaped(_ text: String) -> String {
    let hexadecimal = Array("0123456789ABCDEF")
    return text.utf8.reduce(into: "") { escaped, byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            escaped.append(Character(Unicode.Scalar(byte)))
        default:
            escaped.append("%")
            escaped.append(hexadecimal[Int(byte >> 4)])
            escaped.append(hexadecimal[Int(byte & 15)])
        }
    }
}
