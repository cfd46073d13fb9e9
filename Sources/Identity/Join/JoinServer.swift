import CLinux
import Glibc
public import Logging
import Mesh
import Synchronization

/// Lets nodes join: gives those with a token an intermediate from the root here, and renews the intermediates of those
/// that have one. A few threads that block, because nodes come seldom; each connection has ten seconds.
public final class JoinServer: Sendable {
    /// Connections that are served at the same time; more wait in the socket's queue.
    private static let threadCount = 8
    private static let connectionSeconds: Int64 = 10
    /// Of the certificate that proves the CA to nodes.
    private static let certificateLifetime: Int64 = 3600

    private let directory: CADirectory
    private let node: String
    private let now: @Sendable () -> Int64
    private let listener: CInt
    private let threads = Mutex<[JoinThread]>([])
    private let isStopping = Atomic(false)
    private let logger: Logger

    /// Listens at `HOST:PORT`. Fails where the root's key is not.
    ///
    /// - Parameters:
    ///   - node: this node's name.
    ///   - now: seconds since 1970.
    public init(
        listen address: String, directory: CADirectory, node: String, logger: Logger,
        now: @escaping @Sendable () -> Int64
    ) throws(IdentityError) {
        guard try directory.read(now: now()).root != nil else { throw directory.noRoot() }
        self.directory = directory
        self.node = node
        self.now = now
        self.logger = logger
        listener = try JoinSocket.listen(at: address)
    }

    deinit { close(listener) }

    /// The port that it listens at.
    public var port: UInt16 { JoinSocket.port(of: listener) }

    public func start() throws(IdentityError) {
        for _ in 0..<Self.threadCount {
            let thread = try JoinThread(name: "weft-join") { [self] in run() }
            threads.withLock { $0.append(thread) }
        }
    }

    /// Returns when the connections in progress have come to their end.
    public func stop() {
        isStopping.store(true, ordering: .releasing)
        _ = shutdown(listener, CInt(SHUT_RDWR))
        let running = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in running { thread.join() }
    }

    private func run() {
        while !isStopping.load(ordering: .acquiring) {
            var watched = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&watched, 1, 1000) == 1 else { continue }
            let socket = weft_accept(listener, CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            guard socket >= 0 else { continue }
            do throws(IdentityError) {
                try serve(socket)
            } catch {
                logger.info("a node's request was not served: \(error)")
            }
        }
    }

    private func serve(_ socket: CInt) throws(IdentityError) {
        let contents: CADirectory.Contents
        let own: WorkloadCertificate
        let key: PrivateKey
        do throws(IdentityError) {
            contents = try directory.read(now: now())
            guard let issuer = contents.node ?? contents.root,
                let id = SPIFFEID("spiffe://\(directory.trustDomain)\(JoinPath.authority)")
            else { throw directory.noRoot() }
            own = try issuer.issue(id, lifetime: Self.certificateLifetime, now: now())
            key = try PrivateKey(der: own.privateKey)
        } catch {
            close(socket)
            throw error
        }
        // A node that joins does not have the root yet: it is sent too, and compared with what the token says.
        let chain = own.chain + (contents.root.map { [$0.certificate.der] } ?? [])
        let connection = try TLSConnection(
            socket, .server, chain: chain, key: key, seconds: Self.connectionSeconds)
        let peer = try connection.peerChain()
        let request = try connection.receive(
            limit: peer.isEmpty ? JoinMessage.requestLimit : JoinMessage.nodeRequestLimit)
        let answer: JoinMessage
        do throws(IdentityError) {
            answer = try JoinDesk(directory: directory, contents: contents, logger: logger, now: now()).answer(
                request, peer: peer)
        } catch {
            let isOurs = error.cause == .file || error.cause == .crypto
            if isOurs { logger.error("a node's request failed: \(error)") }
            answer = JoinMessage([
                "status": "refused", "reason": isOurs ? "the CA failed: its log says why" : error.description,
            ])
        }
        try connection.send(answer)
    }
}

/// The paths of SPIFFE ids that only the CA and agents have: workloads' begin with `/ns/`.
enum JoinPath {
    static let authority = "/weft/ca"

    static func node(_ name: String) -> String { "/weft/node/\(name)" }
}
