import CLinux
import Glibc

/// The clock of the kernel programs (CLOCK_MONOTONIC), in nanoseconds.
func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Seconds from a time of that clock until now; 0 for one in the future.
func secondsSince(_ nanoseconds: UInt64) -> Double {
    let now = monotonicNanoseconds()
    return now > nanoseconds ? Double(now - nanoseconds) / 1e9 : 0
}

/// Waits; a signal that ends the process ends it here.
func pause(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var rest = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    var left = timespec()
    while unsafe nanosleep(&rest, &left) != 0, weft_errno() == EINTR { rest = left }
}
