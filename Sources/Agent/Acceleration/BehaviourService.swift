import BPF
import Dispatch
import Doctor
import Logging

/// What this kernel does with sockets whose bytes go past TCP: found out when somebody needs to know, once for each run
/// of the kernel, on a thread of its own. Everything else happens on the reactor's thread.
final class BehaviourService {
    /// What was found last; nil: nobody has asked, it is not known yet, or it could not be found out.
    private(set) var report: BehaviourReport?
    /// Why it could not be found out.
    private(set) var problem: String?
    private(set) var isRunning = false
    /// Called whenever one of them has changed.
    var onChange: (() -> Void)?

    private let cache: BehaviourCache
    private let mailbox: ReactorMailbox
    private let reactor: Reactor
    private var waiting: [() -> Void] = []
    private let logger = Logger(label: "weftd.probes")

    init(runDirectory: String, reactor: Reactor) {
        cache = BehaviourCache(runDirectory: runDirectory)
        self.reactor = reactor
        mailbox = reactor.mailbox
    }

    /// Whether FIONREAD says how much waits on redirected connections; nil: not known.
    var isFIONREADRight: Bool? { report?.isFIONREADRight }

    /// Why nothing may be accelerated on this node, in a sentence; nil: it may.
    var laneProblem: String? {
        guard let report else {
            return problem.map { "it could not be tried on this kernel: \($0)" }
                ?? "what this kernel does with redirected connections is being found out"
        }
        guard !report.enablesAcceleration else { return nil }
        return "on this kernel these probes fail: \(report.failures.map(\.name).joined(separator: ", "))"
    }

    /// Somebody needs to know: finds it out, unless that has been tried.
    func demand() {
        guard report == nil, problem == nil, !isRunning else { return }
        if let known = cache.read() {
            report = known
            onChange?()
        } else {
            run {}
        }
    }

    /// Finds it out anew; what is known stays in force until then. `completion` is called when it is.
    func run(_ completion: @escaping () -> Void) {
        waiting.append(completion)
        guard !isRunning else { return }
        isRunning = true
        let service = ReactorLocal(self, of: reactor)
        let mailbox = mailbox
        DispatchQueue(label: "weft.probes").async {
            let result: Result<BehaviourReport, BPFError>
            do throws(BPFError) { result = .success(try BehaviourProbes.run()) } catch { result = .failure(error) }
            mailbox.post { service.get(on: $0).take(result) }
        }
    }

    private func take(_ result: Result<BehaviourReport, BPFError>) {
        isRunning = false
        switch result {
        case .success(let found):
            report = found
            problem = nil
            let code = cache.write(found)
            if code != 0 {
                logger.debug(
                    "what the kernel does cannot be kept", metadata: ["path": "\(cache.path)", "errno": "\(code)"])
            }
            for probe in found.failures {
                logger.warning("probe \(probe.name) failed, and the accelerated lane stays off: \(probe.detail)")
            }
            logger.info(
                "probed what the kernel does with redirected connections",
                metadata: [
                    "probes": "\(found.probes.count)", "failures": "\(found.failures.count)",
                    "milliseconds": "\(found.milliseconds)",
                ])
        case .failure(let error):
            report = nil
            problem = error.description
            logger.warning("the accelerated lane stays off, because it could not be tried: \(error)")
        }
        onChange?()
        let waiting = waiting
        self.waiting = []
        for completion in waiting { completion() }
    }
}
