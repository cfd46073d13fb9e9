import CLinux
import Glibc
import Identity
import Logging
import Mesh
import Telemetry

/// Keeps the certificates of this node's workloads on the reactor's thread: a timer for what is due, a thread for a
/// question to the CA on another node, a few threads for nodes that join here.
final class IdentityService {
    /// Certificates that are made in one turn of the reactor; the rest waits for the next, so that other things are done
    /// between them.
    private static let batch = 64
    /// While more are to be made, changes are told this often: milliseconds.
    private static let tellInterval: Int64 = 250

    /// Called on the reactor's thread with each new `trust`.
    var onChange: (TrustSnapshot) -> Void = { _ in }
    private(set) var identity: NodeIdentity
    private let reactor: Reactor
    private var server: JoinServer?
    private var timer: Reactor.TimerID?
    private var wanted: Set<SPIFFEID> = []
    /// Of the trust that was told last, and when.
    private var toldGeneration: UInt64 = 0
    private var toldAt: Int64 = 0
    private let logger = Logger(label: "weftd.identity")
    private var told: Set<String> = []
    private var failures: UInt64 = 0
    private var reports = LogLimiter()

    /// Reads the CA's files, or makes them; throws with what to do where that cannot be.
    init(_ options: AgentOptions, reactor: Reactor) throws(AgentError) {
        self.reactor = reactor
        do throws(IdentityError) {
            identity = try NodeIdentity(options.nodeIdentity, now: Self.now())
        } catch {
            throw AgentError("certificates: \(error)")
        }
        guard let listen = options.caListen else { return }
        do throws(IdentityError) {
            server = try JoinServer(
                listen: listen, directory: identity.directory, node: options.node, logger: logger,
                now: { Self.now() / 1000 })
        } catch {
            throw AgentError("--ca-listen: \(error)")
        }
    }

    /// In force.
    var trust: TrustSnapshot { identity.trust }

    func start() throws(AgentError) {
        do throws(IdentityError) {
            try server?.start()
        } catch {
            throw AgentError("certificates: \(error)")
        }
        turn()
    }

    /// Wants certificates for the service accounts of this node's workloads, and for the agent if it needs one. Those of a few new ones are there when it
    /// returns.
    func take(_ snapshot: MeshSnapshot) {
        var wanted: Set<SPIFFEID> = []
        for workload in snapshot.workloads.values where workload.isLocal {
            guard let id = SPIFFEID(workload.spiffeID(trustDomain: identity.options.trustDomain)) else {
                tell("the workload \(workload.name) gets no certificate: its service account cannot be in a SPIFFE id")
                continue
            }
            wanted.insert(id)
        }
        if snapshot.needsAgentIdentity,
            let id = SPIFFEID(AgentIdentity.spiffeID(trustDomain: identity.options.trustDomain))
        {
            wanted.insert(id)
        }
        guard wanted != self.wanted else { return }
        self.wanted = wanted
        _ = identity.setWanted(wanted, now: Self.now())
        turn()
    }

    /// Renews one identity, or all. The number of them.
    func rotate(_ id: String?) -> Int {
        let count = identity.renew(id, now: Self.now())
        turn()
        return count
    }

    /// Ends the turns. Connections of nodes that join end with the process: each is one question that is asked again.
    func stop() {
        if let timer { reactor.cancel(timer) }
        timer = nil
    }

    private func turn() {
        let now = Self.now()
        _ = identity.turn(now: now, limit: Self.batch)
        let isComplete = identity.nextDeadline > now
        if trust.generation != toldGeneration, isComplete || abs(now - toldAt) >= Self.tellInterval {
            toldGeneration = trust.generation
            toldAt = now
            onChange(trust)
        }
        report()
        if let request = identity.nextRequest(now: now) { ask(request) }
        if let timer { reactor.cancel(timer) }
        let next = min(identity.nextDeadline, identity.nextRequestAt ?? .max)
        // The wall clock may jump: a deadline far away is looked at again in the meantime.
        let delay = min(max(next - Self.now(), 0), NodeIdentity.lookInterval)
        timer = reactor.after(.milliseconds(delay)) { [unowned self] in
            timer = nil
            turn()
        }
    }

    private func ask(_ request: JoinRequest) {
        let mailbox = reactor.mailbox
        let service = ReactorLocal(self, of: reactor)
        request.start(now: { Self.now() / 1000 }) { result in
            mailbox.post { reactor in
                let service = service.get(on: reactor)
                service.identity.finish(result, now: Self.now())
                service.turn()
            }
        }
    }

    // MARK: What is told

    private func report() {
        let problems = ([identity.authorityProblem].compactMap { $0 } + identity.fileProblems).map(\.description)
        for problem in problems { tell(problem) }
        told.formIntersection(problems)
        let count = identity.manager.failures.values.reduce(0, +)
        guard count != failures else { return }
        failures = count
        guard let entry = identity.manager.entries.values.first(where: { $0.problem != nil }),
            let problem = entry.problem, reports.admit("renewal") != nil
        else { return }
        logger.error(
            "certificates could not be renewed: \(problem)",
            metadata: [
                "identity": "\(entry.id)", "attempts": "\(entry.failures)",
                "keeps": "\(entry.certificate == nil ? "none" : "the one that is valid")",
            ])
    }

    private func tell(_ problem: String) {
        guard told.insert(problem).inserted else { return }
        logger.error("certificates: \(problem)")
    }

    /// Milliseconds since 1970.
    static func now() -> Int64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension AgentOptions {
    fileprivate var nodeIdentity: NodeIdentityOptions {
        var options = NodeIdentityOptions(trustDomain: trustDomain, node: node, stateDirectory: stateDirectory)
        options.certificateFile = caCertificate
        options.keyFile = caKey
        options.bundleFile = caBundle
        options.joinAddress = joinAddress
        options.joinToken = joinToken
        options.identityDirectory = identityDirectory
        options.lifetime = certificateLifetime
        options.refreshInterval = caRefresh * 1000
        return options
    }
}
