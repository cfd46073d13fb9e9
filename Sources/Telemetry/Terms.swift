import Proxy
import WeftABI

/// The texts of the kernel's enumerations; anything else is `unknown`.
enum Terms {
    static let unknown = "unknown"
    static let mutualTLS = "mutual_tls"

    static func lane(_ lane: UInt8) -> String {
        name(lane, ["passthrough", "kernel", "accelerated", "shortcut", "tunnel", "proxy"])
    }

    static func addressClass(_ addressClass: UInt8) -> String {
        name(addressClass, ["mesh", "loopback", "private", "link-local", "multicast", "public"])
    }

    static func verdict(_ verdict: UInt8) -> String { name(verdict, ["allow", "deny", "audit"]) }

    static func mode(_ mode: UInt8) -> String { name(mode, ["enforce", "shadow"]) }

    static func reporter(_ reporter: UInt8) -> String { name(reporter, ["source", "destination"]) }

    static let events = ["closed", "failed", "denied", "no_backend", "ended_by_policy", "ended_by_drain"]

    static func event(_ event: UInt8) -> String { name(event, events) }

    /// What became of a request that the kernel has read.
    static func outcome(_ outcome: UInt8) -> String {
        name(outcome, ["complete", "client_ended", "server_ended", "unparsed"])
    }

    static func transport(_ number: UInt8) -> String {
        switch number {
        case 6: "tcp"
        case 17: "udp"
        default: unknown
        }
    }

    /// Envoy's short names, `-` for none.
    static func responseFlags(_ flags: ResponseFlags) -> String {
        guard !flags.isEmpty else { return "-" }
        return ResponseFlags.names.filter { flags.contains($0.flag) }.map(\.name).joined(separator: ",")
    }

    private static func name(_ value: UInt8, _ names: [String]) -> String {
        Int(value) < names.count ? names[Int(value)] : unknown
    }
}
