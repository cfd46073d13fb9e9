import CLinux
import Glibc
import Mesh
import Testing

@testable import Proxy

let webID = "spiffe://cluster.local/ns/shop/sa/web"
let cartID = "spiffe://cluster.local/ns/shop/sa/cart"

extension TrustSnapshot {
    /// What a node knows that has these certificates and trusts these authorities in their domains.
    init(_ certificates: [WorkloadCertificate], _ bundles: [String: TrustBundle]) {
        let own = Dictionary(certificates.map { ($0.spiffeID, $0) }, uniquingKeysWith: { $1 })
        self.init(identities: own, bundles: bundles)
    }
}

/// One side of a connection of a test, with its own contexts.
final class TLSEnd {
    var contexts: TLSContexts
    var connection: TLSConnection
    let descriptor: CInt
    /// Whether the handshake is done.
    var isComplete = false
    var failure: TLSFailure?

    init(
        _ snapshot: TrustSnapshot, identity: String, role: TLSRole, descriptor: CInt, kernel: KernelTLS = .none
    ) throws {
        var contexts = TLSContexts(kernel: kernel)
        contexts.adopt(TrustMaterial(snapshot))
        connection = try contexts.connection(identity: identity, role: role, descriptor: descriptor)
        self.contexts = contexts
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    deinit { close(descriptor) }

    /// Another connection of the same contexts.
    func replace(identity: String, role: TLSRole) throws {
        connection = try contexts.connection(identity: identity, role: role, descriptor: descriptor)
    }

    var peer: PeerIdentity? { connection.peer }

    /// Goes on as far as it can with what has arrived.
    func step() {
        guard failure == nil else { return }
        if !isComplete {
            switch connection.handshake() {
            case .complete: isComplete = true
            case .failed(let reason): failure = reason
            case .wantsRead, .wantsWrite: return
            }
        }
        guard isComplete else { return }
        // Finds out what the peer thinks of us, and nothing else: no data is sent meanwhile.
        var byte: UInt8 = 0
        if case .failed(let reason) = unsafe withUnsafeMutableBytes(of: &byte, { unsafe connection.read(into: $0) }) {
            failure = reason
        }
    }

    /// Goes on until the handshake has ended, with peers of another process.
    func complete() {
        for _ in 0..<500 where !isComplete && failure == nil {
            step()
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if !isComplete, failure == nil { _ = unsafe poll(&wait, 1, 20) }
        }
    }

    func read(atMost limit: Int = 65_536) -> (bytes: [UInt8], result: TLSResult) {
        var result = TLSResult.wantsRead
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            result = unsafe connection.read(into: UnsafeMutableRawBufferPointer(buffer))
            if case .bytes(let number) = result { count = number }
        }
        return (bytes, result)
    }

    /// What the peer says, `count` bytes or until it ends or nothing comes for five seconds.
    func receive(_ count: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count {
            let (bytes, result) = read(atMost: count - all.count)
            all += bytes
            switch result {
            case .bytes: continue
            case .wantsRead, .wantsWrite:
                var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard unsafe poll(&wait, 1, 5_000) == 1 else { return all }
            case .closed, .failed: return all
            }
        }
        return all
    }

    func write(_ bytes: ArraySlice<UInt8>) -> TLSResult {
        unsafe bytes.withUnsafeBytes { unsafe connection.write($0) }
    }

    func write(_ text: String) -> TLSResult { write(Array(text.utf8)[...]) }
}

/// Both ends of a stream in this process.
func socketPair() -> (CInt, CInt) {
    var pair: [CInt] = [-1, -1]
    _ = unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair)
    return (pair[0], pair[1])
}

/// Both ends of a TCP connection over loopback.
func loopbackPair() throws -> (CInt, CInt) {
    let listener = try LoopbackListener()
    let client = TestDescriptor.connect(port: listener.port)
    return (client, listener.accept())
}

/// A listening socket on a port of the system's choice.
final class LoopbackListener {
    let descriptor: CInt
    let port: UInt16

    init() throws {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = TestDescriptor.loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isListening = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(isListening)
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }

    func accept() -> CInt { Glibc.accept(descriptor, nil, nil) }
}

enum TestDescriptor {
    static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    static func connect(port: UInt16) -> CInt {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = loopback(port)
        _ = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return descriptor
    }
}

/// A client's and a server's end.
struct TLSPair {
    let client: TLSEnd
    let server: TLSEnd

    init(
        client: TrustSnapshot, as clientIdentity: String, server: TrustSnapshot, as serverIdentity: String,
        over descriptors: (CInt, CInt) = socketPair(), kernel: KernelTLS = .none
    ) throws {
        // A write to a connection that is gone is an error here, as it is in the agent.
        _ = signal(SIGPIPE, SIG_IGN)
        self.client = try TLSEnd(
            client, identity: clientIdentity, role: .client, descriptor: descriptors.0, kernel: kernel)
        self.server = try TLSEnd(
            server, identity: serverIdentity, role: .server, descriptor: descriptors.1, kernel: kernel)
    }

    /// Runs both handshakes to their ends.
    func handshake() {
        for _ in 0..<20 {
            client.step()
            server.step()
        }
    }

    var isComplete: Bool {
        client.isComplete && server.isComplete && client.failure == nil && server.failure == nil
    }
}
