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
    /// Only what a policy refused.
    public var deniedOnly = false
    public var lane: String?
    public var event: String?
    /// Only what ended since this moment of CLOCK_MONOTONIC, in nanoseconds.
    public var since: UInt64?

    public init() {}

    static let lanes = ["passthrough", "kernel", "accelerated", "shortcut", "tunnel", "proxy"]
    static let events = ["closed", "failed", "denied", "no_backend"]

    /// From the parameters `from`, `to`, `denied` (`true` or `false`), `lane`, `event` and `since` (a duration such as
    /// `90s`, `5m`, `2h`). Parameters of other names are for somebody else.
    public init(query: [(name: String, value: String)], now: UInt64) throws(Invalid) {
        for (name, value) in query {
            switch name {
            case "from": from = value
            case "to": to = value
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
                guard Self.events.contains(value) else {
                    throw Invalid(
                        description:
                            "there is no event '\(value)'; the events are \(Self.events.joined(separator: ", "))")
                }
                event = value
            case "since":
                let age = try Self.nanoseconds(value)
                since = age > now ? 0 : now - age
            default: break
            }
        }
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
        if deniedOnly, UInt32(flow.event) != WEFT_FLOW_DENIED.rawValue { return false }
        if let event, Terms.event(flow.event) != event { return false }
        if let lane, Terms.lane(flow.lane) != lane { return false }
        return true
    }

    /// What needs names.
    func admits(_ record: FlowRecord) -> Bool {
        if let from, !Self.matches(from, record.from), from != record.sourcePrincipal { return false }
        if let to, !Self.matches(to, record.to), !Self.matches(to, record.destination) { return false }
        return true
    }

    private static func matches(_ wanted: String, _ name: String?) -> Bool {
        guard let name else { return false }
        let withoutPort = name.prefix { $0 != ":" }
        if wanted == name || wanted == withoutPort { return true }
        guard !wanted.contains("/"), let slash = name.firstIndex(of: "/") else { return false }
        let short = name[name.index(after: slash)...]
        return wanted == short || wanted == short.prefix { $0 != ":" }
    }
}
