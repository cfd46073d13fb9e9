// Unsafe code of this file: arguments of a program, as C has them.

import CLinux
import Glibc
import Logging
import Proxy
import Telemetry

/// Starts the process that holds connections beyond the agent's end (see `Standby`), when there are any to hold.
final class StandbyLauncher {
    /// Where it listens.
    let path: String
    private let pinDirectory: String
    /// Started by this agent, and not yet seen to end.
    private var process: pid_t = 0
    private var reports = LogLimiter()
    private let logger = Logger(label: "weftd.standby")

    init(runDirectory: String, pinDirectory: String) {
        path = StandbyLine.path(inRunDirectory: runDirectory)
        self.pinDirectory = pinDirectory
    }

    /// Starts one if the engine wants it. Called now and then.
    func tend(_ engine: ProxyEngine) {
        if process != 0, waitpid(process, nil, WNOHANG) == process { process = 0 }
        guard engine.needsStandby, process == 0 else { return }
        if let problem = launch(engine), reports.admit("standby") != nil {
            logger.warning("connections that the kernel serves will end with the agent: \(problem)")
        }
    }

    /// Why there is none, in a sentence; nil: there is one.
    private func launch(_ engine: ProxyEngine) -> String? {
        let listener = unsafe weft_listen_packets(path, 16)
        guard listener >= 0 else { return "\(path) cannot be listened at: \(text(-listener))" }
        defer { close(listener) }
        let started = unsafe Self.withArguments(["weftd", "standby", "--pin-dir", pinDirectory]) {
            unsafe weft_spawn_with("/proc/self/exe", $0, listener)
        }
        guard started > 0 else { return "the standby process cannot be started: \(text(-started))" }
        process = started
        guard let line = StandbyLine(path: path), engine.use(line) else {
            return "the standby process does not answer"
        }
        logger.debug("started the standby process", metadata: ["pid": "\(started)"])
        return nil
    }

    private func text(_ error: CInt) -> String { unsafe String(cString: strerror(error)) }

    private static func withArguments(
        _ arguments: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> CInt
    ) -> CInt {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
        return unsafe pointers.withUnsafeMutableBufferPointer { pointers in
            guard let start = pointers.baseAddress else { return -EINVAL }
            return unsafe body(UnsafePointer(start))
        }
    }
}
