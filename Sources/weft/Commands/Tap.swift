import ArgumentParser
import Telemetry

struct Tap: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show requests as they happen.",
        discussion: """
            Requests of the kernel lane are read where they pass, those of the proxy lane are the agent's own. Each has \
            two lines: 'req' when its head has been read and 'rsp' when it has ended; with --status, and in the proxy \
            lane, both come at its end. Nothing is measured or sent while nobody looks. RESOURCE is a workload or a \
            service, at either end.

            EXAMPLES
              weft tap                                     everything, up to 100 requests a second
              weft tap shop/web                            what web asks, and what it is asked
              weft tap --from shop/client --path /cart --method POST
              weft tap --namespace shop --status 5xx --max-rps 1000
              weft tap -o json | jq -c 'select(.duration_us > 100000)'
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case wide, json
    }

    @Argument(help: ArgumentHelp("A workload or a service, at either end.", valueName: "namespace/name"))
    var resource: String?

    @Option(help: ArgumentHelp("Only of this client workload, or SPIFFE id.", valueName: "namespace/name"))
    var from: String?

    @Option(help: ArgumentHelp("Only to this service or workload.", valueName: "namespace/name"))
    var to: String?

    @Option(help: ArgumentHelp("Only to this service.", valueName: "namespace/name"))
    var service: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Only with either end in this namespace.", valueName: "name"))
    var namespace: String?

    @Option(help: "Only with this method.")
    var method: String?

    @Option(help: ArgumentHelp("Only with a path that begins so.", valueName: "prefix"))
    var path: String?

    @Option(help: ArgumentHelp("Only with this status, or a status of this class.", valueName: "503|5xx"))
    var status: String?

    @Option(help: "Only of this lane.")
    var lane: Flows.Lane?

    @Option(
        help: ArgumentHelp(
            "Show at most so many requests a second, 1 to \(TapFilter.mostPerSecond).", valueName: "count"))
    var maxRps: UInt32 = 100

    @Option(name: .shortAndLong, help: "wide: with workloads and services beside addresses; json: all that is known.")
    var output: Format?

    @OptionGroup var runtime: RunOptions

    func validate() throws {
        if let status, TapFilter.status(status) == nil {
            throw ValidationError("'\(status)' is not a status or a class such as 5xx.")
        }
        guard (1...TapFilter.mostPerSecond).contains(maxRps) else {
            throw ValidationError("--max-rps is a number from 1 to \(TapFilter.mostPerSecond).")
        }
    }

    /// What the agent is asked for.
    var target: String {
        let parameters: [(String, String?)] = [
            ("max_rps", "\(maxRps)"), ("resource", resource), ("from", from), ("to", to), ("service", service),
            ("namespace", namespace), ("method", method), ("path", path), ("status", status), ("lane", lane?.rawValue),
        ]
        let given = parameters.compactMap { name, value in value.map { "\(name)=\(percentEncoded($0))" } }
        return "/v1/tap?" + given.joined(separator: "&")
    }

    func run() throws {
        let agent = AdminClient(runDirectory: runtime.directory)
        var splitter = LineSplitter()
        var refusal: [UInt8] = []
        var failure: Failure?
        let status = try agent.stream("GET", target, seconds: 0) { status, bytes in
            guard status == 200 else { return refusal += bytes }
            for line in splitter.lines(in: bytes) {
                do throws(Failure) {
                    try show(line)
                } catch {
                    failure = failure ?? error
                }
            }
        }
        try agent.check(AdminClient.Response(status: status, body: refusal), "/v1/tap")
        throw failure ?? Failure.unknown("the agent ended")
    }

    private func show(_ bytes: [UInt8]) throws(Failure) {
        if output == .json { return Console.line(String(decoding: bytes, as: UTF8.self)) }
        let line = try TapLine(bytes)
        if let text = line.text(isWide: output == .wide) { return Console.line(text) }
        if let count = line.overRate, count > 0 {
            Console.error("\(count) more requests in this second than --max-rps \(maxRps)")
        }
        if let count = line.lost, count > 0 { Console.error("\(count) events were lost on their way") }
    }
}
