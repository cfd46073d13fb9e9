// Unsafe code of this file: a thread's argument, retained until the thread has taken it.

import CLinux
import Glibc

/// A thread beside a probe; what it does has an end of its own.
struct ProbeThread {
    private let thread: pthread_t

    private final class Start {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// - Parameter body: may use what the starting thread does not use before `join`, or what is made for several.
    init(_ body: @escaping () -> Void) throws(ProbeProblem) {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(Start(body))
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, argument.toOpaque())
        guard error == 0 else {
            unsafe argument.release()
            throw ProbeProblem("a thread cannot be started", errno: error)
        }
        self.thread = thread
    }

    func join() { pthread_join(thread, nil) }
}
