// Unsafe code of this file: epoll's events for the duration of one system call.

import CLinux
import Glibc

/// An epoll instance.
final class EventQueue {
    private let descriptor: CInt

    init() throws(ProbeProblem) {
        descriptor = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw ProbeProblem("epoll cannot be used", errno: weft_errno()) }
    }

    deinit { close(descriptor) }

    /// Takes in a socket until it is closed.
    func add(_ end: ProbeEnd, _ interest: UInt32) throws(ProbeProblem) {
        var event = unsafe epoll_event(events: interest, data: unsafe epoll_data_t(u64: 0))
        guard unsafe epoll_ctl(descriptor, EPOLL_CTL_ADD, end.descriptor, &event) == 0 else {
            throw ProbeProblem("epoll cannot be used", errno: weft_errno())
        }
    }

    /// The events of one of them that are there within that time; 0: none.
    func wait(_ milliseconds: Int) -> UInt32 {
        var event = unsafe epoll_event()
        let deadline = Patience.now + Int64(milliseconds)
        while true {
            let count = unsafe epoll_wait(descriptor, &event, 1, CInt(max(0, deadline - Patience.now)))
            if count > 0 { return unsafe event.events }
            if count == 0 || weft_errno() != EINTR { return 0 }
        }
    }
}
