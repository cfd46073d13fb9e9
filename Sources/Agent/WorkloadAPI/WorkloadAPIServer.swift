import CLinux
import Glibc
public import Mesh

/// The SPIFFE Workload API on a Unix socket: hands every workload its own X.509-SVID, and what its peers' are checked
/// against, at once and at each change.
///
/// Who the caller is, is asked from the kernel: the process that connected, its cgroup, and the workload of that. It is
/// asked again for every call and at every change, so a process that has ended or was moved out of its workload gets
/// nothing more. The socket is open for every user, for workloads run as any; what they can do is bounded.
///
/// Clients find it by `SPIFFE_ENDPOINT_SOCKET=unix:///run/weft/workload.sock`.
///
/// Sources: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md,
/// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md
public final class WorkloadAPIServer {
    /// Bounds that no client can exceed.
    public struct Limits: Sendable {
        /// Connections at the same time.
        public var maxConnections = 1024
        /// Connections of one workload; all processes that are in none share one such allowance.
        public var maxConnectionsPerWorkload = 64
        /// Connections that are accepted; a flood of them has to cost less than the work that the thread is there for.
        public var acceptBurst = 256
        public var acceptsPerSecond = 500
        /// Calls of one connection at the same time.
        public var maxStreams = 32
        /// Bytes of a call's metadata (RFC 9113 §6.5.2).
        public var maxHead = 8192
        /// Bytes of a request.
        public var maxBody = 4096
        /// Frames of one connection.
        public var frameBurst = 1000
        public var framesPerSecond = 100
        /// Bytes from one connection.
        public var byteBurst = 1 << 20
        public var bytesPerSecond = 1 << 16
        /// How long a connection may be there without a call that is served.
        public var idleDeadline = Duration.seconds(60)
        /// Without any byte taken by the client.
        public var writeDeadline = Duration.seconds(30)

        public init() {}
    }

    let reactor: Reactor
    let limits: Limits
    private let identify: (_ cgroup: String) -> String?
    private var listener: (descriptor: CInt, registration: Reactor.Registration, path: String)?
    private var connections: [ObjectIdentifier: WorkloadAPIConnection] = [:]
    private var counts: [String?: Int] = [:]
    private var accepts: TokenBucket
    private var trust = TrustSnapshot()
    /// Messages made from `trust`, as they are sent, and shared by all calls: by SPIFFE id; nil: the bundles.
    private var messages: [String?: [UInt8]] = [:]

    /// - Parameter identify: the SPIFFE id of the processes in a cgroup, given by its path below the root of the cgroup v2
    ///   hierarchy; nil if they have none (see `WorkloadIdentities`). Called on the reactor's thread.
    public init(
        reactor: Reactor, limits: Limits = Limits(), identify: @escaping (_ cgroup: String) -> String?
    ) {
        self.reactor = reactor
        self.limits = limits
        self.identify = identify
        accepts = TokenBucket(burst: limits.acceptBurst, perSecond: limits.acceptsPerSecond)
    }

    /// Listens on a Unix socket that every user can connect to; one that an ended process left behind is replaced.
    public func listen(path: String) throws(SystemError) {
        let descriptor = try HTTPListener.open(.unix(path: path), mode: 0o666)
        do throws(SystemError) {
            let registration = try reactor.register(descriptor, .readable) { [unowned self] _ in accept() }
            listener = (descriptor, registration, path)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    /// Takes new certificates and bundles, and sends them to whom they concern.
    public func update(_ trust: TrustSnapshot) {
        self.trust = trust
        messages = [:]
        refresh()
    }

    /// Looks again at who the callers are: to be called when `identify` may answer otherwise.
    public func refresh() { for connection in connections.values { connection.refresh() } }

    /// Connections that are open now.
    public var connectionCount: Int { connections.count }

    /// Ends every connection, and the listener.
    public func close() {
        if let listener {
            reactor.unregister(listener.registration)
            Glibc.close(listener.descriptor)
            _ = unsafe unlink(listener.path)
        }
        listener = nil
        for connection in connections.values { connection.close() }
    }

    // MARK: Connections

    private func accept() {
        guard let listener else { return }
        // A few at a time, so that a flood of connections does not starve everything else on the reactor.
        for _ in 0..<16 {
            guard accepts.take() else { return pause() }
            let accepted = weft_accept(listener.descriptor, CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard accepted >= 0 else {
                switch weft_errno() {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return pause()
                default: return
                }
            }
            serve(accepted)
        }
    }

    private func serve(_ accepted: CInt) {
        guard connections.count < limits.maxConnections, let caller = PeerProcess(of: accepted) else {
            Glibc.close(accepted)
            return
        }
        // It only counts here: what it may have is decided when it asks.
        let account = caller.cgroup().flatMap(identify)
        guard counts[account, default: 0] < limits.maxConnectionsPerWorkload else {
            Glibc.close(accepted)
            return
        }
        let connection = WorkloadAPIConnection(descriptor: accepted, caller: caller, account: account, server: self)
        connections[ObjectIdentifier(connection)] = connection
        counts[account, default: 0] += 1
        do throws(SystemError) {
            try connection.start()
        } catch {
            connection.close()
        }
    }

    /// Lets connections wait in the kernel's queue for a while.
    private func pause() {
        guard let listener else { return }
        reactor.modify(listener.registration, [])
        reactor.after(.milliseconds(100)) { [weak self] in
            guard let self, let listener = self.listener else { return }
            reactor.modify(listener.registration, .readable)
        }
    }

    func forget(_ connection: WorkloadAPIConnection) {
        guard connections.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        let rest = counts[connection.account, default: 1] - 1
        counts[connection.account] = rest > 0 ? rest : nil
    }

    // MARK: What they get

    func identity(of caller: borrowing PeerProcess) -> String? { caller.cgroup().flatMap(identify) }

    /// The whole state that the holder of an identity gets, in its frame.
    func message(_ method: WorkloadAPICall.Method, for id: String?) throws(GRPCStatus) -> [UInt8] {
        guard let id else {
            throw GRPCStatus(
                .permissionDenied, "the calling process is in the cgroup of no workload of this mesh, or has ended")
        }
        guard trust.bundles[trust.trustDomain] != nil else {
            throw GRPCStatus(.unavailable, "the agent has no bundle of the trust domain yet")
        }
        switch method {
        case .fetchX509Bundles:
            return cached(nil) { WorkloadAPIMessages.bundles(trust) }
        case .fetchX509SVID:
            guard let certificate = trust.identities[id], certificate.notAfter > time(nil) else {
                throw GRPCStatus(.unavailable, "no valid certificate has been issued for \(id) yet")
            }
            return cached(id) { WorkloadAPIMessages.svids(certificate, trust) }
        }
    }

    private func cached(_ key: String?, _ make: () -> [UInt8]) -> [UInt8] {
        if let message = messages[key] { return message }
        let message = GRPCFrame.wrap(make())
        messages[key] = message
        return message
    }
}
