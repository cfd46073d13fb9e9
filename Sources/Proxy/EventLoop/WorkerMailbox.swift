import CLinux
import Glibc
import Synchronization

/// What other threads want of a worker.
enum WorkerMail: Sendable {
    case open(ListenerID, descriptor: CInt, ListenerKind)
    case close(ListenerID)
    case adopt(ProxyConfiguration)
    /// An authorizer that was asked by gRPC has answered, or has not.
    case checked(CheckReply)
    case adoptTunnels(TunnelTable)
    /// To an endpoint, from the other end of a socket pair.
    case dial(descriptor: CInt, weft_endpoint, isProbe: Bool)
    case adoptTrust(TrustMaterial)
    /// A connection of an earlier agent.
    case inherit(Inheritance)
    /// No further requests; those in progress may end.
    ///
    /// - leavesShortcuts: connections that the kernel's programs decide about stay for the next agent.
    case drain(leavesShortcuts: Bool)
    case stop
}

/// Where other threads leave work for one worker; it wakes by an eventfd.
final class WorkerMailbox: Sendable {
    let descriptor: CInt
    private let mail = Mutex<[WorkerMail]>([])

    /// nil when the process has no descriptor left.
    init?() {
        descriptor = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { return nil }
    }

    deinit { close(descriptor) }

    func post(_ item: WorkerMail) {
        mail.withLock { $0.append(item) }
        wake()
    }

    func wake() {
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Everything posted so far, in order.
    func collect() -> [WorkerMail] {
        var count: UInt64 = 0
        _ = unsafe read(descriptor, &count, MemoryLayout<UInt64>.size)
        return mail.withLock { items in
            let all = items
            items.removeAll()
            return all
        }
    }
}
