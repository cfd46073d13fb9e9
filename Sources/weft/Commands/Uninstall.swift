import ArgumentParser
import BPF
import CLinux
import Glibc
import KernelPlane
import Proxy

struct Uninstall: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take the programs off their hooks and remove the pinned maps of this node.",
        discussion: """
            Removes what is in the pin directory, the empty cgroups of agents that were killed, and nothing else. Open connections go on, but for those whose \
            requests the kernel decides about, which end; new ones are not balanced, policed or counted any more. Configuration, state and logs stay.

            EXAMPLES
              weft uninstall --dry-run       what would be removed
              weft uninstall
            """)

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    @Flag(
        help: """
            Remove it under a running agent too, which goes on without its programs, and under accelerated connections whose \
            applications have not read everything yet, which lose it.
            """)
    var force = false

    @OptionGroup var pins: PinOptions
    @OptionGroup var runtime: RunOptions
    @OptionGroup var format: OutputOptions

    func run() throws {
        let directory = pins.directory
        guard directory.isInstalled else {
            let error = weft_errno()
            guard error == ENOENT else { throw Failure.noMaps(at: directory.path, error: error) }
            return report([])
        }
        do {
            // Held to the end, so that no agent starts on what is being removed.
            let lock = force ? nil : try directory.lock()
            // It holds connections for the next agent, and there is none to come.
            if !dryRun { StandbyLine(path: StandbyLine.path(inRunDirectory: runtime.directory))?.dismiss() }
            var removed = try directory.uninstall(dryRun: dryRun, losingUnread: force)
            if let mount = CgroupRoot.find() { removed += AgentCgroup.removeAbandoned(in: mount, dryRun: dryRun) }
            report(removed)
            _ = consume lock
        } catch {
            guard error.errno == EWOULDBLOCK else { throw Failure(error) }
            throw Failure.no(
                "an agent is running on \(directory.path): stop weftd first, or remove its programs under it (--force)")
        }
    }

    private func report(_ removed: [String]) {
        let answer: Value = [
            "pinDirectory": .string(pins.directory.path), "dryRun": .bool(dryRun),
            "removed": .array(removed.map(Value.string)),
        ]
        format.print(answer) { _ in
            guard !removed.isEmpty else { return "nothing is installed at \(pins.directory.path)\n" }
            let verb = dryRun ? "would remove" : "removed"
            return removed.map { "\(verb) \($0)\n" }.joined()
        }
    }
}
