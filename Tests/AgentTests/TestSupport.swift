import CLinux
import Glibc

@testable import Agent

/// A thread for a test: it is joined, so nothing of it outlives the test.
final class TestThread {
    private var thread = pthread_t()

    private final class Work {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    init(_ body: @escaping @Sendable () -> Void) throws {
        let work = unsafe Unmanaged.passRetained(Work(body)).toOpaque()
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, work)
        guard result == 0 else { throw SystemError("start a thread", code: result) }
    }

    func join() { _ = pthread_join(thread, nil) }
}

/// Two connected stream sockets; the near one does not block.
final class SocketPair {
    let near: CInt
    let far: CInt

    init() throws {
        var descriptors: [CInt] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &descriptors) == 0 else {
            throw SystemError("make a socket pair", code: weft_errno())
        }
        near = descriptors[0]
        far = descriptors[1]
        _ = fcntl(near, F_SETFL, O_NONBLOCK)
    }

    deinit {
        close(near)
        close(far)
    }

    func sendFromFar(_ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe write(far, bytes, bytes.count)
    }
}
