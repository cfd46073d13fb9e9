import CLinux
import Glibc
import Synchronization

/// A server of a test: a thread for each connection, which does what `serve` says.
final class TestBackend: Sendable {
    let port: UInt16
    private let listener: CInt
    private let accepted = Atomic<Int>(0)

    /// Connections that were taken so far.
    var connections: Int { accepted.load(ordering: .relaxed) }

    /// - Parameter serve: gets the connection and its number, from 0.
    init(_ serve: @escaping @Sendable (TestSocket, Int) -> Void) {
        (listener, port) = listen()
        let flags = fcntl(listener, F_GETFL)
        _ = fcntl(listener, F_SETFL, flags & ~O_NONBLOCK)
        startThread { [listener, accepted = Unowned(self)] in
            while true {
                let descriptor = weft_accept(listener, 0)
                guard descriptor >= 0 else { return }
                let number = accepted.count()
                startThread { serve(TestSocket(descriptor), number) }
            }
        }
    }

    /// Answers each request of a connection with `answer`, which gets the request's head and body.
    convenience init(answering answer: @escaping @Sendable (String) -> String) {
        self.init { socket, _ in
            while let request = readRequest(socket) {
                let response = answer(request)
                socket.send(response)
                if response.contains("onnection: close") { return }
            }
        }
    }

    deinit {
        _ = shutdown(listener, CInt(SHUT_RDWR))
        close(listener)
    }

    private struct Unowned: Sendable {
        weak let backend: TestBackend?

        init(_ backend: TestBackend) { self.backend = backend }

        func count() -> Int { backend?.accepted.wrappingAdd(1, ordering: .relaxed).oldValue ?? 0 }
    }
}

/// The next request with its body; nil at the end of the connection.
func readRequest(_ socket: TestSocket) -> String? {
    let head = socket.receive(until: "\r\n\r\n")
    guard head.hasSuffix("\r\n\r\n") else { return nil }
    let lines = head.lowercased().split(separator: "\r\n")
    for line in lines {
        if line.hasPrefix("content-length:"), let count = Int(line.dropFirst(15).drop { $0 == " " }) {
            return head + socket.receive(count: count)
        }
        if line.hasPrefix("transfer-encoding:") { return head + socket.receive(until: "0\r\n\r\n") }
    }
    return head
}

func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    _ = unsafe pthread_create(
        &thread, nil,
        { argument in
            guard let argument = unsafe argument else { return nil }
            unsafe Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    pthread_detach(thread)
}
