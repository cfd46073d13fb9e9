import Telemetry
import WeftABI

extension MapTable {
    static var accelerationTables: [MapTable] { [acceleration, conduct] }

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
