import CLinux
import Glibc

/// Which values of the Host header a listener answers to.
///
/// A web page can have a name of its own resolve to a loopback address, and its scripts are then of the same origin as
/// whatever listens there (DNS rebinding). The Host header tells: it has the page's name.
struct HTTPHostCheck: Sendable {
    /// The IP address that is listened on.
    private let address: String

    /// nil for a Unix socket, which no web page can reach.
    init?(_ listen: HTTPListenAddress) {
        guard case .ip(let address, port: _) = listen else { return nil }
        self.address = address
    }

    /// Whether a request with this Host header may be answered. Ports do not matter: forwarded ones differ.
    func admits(_ header: String?) -> Bool {
        // HTTP/1.0 does without the header, and browsers do not speak it.
        guard let header else { return true }
        let host = Self.host(header)
        if host == "localhost" || host.hasSuffix(".localhost") { return true }
        guard let given = Self.bytes(host) else { return false }
        // Who listens on every address is asked by every address; and an address is never a name that was rebound.
        guard let own = Self.bytes(address), own.contains(where: { $0 != 0 }) else { return true }
        return given == own || Self.isLoopback(given)
    }

    /// Without the port, in lower case, an IPv6 address without its brackets.
    private static func host(_ header: String) -> String {
        let text = header.lowercased()
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            return String(text[text.index(after: text.startIndex)..<end])
        }
        let colon = text.lastIndex(of: ":") ?? text.endIndex
        let name = text[..<colon]
        return String(name.hasSuffix(".") ? name.dropLast() : name)
    }

    /// The 4 or 16 bytes of an address in text; nil for a name.
    private static func bytes(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if unsafe inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes[..<4]) }
        return unsafe inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }

    private static func isLoopback(_ bytes: [UInt8]) -> Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }
}
