import ArgumentParser
import Glibc
import KernelPlane
import Proxy

/// `weftd standby`, which the agent starts: it is no command for people.
struct StandbyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "standby",
        abstract: "Hold connections that the kernel serves while there is no agent; started by the agent.",
        shouldDisplay: false)

    @Option(help: ArgumentHelp("Directory on a bpffs for programs and maps.", valueName: "dir"))
    var pinDir: String

    /// Where the agent has put the socket that agents connect to.
    private static let listener: CInt = 3

    func run() throws {
        let mapped = try unsafe ShortcutMaps(PinDirectory(path: pinDir))
        let memory = unsafe ShortcutMemory(
            shortcuts: mapped.shortcuts, legs: mapped.legs, tables: mapped.tables, node: mapped.node)
        // Wherever the agent was started, it may be unmounted.
        _ = unsafe chdir("/")
        guard let standby = Standby(listener: Self.listener, memory: memory) else {
            throw ValidationError("descriptor 3 is no socket: this is started by weftd run, not by hand")
        }
        standby.run()
    }
}
