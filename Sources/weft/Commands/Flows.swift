import ArgumentParser
import BPF
import FoundationEssentials
import KernelPlane
import Telemetry

struct Flows: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show connections that ended, failed or were refused.",
        discussion: """
            The running agent is asked; it keeps the last records. Without an agent they are read from the kernel's \
            queue, and --follow takes them from it; what the agent has written to disk (weftd --flow-log) is read with \
            --file. Times are UTC. With -o json each line is an object with all that \
            is known of the connection.

            EXAMPLES
              weft flows                             the last connections
              weft flows --follow --denied           refusals as they happen
              weft flows --denied --lane tunnel      whom did a policy refuse that came from another node?
              weft flows --to shop/web --since 5m -n 1000
              weft flows --http-status 5xx --namespace shop
              weft flows -f -o json | jq -c 'select(.duration_us > 1e6)'
              weft flows --file flows.json.1 --file flows.json --denied
            """)

    @Flag(name: .shortAndLong, help: "Go on with new ones until Ctrl-C.")
    var follow = false

    @Flag(help: "Only what a policy refused, or ended.")
    var denied = false

    @Option(help: ArgumentHelp("Only of this client workload, or SPIFFE id.", valueName: "namespace/name"))
    var from: String?

    @Option(help: ArgumentHelp("Only to this service or workload.", valueName: "namespace/name"))
    var to: String?

    @Option(help: ArgumentHelp("Only to this service.", valueName: "namespace/name"))
    var service: String?

    @Option(help: ArgumentHelp("Only with either end in this namespace.", valueName: "name"))
    var namespace: String?

    @Option(
        help: ArgumentHelp(
            "Only with a first answer of this class; a status stands for its class.", valueName: "5xx"))
    var httpStatus: String?

    @Option(help: "Only of this lane.")
    var lane: Lane?

    @Option(help: ArgumentHelp("Only those that ended in the last 30s, 5m, 2h.", valueName: "duration"))
    var since: String?

    @Option(name: .short, help: ArgumentHelp("The last so many; 20 of those before --follow.", valueName: "count"))
    var number: Int?

    @Option(
        help: ArgumentHelp("Records on disk instead of the agent's; may be given several times.", valueName: "path"))
    var file: [String] = []

    @OptionGroup var pins: PinOptions
    @OptionGroup var runtime: RunOptions
    @OptionGroup var format: OutputOptions

    enum Lane: String, ExpressibleByArgument, CaseIterable {
        case passthrough, kernel, accelerated, shortcut, tunnel, proxy
    }

    func validate() throws {
        if let since, parseDuration(since) == nil {
            throw ValidationError("'\(since)' is not a duration, such as 30s, 5m or 2h.")
        }
        if let httpStatus, FlowFilter.httpClass(httpStatus) == nil {
            throw ValidationError("'\(httpStatus)' is not a status or a class such as 5xx.")
        }
        if follow, !file.isEmpty {
            throw ValidationError("--follow is for what happens, --file for what has happened.")
        }
        if let number, number < 0 { throw ValidationError("-n is not negative.") }
    }

    func run() throws {
        let request = FlowRequest(
            from: from, to: to, service: service, namespace: namespace, lane: lane?.rawValue, httpStatus: httpStatus,
            deniedOnly: denied, since: since.flatMap(parseDuration),
            limit: number ?? (follow ? 20 : 100))
        let printer = FlowPrinter(format.output, isStream: follow)
        guard file.isEmpty else { return try readFiles(request, printer) }
        do {
            try ask(AdminClient(runDirectory: runtime.directory), request, printer)
        } catch let failure as AgentAbsent {
            try readRing(request, printer, absence: failure)
        }
        printer.finish()
        if let failure = printer.failure { throw failure }
    }

    private func ask(_ agent: AdminClient, _ request: FlowRequest, _ printer: FlowPrinter) throws {
        guard agent.isThere else { throw AgentAbsent(path: agent.path) }
        var splitter = LineSplitter()
        var refusal: [UInt8] = []
        let target = "/v1/flows?\(request.query(follow: follow))"
        let status = try agent.stream("GET", target, seconds: follow ? 0 : 10) { status, bytes in
            guard status == 200 else { return refusal += bytes }
            for line in splitter.lines(in: bytes) { printer.print(line) }
        }
        try agent.check(AdminClient.Response(status: status, body: refusal), "/v1/flows")
        if follow { throw Failure.unknown("the agent ended") }
        if format.output == .table { try sayWhatWasLost(agent) }
    }

    private func sayWhatWasLost(_ agent: AdminClient) throws {
        let answer = try agent.request("GET", "/v1/flows/state")
        guard answer.status == 200, let state = try? JSONDecoder().decode(FlowState.self, from: Data(answer.body)),
            state.lost > 0
        else { return }
        Console.error("\(state.lost) more records were lost because they came faster than the agent could read them")
    }

    private func readFiles(_ request: FlowRequest, _ printer: FlowPrinter) throws {
        var reader = FlowFileReader(request, now: WallClock.unixNanoseconds())
        for path in file { try reader.read(path) }
        for line in reader.last { printer.print(line) }
        printer.finish()
        if let failure = reader.failure ?? printer.failure { throw failure }
    }

    private func readRing(_ request: FlowRequest, _ printer: FlowPrinter, absence: AgentAbsent) throws {
        let ring: FlowRing
        do throws(Failure) {
            ring = try FlowRing.open(pins.directory, limit: request.limit)
        } catch {
            guard error.isLocked else { throw error }
            throw Failure.unknown(
                "an agent is running on \(pins.directory.path) but does not answer at \(absence.path): name its run "
                    + "directory (--run-dir or WEFT_RUN_DIR)")
        }
        if format.output == .table { Console.error("no agent answers at \(absence.path): reading the kernel's queue") }
        let filter = request.filter(now: monotonicNanoseconds())
        for line in ring.records(filter, limit: request.limit) { printer.print(line) }
        if follow { ring.follow(filter) { printer.print($0) } }
    }
}

/// What the agent says of its records.
private struct FlowState: Decodable {
    var lost: UInt64
}

private struct AgentAbsent: Error {
    var path: String
}

/// Prints flow records, given as lines of JSON.
private final class FlowPrinter {
    private let format: OutputFormat
    private let isStream: Bool
    /// With room for usual names, so that most streams keep their columns.
    private var table = TableStream(
        .standardOutput, leastWidths: [12, 10, 16, 18, 30, 6, 7, 8, 8, 4],
        dispensable: ["HTTP", "LANE", "RECEIVED", "SENT", "DESTINATION", "DURATION"])
    private var records: [Record] = []
    /// The first record that was not understood.
    private(set) var failure: Failure?

    init(_ format: OutputFormat, isStream: Bool) {
        self.format = format
        self.isStream = isStream
    }

    func print(_ line: [UInt8]) {
        if format == .json { return Console.line(String(decoding: line, as: UTF8.self)) }
        do {
            let record = try FlowLine(line).record
            if format == .yaml { return Console.write("---\n" + record.value.yaml()) }
            if isStream { Console.write(table.line(record)) } else { records.append(record) }
        } catch {
            failure = failure ?? error
        }
    }

    /// What is not a stream is one table.
    func finish() {
        guard format == .table, !isStream else { return }
        OutputOptions.print(records, as: .table, empty: "no flows")
    }
}
