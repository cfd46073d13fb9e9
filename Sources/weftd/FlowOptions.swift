import Agent
import ArgumentParser

/// What the agent does with flow records besides keeping the last of them.
struct FlowOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where flow records are written, one JSON object a line; default: nowhere.", valueName: "path"))
    var flowLog = Environment.value("FLOW_LOG") ?? ""

    @Option(help: ArgumentHelp("The size from which the file is rotated: 100MB, 1GiB.", valueName: "size"))
    var flowLogMaxSize = Environment.value("FLOW_LOG_MAX_SIZE") ?? "100MB"

    @Option(help: ArgumentHelp("Files that are kept, FILE, FILE.1 and so on.", valueName: "count"))
    var flowLogFiles = Environment.value("FLOW_LOG_FILES") ?? "5"

    @Option(help: ArgumentHelp("Whether flow records go to the collector (--otlp-endpoint), too.", valueName: "on|off"))
    var otlpFlows = Environment.value("OTLP_FLOWS") ?? "off"

    func fill(_ options: inout AgentOptions) throws {
        guard let size = FlowLogOptions.bytes(flowLogMaxSize) else {
            throw ValidationError(
                "--flow-log-max-size: \(flowLogMaxSize) is not a size such as 100MB, of at least 4096 bytes")
        }
        guard let files = Int(flowLogFiles), (1...1000).contains(files) else {
            throw ValidationError("--flow-log-files: \(flowLogFiles) is not a number from 1 to 1000")
        }
        guard ["on", "off"].contains(otlpFlows) else {
            throw ValidationError("--otlp-flows: \(otlpFlows) is not on or off")
        }
        options.exportsFlows = otlpFlows == "on"
        options.flowLog.file = flowLog.isEmpty ? nil : flowLog
        options.flowLog.maxBytes = size
        options.flowLog.files = files
    }
}
