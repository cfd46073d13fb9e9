/// Which live requests somebody wants to see; everything that is set has to hold.
public struct TapFilter: Sendable, Equatable {
    /// A workload or a service, at either end: `namespace/name`, or `name` in any namespace.
    public var resource: String?
    /// As in `FlowFilter`.
    public var from: String?
    public var to: String?
    public var service: String?
    public var namespace: String?
    public var lane: String?
    /// In capitals.
    public var method: String?
    /// What the path begins with.
    public var path: String?
    public var status: Status?
    /// Requests that are shown in a second.
    public var maxPerSecond: UInt32 = 100

    /// A status, or a class of them.
    public enum Status: Sendable, Equatable {
        case one(UInt16)
        case all(UInt8)

        func admits(_ status: UInt16?) -> Bool {
            switch self {
            case .one(let wanted): wanted == status
            case .all(let first): status.map { $0 / 100 == UInt16(first) } ?? false
            }
        }
    }

    public static let mostPerSecond: UInt32 = 10_000

    public init() {}

    /// From the parameters `resource`, `from`, `to`, `service`, `namespace`, `lane`, `method`, `path`, `status` (`503`, or
    /// `5xx`) and `max_rps` (1 to 10,000). Parameters of other names are for somebody else.
    public init(query: [(name: String, value: String)]) throws(FlowFilter.Invalid) {
        for (name, value) in query {
            switch name {
            case "resource": resource = value
            case "from": from = value
            case "to": to = value
            case "service": service = value
            case "namespace": namespace = value
            case "lane":
                guard FlowFilter.lanes.contains(value) else {
                    throw FlowFilter.Invalid(
                        description:
                            "there is no lane '\(value)'; the lanes are \(FlowFilter.lanes.joined(separator: ", "))")
                }
                lane = value
            case "method": method = value.uppercased()
            case "path": path = value
            case "status":
                guard let parsed = Self.status(value) else {
                    throw FlowFilter.Invalid(description: "status is a status or a class such as 5xx, not '\(value)'")
                }
                status = parsed
            case "max_rps":
                guard let count = UInt32(value), (1...Self.mostPerSecond).contains(count) else {
                    throw FlowFilter.Invalid(
                        description: "max_rps is a number from 1 to \(Self.mostPerSecond), not '\(value)'")
                }
                maxPerSecond = count
            default: break
            }
        }
    }

    /// `503`, or `5xx`; nil for anything else.
    public static func status(_ text: String) -> Status? {
        if let status = UInt16(text), text.utf8.count == 3 { return status >= 100 ? .one(status) : nil }
        return FlowFilter.httpClass(text).map(Status.all)
    }

    /// Whether a request is wanted, as far as that can be said before its end.
    public func admits(_ event: TapEvent) -> Bool {
        if let lane, lane != event.lane { return false }
        if let method, method != event.method { return false }
        if let path, event.path?.hasPrefix(path) != true { return false }
        let ends = [event.from, event.to, event.destination]
        if let resource, !ends.contains(where: { NamePattern.matches(resource, $0) }) { return false }
        if let from, !NamePattern.matches(from, event.from), from != event.sourcePrincipal { return false }
        if let to, !NamePattern.matches(to, event.to), !NamePattern.matches(to, event.destination) { return false }
        if let service, !NamePattern.matches(service, event.to) { return false }
        if let namespace, !ends.contains(where: { NamePattern.namespace(of: $0) == namespace[...] }) { return false }
        return true
    }
}
