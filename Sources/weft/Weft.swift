import ArgumentParser
import CLinux
import Glibc

/// `weft`: what the node does, as its maps and its agent tell it.
@main
struct Weft: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft",
        abstract: "Look at and operate the mesh data plane of this node.",
        discussion: """
            The kernel's maps are read directly, so most commands work while no agent runs. Reading them needs root.

            Exit status: 0 yes or done; 1 the answer is no; 2 wrong usage; 3 it could not be found out.

            EXAMPLES
              weft check                              can this node run the data plane?
              weft service list                       what is balanced, to how many backends
              weft explain connect 127.96.0.10:80     what a connection would meet, and why
              weft explain request GET http://web.shop/ --from shop/client
              weft stat                               requests, success and latency of every service
              weft graph > mesh.svg                   who talks to whom
              weft flows --follow --denied            what policies refuse, as it happens
              weft certify shop/web                   may its connections go around the TCP stack?
              weft tap --to shop/web --status 5xx     which requests fail, as it happens
            """,
        version: weftVersion,
        subcommands: [
            Check.self, Validate.self, StatusCommand.self, MapCommand.self, ServiceCommand.self, EndpointCommand.self,
            WorkloadCommand.self, RoutesCommand.self, PolicyCommand.self, IdentityCommand.self, CACommand.self,
            StatCommand.self, TopCommand.self, EdgesCommand.self, GraphCommand.self, Flows.self, Tap.self,
            ExplainCommand.self, Certify.self, Uninstall.self,
        ])

    static func main() {
        // A parent that ignores SIGPIPE (as many runtimes do) must not make `weft ... | head` fail with a message.
        signal(SIGPIPE, SIG_DFL)
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as Failure {
            Console.error("weft: \(failure)")
            Glibc.exit(failure.status.rawValue)
        } catch {
            finish(error)
        }
    }

    /// ArgumentParser's own ends: help and version are answers, every other one is a mistake in the command line.
    private static func finish(_ error: any Error) -> Never {
        let code = exitCode(for: error)
        let message = fullMessage(for: error)
        if code.isSuccess {
            if !message.isEmpty { Console.line(message) }
            Glibc.exit(ExitStatus.yes.rawValue)
        }
        if !message.isEmpty { Console.error(message) }
        Glibc.exit(code == .validationFailure ? ExitStatus.usage.rawValue : code.rawValue)
    }
}
