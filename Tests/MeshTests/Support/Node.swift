import Foundation

/// One real `weftd` with directories, pins and ports of its own, and the `weft` that speaks to it.
final class Node {
    let sandbox: Sandbox
    let name: String
    /// The cgroup that the agent guards.
    let cgroup: String
    /// Where the agent runs; nil: in the host's.
    let namespace: NetworkNamespace?
    let configDirectory: String
    let runDirectory: String
    let stateDirectory: String
    let pinDirectory: String
    let metricsPort: UInt16
    let readyPort: UInt16
    let adminPort: UInt16
    /// Of the lanes that go through the agent.
    let outboundPort: UInt16
    let inboundPort: UInt16
    let tunnelPort: UInt16
    let dnsPort: UInt16
    private(set) var agent: Command?

    /// - Parameter cgroup: in place of the sandbox's.
    init(
        _ sandbox: Sandbox, name: String = "node-a", cgroup: String? = nil, namespace: NetworkNamespace? = nil
    ) throws {
        self.sandbox = sandbox
        self.name = name
        self.cgroup = cgroup ?? sandbox.cgroup
        self.namespace = namespace
        let directory = "\(sandbox.directory)/\(name)"
        configDirectory = "\(directory)/mesh.d"
        runDirectory = "\(directory)/run"
        stateDirectory = "\(directory)/state"
        for path in [configDirectory, runDirectory, stateDirectory, "\(directory)/bpf"] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        // A bpffs of its own: unmounting it frees every link and map of the test, whatever happened before.
        try sandbox.check(["mount", "-t", "bpf", "bpf", "\(directory)/bpf"])
        pinDirectory = "\(directory)/bpf/weft"
        metricsPort = try Host.freePort()
        readyPort = try Host.freePort()
        adminPort = try Host.freePort()
        outboundPort = try Host.freePort()
        inboundPort = try Host.freePort()
        // Other nodes expect it there.
        tunnelPort = namespace == nil ? try Host.freePort() : 15008
        dnsPort = try Host.freePort()
    }

    // MARK: The agent

    /// The command line of an agent of this node.
    func agentArguments(_ extra: [String] = []) throws -> [String] {
        // A flag given in `extra` replaces the one here: argument parsers do not like a flag twice.
        let flags: [(String, String)] = [
            ("--config", configDirectory), ("--cgroup", cgroup), ("--pin-dir", pinDirectory),
            ("--run-dir", runDirectory), ("--state-dir", stateDirectory), ("--node", name),
            ("--metrics-listen", "127.0.0.1:\(metricsPort)"), ("--ready-listen", "127.0.0.1:\(readyPort)"),
            ("--admin-listen", "127.0.0.1:\(adminPort)"),
            ("--outbound-listen", "127.0.0.1:\(outboundPort)"), ("--inbound-listen", "127.0.0.1:\(inboundPort)"),
            ("--tunnel-listen", "\(namespace == nil ? "127.0.0.1" : "0.0.0.0"):\(tunnelPort)"),
            ("--dns-listen", "127.0.0.1:\(dnsPort)"),
        ]
        let defaults = flags.filter { !extra.contains($0.0) }.flatMap { [$0.0, $0.1] }
        return try [Host.product("weftd"), "run"] + defaults + extra
    }

    /// Starts an agent, and waits until it is ready.
    ///
    /// - Parameter environment: of the agent, beside the test's own.
    func start(_ extra: [String] = [], environment: [String: String] = [:]) throws {
        let agent = try sandbox.start(
            agentArguments(extra), namespace: namespace, environment: environment, isAgent: true)
        self.agent = agent
        try eventually("weftd is ready", within: 30) {
            guard agent.isRunning else {
                throw TestFailure("weftd ended at its start: \(agent.errors)\(agent.output)")
            }
            return get("http://127.0.0.1:\(readyPort)/healthz/ready") != nil
        }
    }

    /// Starts an agent with this configuration, and waits until it is programmed.
    func start(_ yaml: String, _ extra: [String] = [], environment: [String: String] = [:]) throws {
        try write(yaml)
        try start(extra, environment: environment)
        try eventually("the configuration is programmed", within: 20) {
            guard (try? scrape().sum("weft_config_generation")) ?? 0 >= 1 else { return false }
            return true
        }
    }

    /// Ends the agent as a service manager does.
    func terminate() throws {
        guard let agent else { return }
        agent.signal(SIGTERM)
        let result = try agent.wait(timeout: 20)
        guard result.succeeded else {
            throw TestFailure("weftd ended with \(result.status) after SIGTERM: \(result.errors)")
        }
    }

    /// Ends the agent without giving it a chance to do anything.
    func kill() throws {
        agent?.signal(SIGKILL)
        try agent?.wait(timeout: 10)
    }

    var agentLog: String { (agent?.output ?? "") + (agent?.errors ?? "") }

    // MARK: Configuration

