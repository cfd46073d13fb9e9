import Agent
import ArgumentParser

/// The agent: one per node, privileged.
@main
struct Weftd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weftd",
        abstract: "The agent of Weft, a service-mesh data plane in the kernel.",
        version: AgentVersion.current,
        subcommands: [Run.self, StandbyCommand.self])

    /// Usage errors exit with 2, like those of `weft`; everything else as ArgumentParser does it.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            let code = exitCode(for: error)
            guard code == .validationFailure else { exit(withError: error) }
            writeError(fullMessage(for: error))
            exit(withError: ExitCode(2))
        }
    }
}
