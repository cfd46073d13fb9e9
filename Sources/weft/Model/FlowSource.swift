import BPF
import KernelPlane
import Telemetry
import WeftABI

/// Which flows a command line asks for.
struct FlowRequest {
    var from: String?
    var to: String?
    var service: String?
    var namespace: String?
    var lane: String?
    /// A status, or a class such as `5xx`.
    var httpStatus: String?
    var deniedOnly = false
    /// No older than this.
    var since: Duration?
    /// Not more than the last so many of those that were.
    var limit: Int

    /// The query of the agent's `/v1/flows`.
    func query(follow: Bool) -> String {
        var parameters = [("limit", "\(limit)")]
        if follow { parameters.append(("follow", "1")) }
        if deniedOnly { parameters.append(("denied", "true")) }
        if let from { parameters.append(("from", from)) }
        if let to { parameters.append(("to", to)) }
        if let service { parameters.append(("service", service)) }
        if let namespace { parameters.append(("namespace", namespace)) }
        if let lane { parameters.append(("lane", lane)) }
        if let httpStatus { parameters.append(("http_status", httpStatus)) }
        if let since { parameters.append(("since", Self.whole(since))) }
        return parameters.map { "\($0.0)=\(percentEncoded($0.1))" }.joined(separator: "&")
    }

    /// The filter for records that are read here.
    func filter(now: UInt64) -> FlowFilter {
        var filter = FlowFilter()
        filter.from = from
        filter.to = to
        filter.service = service
        filter.namespace = namespace
        filter.lane = lane
        filter.httpClass = httpStatus.flatMap(FlowFilter.httpClass)
        filter.deniedOnly = deniedOnly
        if let since {
            let age = UInt64(since.seconds * 1e9)
            filter.since = age > now ? 0 : now - age
        }
        return filter
    }

    private static func whole(_ duration: Duration) -> String { "\(Int(duration.seconds.rounded(.up)))s" }
}

/// RFC 3986's unreserved characters stay, everything else is encoded.
func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            String(decoding: [byte], as: UTF8.self)
        default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }.joined()
}

/// The ring of flow records itself, for a node without an agent.
///
/// What is there is left there for the next agent; following takes records out, so that the ring does not fill up.
final class FlowRing {
    private var ring: RingBuffer
    private let window: FlowWindow
    /// Keeps an agent from starting to read too.
    private let lock: FileDescriptor

    private init(_ ring: consuming RingBuffer, lock: consuming FileDescriptor, window: FlowWindow) {
        self.ring = ring
        self.lock = lock
        self.window = window
    }

    static func open(_ directory: PinDirectory, limit: Int) throws(Failure) -> FlowRing {
        let names = MapNames(Resolver(try NodeMaps(directory)))
        let window = FlowWindow(capacity: max(limit, 1000)) { names }
        do throws(BPFError) {
            let lock = try directory.lock()
            return FlowRing(try .openPinned(directory.map("flows"), name: "flows"), lock: lock, window: window)
        } catch {
            throw Failure(error)
        }
    }

    /// The records that the ring holds.
    func records(_ filter: FlowFilter, limit: Int) -> [[UInt8]] {
        let window = window
        ring.peek { Self.add($0, to: window) }
        return window.records(matching: filter, limit: limit).map(Self.line)
    }

    /// The records from now on, for as long as the process lives.
    func follow(_ filter: FlowFilter, _ body: @escaping ([UInt8]) -> Void) -> Never {
        let window = window
        // These have been read already.
        ring.consume { _ in }
        _ = window.subscribe(filter) { body(Self.line($0)) }
        while true {
            ring.consume { Self.add($0, to: window) }
            pause(.milliseconds(200))
        }
    }

    private static func add(_ bytes: RawSpan, to window: FlowWindow) {
        if bytes.byteCount >= MemoryLayout<weft_flow>.size { window.append(RawFlow(bytes.value())) }
    }

    private static func line(_ record: FlowRecord) -> [UInt8] {
        var bytes: [UInt8] = []
        record.writeJSON(to: &bytes)
        return bytes
    }
}

/// The names of the `names` map as flow records use them.
private final class MapNames: NameDirectory {
    let generation: UInt64 = 0
    private let resolver: Resolver

    init(_ resolver: Resolver) { self.resolver = resolver }

    func workload(_ id: UInt64) -> WorkloadLabels? {
        guard let (namespace, name) = resolver.text(id).flatMap(split) else { return nil }
        return WorkloadLabels(workload: name, namespace: namespace, principal: "")
    }

    func service(_ id: UInt64) -> ServiceLabels? {
        guard let (namespace, rest) = resolver.text(id).flatMap(split), let colon = rest.lastIndex(of: ":"),
            let port = UInt16(rest[rest.index(after: colon)...])
        else { return nil }
        let name = String(rest[..<colon])
        return ServiceLabels(host: "\(name).\(namespace)", name: name, namespace: namespace, port: port)
    }

    func rule(_ id: UInt64) -> String? { resolver.text(id) }

    private func split(_ text: String) -> (String, String)? {
        guard let slash = text.firstIndex(of: "/") else { return nil }
        return (String(text[..<slash]), String(text[text.index(after: slash)...]))
    }
}
