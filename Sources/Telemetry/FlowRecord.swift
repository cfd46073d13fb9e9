import Proxy
public import WeftABI

/// One ended, failed or refused connection, with names instead of identifiers.
public struct FlowRecord: Sendable, FlowDescription {
    /// When it ended, in nanoseconds since 1970.
    public var time: Int64
    /// `closed`, `failed`, `denied` or `no_backend`; `ended_by_policy` and `ended_by_drain`: it was established, and ended
    /// because a policy allows it no more, or because the deadline of its backend's drain has passed.
    public var event: String
    /// Which end saw it: `source` or `destination`.
    public var reporter: String
    /// `tcp` or `udp`.
    public var transport: String
    public var lane: String
    /// The client's workload, `namespace/name`; nil if it has none.
    public var from: String?
    /// The client's SPIFFE id: as a certificate has proved it in the tunnel lane, elsewhere that of its workload; nil if it
    /// has none.
    public var sourcePrincipal: String?
    /// The service, `namespace/name:port`; nil for a workload's own address, and outside the mesh.
    public var to: String?
    /// The server's workload, `namespace/name`; nil if it has none.
    public var destination: String?
    /// `address:port` of the client; nil when the connection was refused before it had one.
    public var sourceAddress: String?
    /// What the client asked for.
    public var serviceAddress: String?
    /// What it was connected to; nil if nothing.
    public var peerAddress: String?
    /// Of a destination outside the mesh: the class of its address.
    public var addressClass: String?
    /// The rule that allowed, denied or ended it, `namespace/policy[rule]`; nil if no policy applies.
    public var rule: String?
    /// Payload, as the reporter's socket sent and received it.
    public var sentBytes: UInt64
    public var receivedBytes: UInt64
    /// From connect() to the end.
    public var durationMicroseconds: UInt64
    /// connect() to established; nil if it never was, or for UDP.
    public var connectMicroseconds: UInt64?
    /// Smoothed round-trip time at the end; nil for UDP and for what was never established.
    public var rttMicroseconds: UInt64?
    public var retransmits: UInt32
    /// For how long the reporter's socket had to send what its peer's receive window had no room for.
    public var windowLimitedMicroseconds: UInt64
    /// First digit of the status of the first response; nil: no HTTP was read, or there was none.
    public var httpClass: UInt8?
    /// Requests that were read, whatever became of them; nil: no HTTP was read.
    public var httpRequests: UInt32?
    /// errno of a connection that failed; nil otherwise.
    public var error: Int32?
    /// The socket's cookie, the cookie of its network namespace and the client's cgroup.
    public var cookie: UInt64
    public var netnsCookie: UInt64
    public var cgroup: UInt64

    /// - Parameter texts: what is known of the flow beside identifiers.
    public init(_ flow: weft_flow, _ texts: FlowTexts? = nil, directory: some NameDirectory, clock: WallClock) {
        func endpoint(_ address: weft_address, _ port: UInt16) -> String? {
            guard address.high != 0 || address.low != 0 else { return nil }
            return AddressText.text(address, port: port)
        }
        // An identifier that has lost its name is still told apart from the others.
        func name(_ id: UInt64, _ name: String?) -> String? {
            id == 0 ? nil : name ?? "#" + String(id, radix: 16)
        }
        time = clock.unixNanoseconds(monotonic: flow.ended_ns)
        event = Terms.event(flow.event)
        reporter = Terms.reporter(flow.reporter)
        transport = Terms.transport(flow.protocol)
        lane = Terms.lane(flow.lane)
        let source = directory.workload(flow.source)
        from = name(flow.source, source?.fullName)
        sourcePrincipal = [texts?.principal, source?.principal].compactMap { $0 }.first { !$0.isEmpty }
        to = name(flow.service, directory.service(flow.service)?.fullName)
        destination = name(flow.destination, directory.workload(flow.destination)?.fullName)
        sourceAddress = endpoint(flow.source_address, flow.source_port)
        serviceAddress = endpoint(flow.service_address, flow.service_port)
        peerAddress = endpoint(flow.peer_address, flow.peer_port)
        addressClass = flow.address_class == 0 ? nil : Terms.addressClass(flow.address_class)
        rule = texts == nil ? name(flow.rule, directory.rule(flow.rule)) : texts?.rule
        sentBytes = flow.sent_bytes
        receivedBytes = flow.received_bytes
        durationMicroseconds = flow.ended_ns >= flow.started_ns ? (flow.ended_ns - flow.started_ns) / 1000 : 0
        connectMicroseconds = flow.connect_us == 0 ? nil : flow.connect_us
        rttMicroseconds = flow.rtt_us == 0 ? nil : UInt64(flow.rtt_us)
        retransmits = flow.retransmits
        windowLimitedMicroseconds = flow.window_limited_us
        httpClass = flow.http_class == 0 ? nil : flow.http_class
        httpRequests = flow.http_requests == 0 ? nil : flow.http_requests
        error = flow.error == 0 ? nil : Int32(truncatingIfNeeded: flow.error)
        cookie = flow.cookie
        netnsCookie = flow.netns_cookie
        cgroup = flow.cgroup
    }
}

