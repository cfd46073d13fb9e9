import CLinux
import Glibc

/// A client of the agent's admin API: HTTP/1.1 (RFC 9112) with `Connection: close` over the Unix socket
/// `<run-dir>/admin.sock`.
struct AdminClient {
    let path: String

    init(runDirectory: String) { path = runDirectory + "/admin.sock" }

    /// Whether something listens at the socket.
    var isThere: Bool {
        guard let descriptor = try? connect(seconds: 1) else { return false }
        close(descriptor)
        return true
    }

    struct Response {
        var status: Int
        var body: [UInt8]
    }

    /// Sends a request and reads the whole answer.
    ///
    /// - Parameter seconds: how long the agent may be silent.
    func request(_ method: String, _ target: String, body: [UInt8] = [], seconds: Int = 10) throws(Failure) -> Response
    {
        var collected: [UInt8] = []
        let status = try stream(method, target, body: body, seconds: seconds) { collected += $1 }
        return Response(status: status, body: collected)
    }

    /// Sends a request and hands out the answer's body piece by piece, with its status code, until it ends. Returns the
    /// status code.
    ///
    /// - Parameter seconds: how long the agent may be silent; 0 for ever.
    func stream(
        _ method: String, _ target: String, body: [UInt8] = [], seconds: Int, receive: (_ status: Int, [UInt8]) -> Void
    ) throws(Failure) -> Int {
        let descriptor = try connect(seconds: seconds)
        defer { close(descriptor) }

        var head = "\(method) \(target) HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n"
        if !body.isEmpty { head += "Content-Type: application/json\r\n" }
        if !body.isEmpty || method == "POST" { head += "Content-Length: \(body.count)\r\n" }
        try send(Array((head + "\r\n").utf8) + body, on: descriptor)

        var reader = HTTPResponseReader()
        var chunk = [UInt8](repeating: 0, count: 16384)
        while !reader.isComplete {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0 {
                let error = weft_errno()
                if error == EINTR { continue }
                throw .unknown(
                    error == EAGAIN
                        ? "the agent did not answer \(target) within \(seconds) s"
                        : "reading from the agent at \(path): \(errorText(error))")
            }
            do {
                let piece = count == 0 ? try reader.end() : try reader.read(chunk[..<count])
                if !piece.isEmpty { receive(reader.status, piece) }
            } catch {
                throw .unknown("the answer of the agent at \(path) is not HTTP: \(error)")
            }
            if count == 0 { break }
        }
        return reader.status
    }

    private func connect(seconds: Int) throws(Failure) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw .usage("the path of the agent's socket is too long for a Unix socket: \(path)")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }

        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .unknown("socket: \(errorText(weft_errno()))") }
        if seconds > 0 {
            var timeout = timeval(tv_sec: seconds, tv_usec: 0)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let error = weft_errno()
            close(descriptor)
            throw .unknown(Self.unreachable(path, error))
        }
        return descriptor
    }

    private static func unreachable(_ path: String, _ error: CInt) -> String {
        switch error {
        case ENOENT, ECONNREFUSED:
            "no agent answers at \(path): start weftd, or name its run directory (--run-dir or WEFT_RUN_DIR)"
        case EACCES, EPERM: "no permission for the agent's socket \(path): run as root"
        default: "cannot connect to the agent at \(path): \(errorText(error))"
        }
    }

    private func send(_ bytes: [UInt8], on descriptor: CInt) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if sent >= 0 {
                rest = rest.dropFirst(sent)
            } else if weft_errno() != EINTR {
                throw .unknown("writing to the agent at \(path): \(errorText(weft_errno()))")
            }
        }
    }
}

/// The text of an errno.
func errorText(_ code: CInt) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
}
