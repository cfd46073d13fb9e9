import Agent
import ArgumentParser
import FoundationEssentials
import Glibc
import KernelPlane
import Logging
import Telemetry

/// `weftd run`.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the agent in the foreground.",
        discussion: """
            Loads the kernel programs (or takes over those that an earlier agent left), keeps their maps equal to the
            configuration, and serves metrics. Stopping it leaves the kernel working as it is, unless --detach-on-exit.

            Every option can be given as a variable: --pin-dir is WEFT_PIN_DIR, --config is WEFT_CONFIG, and so on.

            Examples:
              weftd run
              weftd run --config ./mesh.d --cgroup /sys/fs/cgroup/demo.slice --pin-dir /sys/fs/bpf/demo --run-dir /run/demo
            """)

    @Option(help: ArgumentHelp("Directory of the mesh's configuration (YAML).", valueName: "dir"))
    var config = Environment.value("CONFIG") ?? "/etc/weft/mesh.d"

    @Option(
        help: ArgumentHelp(
            "The cgroup whose processes are in the mesh, with all below it; default: the cgroup v2 root.",
            valueName: "path"))
    var cgroup = Environment.value("CGROUP") ?? ""

    @Option(help: ArgumentHelp("Directory on a bpffs for programs and maps.", valueName: "dir"))
    var pinDir = Environment.value("PIN_DIR") ?? PinDirectory.defaultPath

    @Option(help: ArgumentHelp("Directory for what the agent keeps between runs.", valueName: "dir"))
    var stateDir = Environment.value("STATE_DIR") ?? "/var/lib/weft"

    @Option(help: ArgumentHelp("Directory of the admin socket.", valueName: "dir"))
    var runDir = Environment.value("RUN_DIR") ?? "/run/weft"

    @Option(help: ArgumentHelp("This node's name; default: the host's.", valueName: "name"))
    var node = Environment.value("NODE") ?? ProcessInfo.processInfo.hostName

    @Option(help: ArgumentHelp("The SPIFFE trust domain.", valueName: "name"))
    var trustDomain = Environment.value("TRUST_DOMAIN") ?? "cluster.local"

    @Option(help: ArgumentHelp("The namespace whose policies apply to the whole mesh.", valueName: "name"))
    var rootNamespace = Environment.value("ROOT_NAMESPACE") ?? "istio-system"

    @Option(help: ArgumentHelp("Where the admin API listens, besides the socket in --run-dir.", valueName: "ip:port"))
    var adminListen = Environment.value("ADMIN_LISTEN") ?? "127.0.0.1:15000"

    @Option(help: ArgumentHelp("Where /metrics is served.", valueName: "ip:port"))
    var metricsListen = Environment.value("METRICS_LISTEN") ?? "127.0.0.1:15020"

    @Option(help: ArgumentHelp("Where /healthz/ready is served.", valueName: "ip:port"))
    var readyListen = Environment.value("READY_LISTEN") ?? "127.0.0.1:15021"

    @OptionGroup(title: "Options of the proxy and tunnel lanes")
    var lanes: LaneOptions

    @OptionGroup(title: "Options of the accelerated lane")
    var acceleration: AccelerationFlags

    @OptionGroup(title: "Options of flow records")
    var flows: FlowOptions

    @OptionGroup(title: "Options of certificates")
    var identity: IdentityOptions

    @OptionGroup(title: "Options of telemetry")
    var telemetry: TelemetryOptions

    @OptionGroup(title: "Options of traces")
    var traces: TraceOptions

    @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"))
    var logLevel = Environment.value("LOG_LEVEL") ?? "info"

    @Option(help: ArgumentHelp("text or json.", valueName: "format"))
    var logFormat = Environment.value("LOG_FORMAT") ?? "text"

    @Option(
        name: .customLong("map-limit"),
        help: ArgumentHelp(
            "The number of entries of a map, other than its default; may be given several times.",
            valueName: "name=count"))
    var mapLimits: [String] =
        Environment.value("MAP_LIMITS")?.split(separator: ",").map(String.init) ?? []

    @Flag(help: "Remove the programs and maps from the kernel when the agent stops.")
    var detachOnExit = Environment.value("DETACH_ON_EXIT").map { $0 == "1" || $0 == "true" } ?? false

    func run() throws {
        guard let level = Logger.Level(rawValue: logLevel) else {
            throw ValidationError(
                "--log-level: \(logLevel) is not trace, debug, info, notice, warning, error or critical")
        }
        guard let format = LogFormat(rawValue: logFormat) else {
            throw ValidationError("--log-format: \(logFormat) is not text or json")
        }
        try lanes.check()
        try acceleration.check()
        try telemetry.check()
        try traces.check()
        var options = AgentOptions(pinDirectory: pinDir, node: node)
        options.configDirectory = config
        options.cgroup = cgroup.isEmpty ? nil : cgroup
        options.stateDirectory = stateDir
        options.runDirectory = runDir
        options.trustDomain = trustDomain
        options.rootNamespace = rootNamespace
        options.adminListen = adminListen
        options.metricsListen = metricsListen
        options.readyListen = readyListen
        options.dnsListen = lanes.dnsListen
        options.dnsUpstreams = lanes.dnsUpstreams
        lanes.fill(&options)
        acceleration.fill(&options)
        telemetry.fill(&options)
        try flows.fill(&options)
        traces.fill(&options)
        try identity.fill(&options)
        options.detachOnExit = detachOnExit
        options.mapLimits = try limits()

        LoggingSystem.bootstrap { label in LineLogHandler(label: label, format: format, level: level) }
        do throws(AgentError) {
            try Agent(options).run()
        } catch {
            writeError("weftd: \(error)")
            throw ExitCode(1)
        }
    }

    private func limits() throws -> [String: Int] {
        var limits: [String: Int] = [:]
        for text in mapLimits {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let count = Int(parts[1]), count > 0, count <= 1 << 26 else {
                throw ValidationError("--map-limit: \(text) is not NAME=COUNT, such as backends=100000")
            }
            guard PinnedMaps.names.contains(parts[0]) else {
                throw ValidationError(
                    "--map-limit: there is no map \(parts[0]); the maps are \(PinnedMaps.names.joined(separator: ", "))"
                )
            }
            limits[parts[0]] = count
        }
        return limits
    }
}

/// The `WEFT_*` variables.
enum Environment {
    static func value(_ name: String) -> String? { ProcessInfo.processInfo.environment["WEFT_\(name)"] }
}

func writeError(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { bytes in _ = unsafe write(2, bytes.baseAddress, bytes.count) }
}
