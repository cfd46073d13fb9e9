import Telemetry
import WeftABI

extension MapTable {
    static var accelerationTables: [MapTable] { [acceleration, conduct, pairs] }

    private static let acceleration = MapTable(
        "acceleration", "Connections within the node that may go from socket to socket, and what became of them",
        keyForm: "SOURCE>SERVICE>DESTINATION (as 'map watch' shows it)",
        reader: { $0.acceleration },
        parse: { _, _ in nil },
        key: { key, resolver in
            let series = [
                resolver.name(key.source), resolver.serviceName(key.service), resolver.name(key.destination),
            ].joined(separator: ">")
            return "\(series)/\(Terms.lane(key.lane))"
        },
        fields: { key, counters, resolver in
            let redirected = counters.redirected
            return [
                Field("source", resolver.value(key.source), text: resolver.name(key.source, none: "unknown")),
                resolver.serviceField(key.service),
                Field("destination", resolver.value(key.destination)),
                Field("lane", .string(Terms.lane(key.lane))),
                Field("connections", Value(counters.connections)),
                Field(
                    "redirectedBytes", Value(redirected.bytes), title: "REDIRECTED", text: formatBytes(redirected.bytes)
                ),
                .hidden("redirectedSends", Value(redirected.sends)),
                Field("promotions", Value(redirected.promotions)),
                Field("demotions", Value(redirected.demotions)),
                Field(
                    "slowConnections", value(of: counters.slowConnections), title: "SLOW CONNECTIONS",
                    text: text(of: counters.slowConnections)),
                Field(
                    "slowSends", value(of: counters.slowSends), title: "SLOW SENDS", text: text(of: counters.slowSends)),
            ]
        })

    private static let conduct = MapTable(
        "conduct", "What keeps connections of accelerated workloads, or to a service, with TCP",
        keyForm: "shop/web",
        reader: { $0.conduct },
        parse: { text, _ in parseIdentifier(text) },
        key: { id, resolver in resolver.name(id) },
        fields: { id, conduct, resolver in
            [
                Field("of", resolver.value(id)),
                Field(
                    "evidence", .array(Terms.evidence(conduct.evidence).map { .string($0) }),
                    text: Terms.evidence(conduct.evidence).joined(separator: ", ")),
            ]
        })

    private static let pairs = MapTable(
        "pairs", "Open connections whose bytes may go from socket to socket", keyForm: "PLACE (as 'map dump' shows it)",
        reader: { $0.pairs },
        parse: { text, _ in UInt32(text) },
        key: { place, _ in "\(place)" },
        fields: { place, pair, resolver in
            [
                Field("place", Value(place)),
                Field("source", resolver.value(pair.source), text: resolver.name(pair.source, none: "unknown")),
                resolver.serviceField(pair.service),
                Field("destination", resolver.value(pair.destination)),
                Field("lane", .string(Terms.lane(pair.lane))),
                .hidden("clientCookie", Value(pair.client)),
                Field("members", .array(members(of: pair)), text: text(members(of: pair))),
                Field("fromClient", value(of: pair.from.0), title: "FROM CLIENT", text: text(of: pair.from.0)),
                Field("fromServer", value(of: pair.from.1), title: "FROM SERVER", text: text(of: pair.from.1)),
                Field(
                    "evidence", .array(Terms.evidence(pair.evidence).map { .string($0) }),
                    text: text(Terms.evidence(pair.evidence).map { .string($0) })),
            ]
        })

    /// The ends that are redirected to.
    private static func members(of pair: weft_pair) -> [Value] {
        [("client", pair.socks.0), ("server", pair.socks.1)].filter { $0.1 != 0 }.map { .string($0.0) }
    }

    private static func text(_ list: [Value]) -> String {
        list.isEmpty ? "-" : list.map(\.cell).joined(separator: ", ")
    }

    private static func value(of direction: weft_direction) -> Value {
        .object([
            "isRedirected": .bool(direction.fast != 0), "redirectedBytes": Value(direction.redirected_bytes),
            "redirectedSends": Value(direction.redirected_sends), "waitingBytes": Value(direction.outstanding),
            "promotions": Value(direction.promotions), "demotions": Value(direction.demotions),
        ])
    }

    private static func text(of direction: weft_direction) -> String {
        "\(direction.fast != 0 ? "redirected" : "tcp") \(formatBytes(direction.redirected_bytes))"
    }

    /// Counts by reason; those of nothing are left out.
    private static func value(of counts: [UInt64]) -> Value {
        .object(Value.Object(named(counts).map { ($0.reason, Value($0.count)) }))
    }

    private static func text(of counts: [UInt64]) -> String {
        let parts = named(counts).map { "\($0.reason) \($0.count)" }
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }

    private static func named(_ counts: [UInt64]) -> [(reason: String, count: UInt64)] {
        counts.enumerated().filter { $0.element > 0 }.map {
            (
                $0.offset < AccelerationSummary.reasons.count ? AccelerationSummary.reasons[$0.offset] : "\($0.offset)",
                $0.element
            )
        }
    }
}
