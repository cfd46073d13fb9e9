import WeftABI

/// Which flow records somebody wants to see; everything that is set has to hold.
public struct FlowFilter: Sendable, Equatable {
    public struct Invalid: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    /// The client's workload: `namespace/name`, or `name` in any namespace; or its SPIFFE id.
    public var from: String?
    /// The service or the server's workload: `namespace/name`, `namespace/name:port`, or `name` in any namespace.
    public var to: String?
    /// The service alone, in the same forms.
    public var service: String?
    /// Of the client, the service or the server's workload.
    public var namespace: String?
    /// Only what a policy refused, or ended.
    public var deniedOnly = false
    public var lane: String?
    public var event: String?
    /// First digit of the status of the first response.
    public var httpClass: UInt8?
    /// Only what ended since this moment of CLOCK_MONOTONIC, in nanoseconds.
    public var since: UInt64?

    public init() {}

    static let lanes = ["passthrough", "kernel", "accelerated", "shortcut", "tunnel", "proxy"]

    /// From the parameters `from`, `to`, `service`, `namespace`, `denied` (`true` or `false`), `lane`, `event`,
    /// `http_status` (`5xx`; a status such as `503` stands for its class) and `since` (a duration such as `90s`, `5m`,
    /// `2h`). Parameters of other names are for somebody else.
    public init(query: [(name: String, value: String)], now: UInt64) throws(Invalid) {
        for (name, value) in query {
            switch name {
            case "from": from = value
            case "to": to = value
            case "service": service = value
            case "namespace": namespace = value
            case "denied":
                guard ["", "true", "false"].contains(value) else {
                    throw Invalid(description: "denied is true or false, not '\(value)'")
                }
                deniedOnly = value != "false"
            case "lane":
                guard Self.lanes.contains(value) else {
                    throw Invalid(
                        description: "there is no lane '\(value)'; the lanes are \(Self.lanes.joined(separator: ", "))")
                }
                lane = value
            case "event":
                guard Terms.events.contains(value) else {
                    throw Invalid(
                        description:
                            "there is no event '\(value)'; the events are \(Terms.events.joined(separator: ", "))")
                }
                event = value
            case "http_status":
                guard let found = Self.httpClass(value) else {
                    throw Invalid(description: "http_status is a status or a class such as 5xx, not '\(value)'")
                }
                httpClass = found
            case "since":
                let age = try Self.nanoseconds(value)
                since = age > now ? 0 : now - age
            default: break
            }
        }
    }

    /// The class that `5xx` names, or the one of a status such as `503`; nil for anything else.
    public static func httpClass(_ text: String) -> UInt8? {
        let letters = Array(text.utf8)
        guard letters.count == 3, (UInt8(ascii: "1")...UInt8(ascii: "5")).contains(letters[0]) else { return nil }
        let rest = letters[1...]
        guard
            rest.allSatisfy({ $0 == UInt8(ascii: "x") || $0 == UInt8(ascii: "X") })
                || rest.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return letters[0] - UInt8(ascii: "0")
    }

    private static func nanoseconds(_ text: String) throws(Invalid) -> UInt64 {
        let units: [Character: UInt64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        guard let last = text.last, let unit = units[last], let count = UInt64(text.dropLast()), count <= 1_000_000
        else { throw Invalid(description: "since is a duration such as 90s, 5m or 2h, not '\(text)'") }
        return count * unit * 1_000_000_000
    }

    /// What can be said without names.
    func admits(_ flow: weft_flow) -> Bool {
        if let since, flow.ended_ns < since { return false }
        if deniedOnly, !Self.isRefusal(flow.event) { return false }
        if let event, Terms.event(flow.event) != event { return false }
        if let lane, Terms.lane(flow.lane) != lane { return false }
        return true
    }

    private static func isRefusal(_ event: UInt8) -> Bool {
        [WEFT_FLOW_DENIED.rawValue, WEFT_FLOW_ENDED_BY_POLICY.rawValue].contains(UInt32(event))
    }

    /// Whether a record is wanted, whoever has read it; everything but `since`.
    public func admits(_ record: some FlowDescription) -> Bool {
        if deniedOnly, !["denied", "ended_by_policy"].contains(record.event) { return false }
        if let event, event != record.event { return false }
        if let lane, lane != record.lane { return false }
        if let httpClass, httpClass != record.httpClass { return false }
        if let from, !NamePattern.matches(from, record.from), from != record.sourcePrincipal { return false }
        if let to, !NamePattern.matches(to, record.to), !NamePattern.matches(to, record.destination) { return false }
        if let service, !NamePattern.matches(service, record.to) { return false }
        if let namespace {
            let names = [record.from, record.to, record.destination]
            guard names.contains(where: { NamePattern.namespace(of: $0) == namespace[...] }) else { return false }
        }
        return true
    }
}

/// What a filter looks at in a flow record.
public protocol FlowDescription {
    /// As in `FlowRecord`.
    var event: String { get }
    var lane: String { get }
    var from: String? { get }
    var sourcePrincipal: String? { get }
    var to: String? { get }
    var destination: String? { get }
    /// First digit of the status of the first response; nil: no HTTP was read.
    var httpClass: UInt8? { get }
}

/// Names as people write them on command lines.
public enum NamePattern {
    /// Whether `wanted` means `name`, which is `namespace/name` or `namespace/name:port`: as it is, without the port, or
    /// without the namespace.
    public static func matches(_ wanted: String, _ name: String?) -> Bool {
        guard let name else { return false }
        let withoutPort = name.prefix { $0 != ":" }
        if wanted == name || wanted == withoutPort { return true }
        guard !wanted.contains("/"), let slash = name.firstIndex(of: "/") else { return false }
        let short = name[name.index(after: slash)...]
        return wanted == short || wanted == short.prefix { $0 != ":" }
    }

    /// The namespace of `namespace/name`; nil if there is none.
    public static func namespace(of name: String?) -> Substring? {
        guard let name, let slash = name.firstIndex(of: "/") else { return nil }
        return name[..<slash]
    }
}
