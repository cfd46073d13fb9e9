import CLinux
import Glibc
import WeftABI

/// Ends connections that the sweep has found to be over: forbidden by a policy change, or on a drained backend.
enum SocketDestroyer {
    /// What became of one batch.
    struct Outcome: Sendable {
        var ended = 0
        /// How many could not be ended, with the last reason.
        var failed = 0
        var reason = ""
    }

    static func destroy(_ doomed: [weft_doomed]) -> Outcome {
        var outcome = Outcome()
        for (cookie, sockets) in Dictionary(grouping: doomed, by: \.netns_cookie) {
            let entered: Void? = NetworkNamespace.inside(cookie) {
                let descriptor = weft_open_sock_diag()
                guard descriptor >= 0 else {
                    outcome.failed += sockets.count
                    outcome.reason = "cannot open a sock_diag socket (errno \(weft_errno()))"
                    return
                }
                defer { close(descriptor) }
                for socket in sockets {
                    var ends = weft_socket_ends(socket)
                    let result = unsafe weft_destroy_socket(descriptor, &ends)
                    switch -result {
                    case 0: outcome.ended += 1
                    case ENOENT: break  // it has ended by itself
                    case EOPNOTSUPP:
                        outcome.failed += 1
                        outcome.reason = "the kernel is built without CONFIG_INET_DIAG_DESTROY"
                    case let code:
                        outcome.failed += 1
                        outcome.reason = "SOCK_DESTROY failed (errno \(code))"
                    }
                }
            }
            if entered == nil {
                outcome.failed += sockets.count
                outcome.reason = "no process is left in their network namespace"
            }
        }
        return outcome
    }
}

extension weft_socket_ends {
    fileprivate init(_ socket: weft_doomed) {
        self.init()
        family = socket.family
        `protocol` = socket.protocol
        local_port = socket.local_port
        peer_port = socket.peer_port
        cookie = socket.cookie
        func words(_ address: weft_address) -> (UInt32, UInt32, UInt32, UInt32) {
            let last = UInt32(truncatingIfNeeded: address.low >> 32)
            if socket.family == UInt8(AF_INET) { return (last, 0, 0, 0) }
            return (
                UInt32(truncatingIfNeeded: address.high), UInt32(truncatingIfNeeded: address.high >> 32),
                UInt32(truncatingIfNeeded: address.low), last
            )
        }
        local_address = words(socket.local_address)
        peer_address = words(socket.peer_address)
    }
}
