import ArgumentParser
import KernelPlane

enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table, json, yaml
}

/// How the answer is printed.
struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "Print a table, or everything that is known as JSON or YAML.")
    var output: OutputFormat = .table
}

/// Where the node's maps are.
struct PinOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The directory of the pinned maps. (WEFT_PIN_DIR; default: \(PinDirectory.defaultPath))", valueName: "dir"))
    var pinDir: String?

    var directory: PinDirectory {
        PinDirectory(path: pinDir ?? environment("WEFT_PIN_DIR").nonEmpty ?? PinDirectory.defaultPath)
    }
}

/// Where the node's agent listens.
struct RunOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The agent's run directory. (WEFT_RUN_DIR; default: /run/weft)", valueName: "dir"))
    var runDir: String?

    var directory: String { runDir ?? environment("WEFT_RUN_DIR").nonEmpty ?? "/run/weft" }
}

extension String? {
    /// Nil for an empty variable: `WEFT_PIN_DIR= weft …` asks for the default.
    fileprivate var nonEmpty: String? { self?.isEmpty == false ? self : nil }
}
