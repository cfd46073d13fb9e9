import CLinux
import Glibc

/// The signals that a reactor receives, through signalfd(2).
struct ReactorSignals {
    fileprivate var descriptor: CInt = -1
    fileprivate var mask = sigset_t()
    fileprivate var handlers: [UInt32: () -> Void] = [:]

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
    }
}

extension Reactor {
    /// Calls `handler` on the reactor's thread when `signal` arrives.
    ///
    /// The signal is blocked in the calling thread. Threads that exist already do not block it, so this is called before
    /// any other thread is started.
    public func onSignal(_ signal: CInt, _ handler: @escaping () -> Void) throws(SystemError) {
        if signals.descriptor < 0 { _ = unsafe sigemptyset(&signals.mask) }
        guard unsafe sigaddset(&signals.mask, signal) == 0 else { throw SystemError("receive signal \(signal)") }
        signals.handlers[UInt32(signal)] = handler
        let blocked = unsafe pthread_sigmask(SIG_BLOCK, &signals.mask, nil)
        guard blocked == 0 else { throw SystemError("block signal \(signal)", code: blocked) }
        let flags = CInt(SFD_CLOEXEC | SFD_NONBLOCK)
        let descriptor = unsafe signalfd(signals.descriptor, &signals.mask, flags)
        guard descriptor >= 0 else { throw SystemError("receive signal \(signal)") }
        guard signals.descriptor < 0 else { return }
        signals.descriptor = descriptor
        try register(descriptor, .readable) { [unowned self] _ in receiveSignals() }
    }

    /// Makes writing to a closed connection an error of write(2) and not the end of the process.
    public static func ignoreBrokenPipes() {
        _ = Glibc.signal(SIGPIPE, SIG_IGN)
    }

    private func receiveSignals() {
        while true {
            var info = signalfd_siginfo()
            let size = MemoryLayout<signalfd_siginfo>.size
            guard unsafe read(signals.descriptor, &info, size) == size else { return }
            signals.handlers[info.ssi_signo]?()
        }
    }
}
