// Unsafe code of this file: a thread's argument, retained until the thread has taken it.

import CLinux
import Glibc

/// A thread that runs one function.
struct JoinThread: Sendable {
    private let thread: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    init(name: String, _ body: @escaping @Sendable () -> Void) throws(IdentityError) {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                unsafe weft_name_thread(start.name)
                start.body()
                return nil
            }, argument.toOpaque())
        guard error == 0 else {
            unsafe argument.release()
            throw IdentityError(.file, "a thread cannot be started (error \(error))")
        }
        self.thread = thread
    }

    func join() { pthread_join(thread, nil) }

    /// Lets it end by itself.
    func detached() { pthread_detach(thread) }
}