    /// Puts a file in place as editors and kubectl do: written beside, then renamed.
    func write(_ yaml: String, file: String = "mesh.yaml") throws {
        let temporary = "\(configDirectory)/.\(file).tmp"
        try yaml.write(toFile: temporary, atomically: false, encoding: .utf8)
        guard unsafe rename(temporary, "\(configDirectory)/\(file)") == 0 else {
            throw TestFailure("rename to \(file): \(Command.message(errno))")
        }
    }

    /// Writes a file and waits until the kernel has what it says.
    func apply(_ yaml: String, file: String = "mesh.yaml") throws {
        let before = try scrape().sum("weft_config_generation")
        try write(yaml, file: file)
        try eventually("the change of \(file) is programmed; log:\n\(agentLog.suffix(2000))", within: 10) {
            try scrape().sum("weft_config_generation") > before
        }
    }

    // MARK: What it says

    /// The body of a successful GET; nil if the server does not answer or says no.
    func get(_ url: String) -> String? {
        guard let result = try? sandbox.run(["curl", "-sSf", "--max-time", "10", url], namespace: namespace),
            result.succeeded
        else { return nil }
        return result.output
    }

    func scrape() throws -> Metrics {
        guard let text = get("http://127.0.0.1:\(metricsPort)/metrics") else {
            throw TestFailure("no metrics from weftd; its log:\n\(agentLog.suffix(4000))")
        }
        return Metrics(text)
    }

    /// Waits until a scrape satisfies `condition`.
    func waitForMetrics(
        _ what: String, within seconds: Double = 10, _ condition: (Metrics) -> Bool
    ) throws {
        var last: Metrics?
        do {
            try eventually(what, within: seconds) {
                let metrics = try scrape()
                last = metrics
                return condition(metrics)
            }
        } catch {
            let own = last?.text.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.contains("_bucket") }
            throw TestFailure("\(error)\n\((own ?? []).joined(separator: "\n"))")
        }
    }

    /// Runs `weft` against this node.
    func weft(_ arguments: String..., timeout: Double = 30) throws -> Command.Result {
        try run(arguments, timeout: timeout)
    }

    func run(_ arguments: [String], timeout: Double = 30) throws -> Command.Result {
        try sandbox.run(
            [Host.product("weft")] + arguments, namespace: namespace, timeout: timeout, environment: cliEnvironment)
    }

    var cliEnvironment: [String: String] {
        [
            "WEFT_RUN_DIR": runDirectory, "WEFT_PIN_DIR": pinDirectory, "WEFT_CONFIG": configDirectory,
            "WEFT_CGROUP": cgroup, "WEFT_STATE_DIR": stateDirectory,
        ]
    }

    /// Runs `weft` with `-o json`, and decodes what it says.
    func weftJSON(_ arguments: String...) throws -> JSON {
        let result = try sandbox.run(
            [Host.product("weft")] + arguments + ["-o", "json"], namespace: namespace, environment: cliEnvironment)
        guard result.succeeded else {
            throw TestFailure("weft \(arguments.joined(separator: " ")) said \(result.status): \(result.errors)")
        }
        return try JSON(result.output)
    }

    /// Runs a command of `weft` that prints one object a line with `-o json`.
    func weftJSONLines(_ arguments: String...) throws -> [JSON] {
        let result = try run(arguments + ["-o", "json"])
        guard result.succeeded else {
            throw TestFailure("weft \(arguments.joined(separator: " ")) said \(result.status): \(result.errors)")
        }
        return try result.output.split(separator: "\n").map { try JSON(String($0)) }
    }

    /// What is pinned, as paths below the pin directory.
    var pins: [String] {
        (FileManager.default.subpaths(atPath: pinDirectory) ?? []).filter { path in
            var isDirectory: ObjCBool = false
            return unsafe FileManager.default.fileExists(atPath: "\(pinDirectory)/\(path)", isDirectory: &isDirectory)
                && !isDirectory.boolValue
        }
    }

    /// Whether a program of the kernel is attached to the guarded cgroup.
    func isAttached() throws -> Bool {
        try sandbox.check(["bpftool", "cgroup", "show", cgroup]).contains("cgroup_inet4_connect")
    }
}

/// A JSON value, read by path.
struct JSON {
    let value: Any?

    init(value: Any?) { self.value = value }

    init(_ text: String) throws {
        do {
            value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
        } catch {
            throw TestFailure("not JSON: \(text)")
        }
    }

    subscript(_ key: String) -> JSON { JSON(value: (value as? [String: Any])?[key]) }
    subscript(_ index: Int) -> JSON { array.indices.contains(index) ? array[index] : JSON(value: nil) }

    var array: [JSON] { (value as? [Any] ?? []).map { JSON(value: $0) } }
    var object: [String: JSON] { (value as? [String: Any] ?? [:]).mapValues { JSON(value: $0) } }
    var string: String? { value as? String }
    var int: Int? { (value as? NSNumber)?.intValue }
    var double: Double? { (value as? NSNumber)?.doubleValue }
    var bool: Bool? { (value as? NSNumber)?.boolValue }
}
