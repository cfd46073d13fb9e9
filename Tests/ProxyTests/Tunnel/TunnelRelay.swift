import CLinux
import Glibc
import Mesh
import Synchronization

@testable import Proxy

/// The network between two agents: passes on what comes, and can stop doing so in either direction.
final class TunnelRelay: Sendable {
    /// At `api`'s address.
    let port: UInt16
    /// What the server sends waits here.
    let holdsAnswers = Atomic<Bool>(false)
    /// What the client sends waits here.
    let holdsRequests = Atomic<Bool>(false)
    /// Connections that were taken.
    let connections = Atomic<Int>(0)
    private let listener: CInt

    /// - Parameter server: the port there to which it leads.
    init(to server: UInt16) {
        let (listener, port) = TunnelPair.listen()
        self.listener = listener
        self.port = port
        _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK)
        startThread { [weak self] in
            while true {
                let descriptor = weft_accept(listener, 0)
                guard descriptor >= 0, let relay = self else { return }
                relay.connections.add(1, ordering: .relaxed)
                let client = TestSocket(descriptor)
                var at = weft_endpoint(high: TunnelPair.address.high, low: TunnelPair.address.low, port: server)
                var isPending: CInt = 0
                let target = TestSocket(unsafe weft_connect_stream(&at, WEFT_PATH_LOCAL, &isPending))
                startThread { relay.pass(from: client, to: target) { $0.holdsRequests.load(ordering: .relaxed) } }
                startThread { relay.pass(from: target, to: client) { $0.holdsAnswers.load(ordering: .relaxed) } }
            }
        }
    }

    deinit {
        _ = shutdown(listener, CInt(SHUT_RDWR))
        close(listener)
    }

    private func pass(from source: TestSocket, to target: TestSocket, while holds: (TunnelRelay) -> Bool) {
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        _ = unsafe setsockopt(
            source.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        while true {
            let bytes = source.receive()
            while holds(self) { usleep(1_000) }
            guard !bytes.isEmpty else {
                _ = shutdown(target.descriptor, CInt(SHUT_RDWR))
                return
            }
            target.send(bytes)
        }
    }
}
