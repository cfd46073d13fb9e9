import Agent
import ArgumentParser

/// Where the certificates of workloads come from.
struct IdentityOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "PEM of the CA that issues certificates, with the intermediates above it; default: a CA that is made in"
                + " --state-dir.", valueName: "file"))
    var caCert = Environment.value("CA_CERT") ?? ""

    @Option(help: ArgumentHelp("PEM of the private key of --ca-cert.", valueName: "file"))
    var caKey = Environment.value("CA_KEY") ?? ""

    @Option(
        help: ArgumentHelp(
            "PEM of the root certificates of --ca-cert, whose keys need not be here, and of revocation lists.",
            valueName: "file"))
    var caBundle = Environment.value("CA_BUNDLE") ?? ""

    @Option(
        help: ArgumentHelp(
            "Where nodes with a token may join and renew, such as 0.0.0.0:15012; default: nowhere.",
            valueName: "ip:port"))
    var caListen = Environment.value("CA_LISTEN") ?? ""

    @Option(help: ArgumentHelp("The --ca-listen of the node whose CA this one joins.", valueName: "host:port"))
    var joinAddress = Environment.value("JOIN_ADDRESS") ?? ""

    @Option(
        help: ArgumentHelp(
            "What 'weft ca token create' printed for this node; needed once, for the first start. Prefer"
                + " WEFT_JOIN_TOKEN: other users see arguments.", valueName: "token"))
    var joinToken = Environment.value("JOIN_TOKEN") ?? ""

    @Option(
        help: ArgumentHelp(
            "Certificates that another program issues: <namespace>.<service account>/{tls.crt,tls.key,ca.crt}, read"
                + " again when they change, in place of the CA's.", valueName: "dir"))
    var identityDir = Environment.value("IDENTITY_DIR") ?? ""

    @Option(
        name: .customLong("svid-ttl"),
        help: ArgumentHelp("How long the certificates of workloads are valid: 24h, 90m, 10s.", valueName: "duration"))
    var lifetime = Environment.value("SVID_TTL") ?? "24h"

    @Option(
        help: ArgumentHelp(
            "How often the CA of --join-address is asked for new roots and revocations.", valueName: "duration"))
    var caRefresh = Environment.value("CA_REFRESH") ?? "60s"

    func fill(_ options: inout AgentOptions) throws {
        options.caCertificate = caCert.nonEmpty
        options.caKey = caKey.nonEmpty
        options.caBundle = caBundle.nonEmpty
        options.caListen = caListen.nonEmpty
        options.joinAddress = joinAddress.nonEmpty
        options.joinToken = joinToken.nonEmpty
        options.identityDirectory = identityDir.nonEmpty
        options.certificateLifetime = try Self.seconds(lifetime, 2...31_536_000, "--svid-ttl", "2s to 365d")
        options.caRefresh = try Self.seconds(caRefresh, 1...86400, "--ca-refresh", "1s to 1d")
    }

    private static func seconds(
        _ text: String, _ range: ClosedRange<Int64>, _ flag: String, _ bounds: String
    ) throws -> Int64 {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
            (1...31_536_000).contains(count), range.contains(count * unit)
        else { throw ValidationError("\(flag): \(text) is not a duration from \(bounds)") }
        return count * unit
    }
}

extension String {
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