/// What is known of a connection through a tunnel beside identifiers.
public struct FlowTexts: Sendable, Equatable {
    /// The client's SPIFFE id.
    public var principal: String
    /// The rule that has decided, `namespace/policy[rule]`; nil: none applies.
    public var rule: String?
}

extension weft_flow {
    /// A connection that came through a tunnel, as the kernel would have written it at the server's end.
    init(_ tunnel: TunnelFlow) {
        self.init()
        started_ns = tunnel.started
        ended_ns = tunnel.ended
        source = tunnel.source
        destination = tunnel.destination
        sent_bytes = tunnel.sent
        received_bytes = tunnel.received
        source_address = weft_address(high: tunnel.client.high.bigEndian, low: tunnel.client.low.bigEndian)
        source_port = tunnel.client.port.bigEndian
        service_address = weft_address(high: tunnel.target.high.bigEndian, low: tunnel.target.low.bigEndian)
        service_port = tunnel.target.port.bigEndian
        peer_address = service_address
        peer_port = service_port
        self.protocol = 6
        lane = UInt8(WEFT_LANE_TUNNEL.rawValue)
        event = tunnel.event.rawValue
        reporter = UInt8(WEFT_REPORTER_DESTINATION.rawValue)
        error = UInt32(bitPattern: tunnel.error)
        http_class = tunnel.requests.firstClass
        http_requests = tunnel.requests.count
    }
}

extension FlowTexts {
    init(_ entry: borrowing TunnelFlowEntry) {
        principal = "spiffe://" + Self.text(entry.peer)
        rule = entry.rule.isEmpty ? nil : Self.text(entry.rule)
    }

    private static func text(_ bytes: RawSpan) -> String {
        unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }
}

extension FlowRecord {
    /// One JSON object without line feeds. Every key is always there, in this order; `null` says that there is none.
    ///
    /// `time` (RFC 3339, UTC), `event`, `reporter`, `protocol`, `lane`, `from`, `source_principal`, `to`, `destination`,
    /// `source_address`, `service_address`, `peer_address`, `address_class`, `rule`, `bytes_sent`, `bytes_received`, `duration_us`,
    /// `connect_us`, `rtt_us`, `retransmits`, `window_limited_us`, `http_class` (`2xx`), `http_requests`, `error` (the errno's
    /// number), `cookie`, `netns_cookie`, `cgroup`.
    public func writeJSON(to bytes: inout [UInt8]) {
        var object = JSONObjectWriter()
        object.add("time", WallClock.text(unixNanoseconds: time))
        object.add("event", event)
        object.add("reporter", reporter)
        object.add("protocol", transport)
        object.add("lane", lane)
        object.add("from", from)
        object.add("source_principal", sourcePrincipal)
        object.add("to", to)
        object.add("destination", destination)
        object.add("source_address", sourceAddress)
        object.add("service_address", serviceAddress)
        object.add("peer_address", peerAddress)
        object.add("address_class", addressClass)
        object.add("rule", rule)
        object.add("bytes_sent", number: sentBytes)
        object.add("bytes_received", number: receivedBytes)
        object.add("duration_us", number: durationMicroseconds)
        object.add("connect_us", number: connectMicroseconds)
        object.add("rtt_us", number: rttMicroseconds)
        object.add("retransmits", number: retransmits)
        object.add("window_limited_us", number: windowLimitedMicroseconds)
        object.add("http_class", httpClass.map { "\($0)xx" })
        object.add("http_requests", number: httpRequests)
        object.add("error", number: error)
        object.add("cookie", number: cookie)
        object.add("netns_cookie", number: netnsCookie)
        object.add("cgroup", number: cgroup)
        bytes.append(contentsOf: object.finished())
    }
}
