internal import CLinux
internal import Glibc
internal import Mesh

/// One check under way: a connection and, for HTTP, a request and the beginning of its answer.
struct HealthProbe {
    private enum Phase {
        /// The tunnel's end, or the socket's.
        case tunnelling, connecting, sending(from: Int), receiving
    }

    let descriptor: CInt
    /// When it has failed at the latest, nanoseconds.
    let deadline: UInt64
    private let check: HealthCheck
    private let request: [UInt8]
    private var phase = Phase.connecting
    /// Of the status line, as far as the status.
    private var answer: [UInt8] = []

    private static let answerLength = "HTTP/1.1 200".utf8.count

    /// nil if the connection failed at once.
    init?(_ check: HealthCheck, endpoint: MeshEndpoint, _ dialer: TunnelDialer, now: UInt64) {
        let address = weft_endpoint(
            high: endpoint.address.high, low: endpoint.address.low, port: check.port ?? endpoint.port)
        var isProbe = false
        if case .tcp = check.probe { isProbe = true }
        guard let connection = dialer.connect(to: address, isProbe: isProbe) else { return nil }
        descriptor = connection.descriptor
        if connection.awaitsTunnel { phase = .tunnelling }
        self.check = check
        deadline = now + UInt64(max(check.timeout, 1)) * 1_000_000
        switch check.probe {
        case .tcp: request = []
        case .http(let path, let host, _): request = Self.request(path: path, host: host, endpoint: endpoint)
        }
    }

    /// What it waits for: of poll(2).
    var events: Int16 {
        switch phase {
        case .connecting, .sending: Int16(POLLOUT)
        case .tunnelling, .receiving: Int16(POLLIN)
        }
    }

    /// Goes on as far as it can. nil: it is not over yet.
    mutating func advance() -> HealthCounter.Result? {
        while true {
            switch phase {
            case .tunnelling:
                var byte: UInt8 = 0
                switch Transfer(unsafe recv(descriptor, &byte, 1, CInt(MSG_DONTWAIT))) {
                case .bytes: phase = .connecting
                case .wouldBlock: return nil
                case .end, .failed: return .failure
                }
            case .connecting:
                guard Sockets.pendingError(descriptor) == 0 else { return .failure }
                if request.isEmpty { return .success }
                phase = .sending(from: 0)
            case .sending(let start):
                switch unsafe Sockets.send(descriptor, request.span.bytes.extracting(start..<request.count)) {
                case .bytes(let count) where start + count == request.count: phase = .receiving
                case .bytes(let count): phase = .sending(from: start + count)
                case .wouldBlock: return nil
                case .end, .failed: return .failure
                }
            case .receiving:
                var bytes = [UInt8](repeating: 0, count: Self.answerLength - answer.count)
                let result = unsafe bytes.withUnsafeMutableBytes {
                    unsafe recv(descriptor, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT))
                }
                switch Transfer(result) {
                case .bytes(let count): answer += bytes[..<count]
                case .wouldBlock: return nil
                case .end, .failed: return .failure
                }
                if answer.count == Self.answerLength { return judge() }
            }
        }
    }

    private func judge() -> HealthCounter.Result {
        guard case .http(_, _, let statuses) = check.probe else { return .failure }
        let text = String(decoding: answer, as: UTF8.self)
        guard text.hasPrefix("HTTP/1."), let status = UInt16(text.suffix(3)) else { return .failure }
        let expected = statuses.isEmpty ? [200...200] : statuses
        if expected.contains(where: { $0.contains(status) }) { return .success }
        return status == 503 ? .refusal : .failure
    }

    private static func request(path: String, host: String?, endpoint: MeshEndpoint) -> [UInt8] {
        // What would end a line or a word has no place in either.
        func clean(_ text: String) -> String {
            String(decoding: text.utf8.filter { $0 > 0x20 && $0 != 0x7f }, as: UTF8.self)
        }
        let place = endpoint.address.isIPv4 ? "\(endpoint.address)" : "[\(endpoint.address)]"
        let text =
            "GET \(clean(path)) HTTP/1.1\r\nHost: \(clean(host ?? "\(place):\(endpoint.port)"))\r\n"
            + "User-Agent: weft-health-check\r\nConnection: close\r\n\r\n"
        return Array(text.utf8)
    }
}
