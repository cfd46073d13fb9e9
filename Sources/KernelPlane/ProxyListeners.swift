import BPF
import CLinux
import Glibc
import Mesh

/// The agent's listening sockets in the network namespaces of the node: a process whose connection is captured reaches
/// the loopback address of its own namespace, and tunnels from other nodes arrive at the workloads' own addresses, so the
/// agent listens in each that has a workload. Belongs to one thread.
public final class ProxyListeners {
    public enum Purpose: Sendable {
        /// Connections that the kernel has turned to the agent.
        case captured
        /// Connections of clients outside of the mesh to ports with rules about requests.
        case inbound
        /// Tunnels from other nodes.
        case tunnel

        /// How far who connects is expected to be.
        fileprivate var path: weft_path {
            switch self {
            case .captured: WEFT_PATH_LOCAL
            case .inbound: WEFT_PATH_ANY
            case .tunnel: WEFT_PATH_NEAR
            }
        }
    }

    /// A listening socket for each worker, all of one place; the receiver closes them.
    public struct Listening: Sendable {
        public var purpose: Purpose
        /// Of the namespace.
        public var netnsCookie: UInt64
        public var place: ProxyAddresses.Place
        public var descriptors: [CInt]
    }

    private let addresses: ProxyAddresses
    private let workers: Int
    private let opened: (Listening) -> Void
    private let closed: (_ netnsCookie: UInt64) -> Void
    /// By inode. Open sockets keep their namespace alive, so no inode here can come to mean another one.
    private var namespaces: [UInt64: UInt64] = [:]
    /// Namespaces in which nothing could be opened, with the reason.
    public private(set) var failures: [UInt64: String] = [:]

    /// The cookies of the namespaces in which the agent listens.
    public var cookies: [UInt64] { namespaces.values.sorted() }

    /// - Parameters:
    ///   - opened: called once for each place in a namespace that has come.
    ///   - closed: called when a namespace has no workload any more: what `opened` gave of it is to be closed.
    public init(
        _ addresses: ProxyAddresses, workers: Int, opened: @escaping (Listening) -> Void,
        closed: @escaping (_ netnsCookie: UInt64) -> Void
    ) {
        self.addresses = addresses
        self.workers = workers
        self.opened = opened
        self.closed = closed
    }

    /// Listens in the agent's own namespace and in those of processes in these cgroups, and no longer in others.
    ///
    /// - Returns: whether anything has changed.
    @discardableResult
    public func refresh(cgroups: [String]) -> Bool {
        var wanted: [UInt64: String] = [:]
        for cgroup in cgroups { NetworkNamespace.collect(ofCgroup: cgroup, into: &wanted) }
        if let inode = FileSystem.inode(NetworkNamespace.own) { wanted[inode] = NetworkNamespace.own }
        var changed = false
        for (inode, cookie) in namespaces where wanted[inode] == nil {
            namespaces[inode] = nil
            closed(cookie)
            changed = true
        }
        failures = failures.filter { wanted[$0.key] != nil }
        for (inode, file) in wanted where namespaces[inode] == nil {
            guard let cookie = open(file) else { continue }
            namespaces[inode] = cookie
            changed = true
        }
        return changed
    }

    /// As if every workload were gone.
    public func close() {
        for cookie in namespaces.values { closed(cookie) }
        namespaces = [:]
    }

    /// - Returns: the cookie of the namespace of that file; nil if it is gone or nothing can be opened there.
    private func open(_ file: String) -> UInt64? {
        let namespace = FileSystem.openFile(file)
        guard namespace.rawValue >= 0, let inode = FileSystem.inode(file) else { return nil }
        let isOwn = file == NetworkNamespace.own
        let outcome = NetworkNamespace.inside(file: namespace) {
            () -> (UInt64, [Listening], (place: ProxyAddresses.Place, code: CInt)?) in
            let cookie = NetworkNamespace.currentCookie
            var listening: [Listening] = []
            var failed: (place: ProxyAddresses.Place, code: CInt)?
            for (purpose, place) in places(isOwn: isOwn) {
                switch Self.listen(at: place, count: workers, for: purpose) {
                case .success(let descriptors):
                    listening.append(
                        Listening(purpose: purpose, netnsCookie: cookie, place: place, descriptors: descriptors))
                // A namespace without IPv6 has no socket of IPv6 to be captured, and no address to be reached at.
                case .failure(let error) where !place.address.isIPv4 && error.isWithoutFamily: break
                case .failure(let error):
                    if failed == nil { failed = (place, error.code) }
                }
            }
            return (cookie, listening, failed)
        }
        guard let (cookie, listening, failed) = outcome else { return nil }
        if let failed {
            for descriptor in listening.flatMap(\.descriptors) { Glibc.close(descriptor) }
            failures[inode] =
                BPFError(
                    operation: "listen at \(failed.place.address) port \(failed.place.port) in",
                    subject: "the network namespace \(inode)", errno: failed.code
                ).description
            return nil
        }
        failures[inode] = nil
        for listener in listening { opened(listener) }
        return cookie
    }

    /// Where to listen in a namespace. An address of the agent's own namespace means nothing in others: tunnels are taken
    /// at all addresses there.
    private func places(isOwn: Bool) -> [(Purpose, ProxyAddresses.Place)] {
        let tunnel = addresses.tunnel
        let everywhere = [IPAddress(v4: 0), IPAddress(high: 0, low: 0)]
        let tunnelAddresses = isOwn && !tunnel.address.isUnspecified ? [tunnel.address] : everywhere
        return [(.captured, addresses.outbound4), (.captured, addresses.outbound6)]
            + addresses.inboundPlaces(isOwn: isOwn).map { (.inbound, $0) }
            + tunnelAddresses.map { (.tunnel, ProxyAddresses.Place(address: $0, port: tunnel.port)) }
    }

    /// Opens `count` sockets that share a place, in the calling thread's namespace.
    public static func listen(
        at place: ProxyAddresses.Place, count: Int, for purpose: Purpose = .inbound
    ) -> Result<[CInt], ListenError> {
        var descriptors: [CInt] = []
        for _ in 0..<count {
            let result = unsafe weft_open_listener(place.address.bytes, place.port, CInt(SOMAXCONN))
            guard result >= 0 else {
                for descriptor in descriptors { Glibc.close(descriptor) }
                return .failure(ListenError(code: -result))
            }
            weft_expect_path(result, purpose.path)
            descriptors.append(result)
        }
        return .success(descriptors)
    }

    public struct ListenError: Error, Sendable {
        /// errno
        public var code: CInt
        var isWithoutFamily: Bool { code == EAFNOSUPPORT || code == EADDRNOTAVAIL }
    }
}
