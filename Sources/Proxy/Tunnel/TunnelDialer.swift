import CLinux
import Glibc
import Synchronization

/// Connects threads of the agent that are no workers to endpoints: where those are tunnelled to, by a tunnel of a worker
/// and with the agent's own identity.
final class TunnelDialer: Sendable {
    /// A non-blocking socket.
    struct Connection {
        var descriptor: CInt
        /// The first byte that comes is the worker's and says that the tunnel stands; an end in its place, that it does
        /// not. What is sent before waits for it.
        var awaitsTunnel = false
    }

    private struct State {
        var mailbox: WorkerMailbox?
        var table: TunnelTable?
    }

    private let state = Mutex(State())

    /// Whose tunnels are used.
    func use(_ mailbox: WorkerMailbox) { state.withLock { $0.mailbox = mailbox } }
    func adopt(_ table: TunnelTable) { state.withLock { $0.table = table } }

    /// A connection that stands or is being made; nil: it has failed at once.
    /// - Parameter isProbe: it carries nothing; a tunnel stands once the other agent has reached the workload itself.
    func connect(to endpoint: weft_endpoint, isProbe: Bool = false) -> Connection? {
        let mailbox = state.withLock { state -> WorkerMailbox? in
            guard let table = state.table, table.isTunnelled(ClientAddress(endpoint)) else { return nil }
            return state.mailbox
        }
        guard let mailbox else {
            var inProgress = false
            let descriptor = Sockets.connect(to: endpoint, inProgress: &inProgress)
            return descriptor >= 0 ? Connection(descriptor: descriptor) : nil
        }
        guard let pair = Sockets.pair() else { return nil }
        mailbox.post(.dial(descriptor: pair.1, endpoint, isProbe: isProbe))
        return Connection(descriptor: pair.0, awaitsTunnel: true)
    }
}

extension Worker {
    /// Carries the bytes of `descriptor`, the other end of which a thread of the agent has.
    mutating func dialTunnel(_ descriptor: CInt, _ endpoint: weft_endpoint, isProbe: Bool) {
        // The peer sees the address of this node, since no workload connects.
        let nowhere = ClientAddress(high: 0, low: 0, port: 0)
        let opening = openTunnel(
            descriptor, source: TunnelTable.agent, target: ClientAddress(endpoint), service: 0, destination: 0,
            client: nowhere, owner: .caller, isProbe: isProbe)
        guard case .opened = opening else {
            statistics.add(.tunnelStreamsFailed)
            close(descriptor)
            return
        }
    }

    /// Tells who has asked for a tunnel that it stands; the socket has room for it, since it was empty.
    func tellCaller(_ index: UInt32) {
        guard case .caller = tunnels.streams[index].owner else { return }
        var byte: UInt8 = 1
        _ = unsafe Glibc.send(tunnels.streams[index].descriptor, &byte, 1, Sockets.sendFlags)
    }
}
