import WeftABI

/// The names of the ABI's enumerations, as the documentation and the metrics use them.
enum Terms {
    static func lane(_ lane: UInt8) -> String {
        name(lane, ["passthrough", "kernel", "accelerated", "shortcut", "tunnel", "proxy"])
    }

    static func algorithm(_ algorithm: UInt8) -> String {
        name(algorithm, ["random", "roundRobin", "leastConnections", "maglev"])
    }

    static func reporter(_ reporter: UInt8) -> String { name(reporter, ["source", "destination", "both"]) }

    static func backendState(_ state: UInt8) -> String { name(state, ["active", "draining", "quarantined"]) }

    static func verdict(_ verdict: UInt8) -> String { name(verdict, ["allow", "deny", "audit"]) }

    static func mode(_ mode: UInt8) -> String { name(mode, ["enforce", "shadow"]) }

    static func addressClass(_ addressClass: UInt8) -> String {
        name(addressClass, ["mesh", "loopback", "private", "link-local", "multicast", "public"])
    }

    static func nameKind(_ kind: UInt8) -> String {
        name(kind, ["unknown", "service", "workload", "identity", "rule", "policy"])
    }

    static func nodeCounter(_ counter: UInt32) -> String {
        name(
            UInt8(clamping: counter),
            [
                "flowsLost", "trafficOverflow", "socketsUntracked", "tuplesLost", "affinityLost", "failClosed",
                "udpPeersEvicted", "tapsLost",
            ])
    }

    /// What keeps sockets with TCP, as a list of `weft_evidence`.
    static func evidence(_ bits: UInt32) -> [String] {
        ["blocking", "ulp", "lowWater", "inq", "mptcp", "noGain"].enumerated().filter { bits >> $0.offset & 1 == 1 }
            .map(
                \.element)
    }

    /// A value that this build does not know (a newer agent's) is shown as its number.
    private static func name(_ value: UInt8, _ names: [String]) -> String {
        Int(value) < names.count ? names[Int(value)] : "\(value)"
    }
}
