import Agent
import ArgumentParser
import Telemetry

/// What the lanes that go through the agent are told.
struct LaneOptions: ParsableArguments {
    @Option(help: ArgumentHelp("This node's address, for tunnels from other nodes.", valueName: "ip"))
    var nodeAddress = Environment.value("NODE_ADDRESS") ?? ""

    @Option(help: ArgumentHelp("Worker threads; 0: one for each core.", valueName: "count"))
    var workers = Environment.value("WORKERS") ?? "0"

    @Option(
        help: ArgumentHelp(
            "Proxies in front of the mesh whose X-Forwarded-For says where a request comes from (remoteIpBlocks,"
                + " Istio's numTrustedProxies).", valueName: "count"))
    var trustedProxies = Environment.value("TRUSTED_PROXIES") ?? "0"

    @Option(help: ArgumentHelp("Outbound capture.", valueName: "ip:port"))
    var outboundListen = Environment.value("OUTBOUND_LISTEN") ?? "127.0.0.1:15001"

    @Option(help: ArgumentHelp("Inbound plaintext.", valueName: "ip:port"))
    var inboundListen = Environment.value("INBOUND_LISTEN") ?? "127.0.0.1:15006"

    @Option(help: ArgumentHelp("Inbound tunnels (HBONE); 0.0.0.0 and [::]: every address.", valueName: "ip:port"))
    var tunnelListen = Environment.value("TUNNEL_LISTEN") ?? "0.0.0.0:15008"

    @Option(
        name: .customLong("kernel-tls"),
        help: ArgumentHelp(
            "Whether the kernel encrypts what tunnels send: auto (from Linux 6.14, where it has TLS and can change"
                + " keys), on (where it has TLS) or off.", valueName: "auto|on|off"))
    var kernelTLS = Environment.value("KERNEL_TLS") ?? "auto"

    @Option(help: ArgumentHelp("DNS for mesh names.", valueName: "ip:port"))
    var dnsListen = Environment.value("DNS_LISTEN") ?? "127.0.0.1:15053"

    @Option(
        name: .customLong("workload-api-listen"),
        help: ArgumentHelp(
            "The socket of the SPIFFE Workload API, SPIFFE_ENDPOINT_SOCKET of workloads; default: workload.sock in"
                + " --run-dir.", valueName: "unix:path"))
    var workloadAPIListen = Environment.value("WORKLOAD_API_LISTEN") ?? ""

    @Option(
        name: .customLong("dns-upstream"),
        help: ArgumentHelp(
            "A resolver for names that are not the mesh's, in place of those of /etc/resolv.conf; may be given several"
                + " times.", valueName: "ip[:port]"))
    var dnsUpstreams: [String] =
        Environment.value("DNS_UPSTREAMS")?.split(separator: ",").map(String.init) ?? []

    @Option(
        name: .customLong("http-reading"),
        help: ArgumentHelp(
            "Whether the kernel reads plain HTTP/1 on connections that need no proxy: on or off.", valueName: "on|off"))
    var httpReading = Environment.value("HTTP_READING") ?? "on"

    @Option(
        help: ArgumentHelp(
            "Requests that are logged: off, errors, sampled (1 %), sampled=PERCENT or all.", valueName: "policy"))
    var accessLog = Environment.value("ACCESS_LOG") ?? "off"

    @Option(
        help: ArgumentHelp(
            "json (Istio's keys), text (Envoy's default format, and the client's SPIFFE id) or istio (Istio's default"
                + " format).", valueName: "format"))
    var accessLogFormat = Environment.value("ACCESS_LOG_FORMAT") ?? "json"

    @Option(help: ArgumentHelp("Where the access log is written; - is standard output.", valueName: "path"))
    var accessLogFile = Environment.value("ACCESS_LOG_FILE") ?? "-"

    func check() throws {
        let listeners = [
            ("--outbound-listen", outboundListen), ("--inbound-listen", inboundListen),
            ("--tunnel-listen", tunnelListen), ("--dns-listen", dnsListen),
        ]
        for (flag, text) in listeners {
            do throws(HTTPListenAddress.Invalid) {
                _ = try HTTPListenAddress(text)
            } catch {
                throw ValidationError("\(flag): \(error)")
            }
        }
        if !workloadAPIListen.isEmpty {
            guard case .unix = try? HTTPListenAddress(workloadAPIListen) else {
                throw ValidationError("--workload-api-listen: \(workloadAPIListen) is not unix:PATH")
            }
        }
        guard let count = Int(workers), (0...1024).contains(count) else {
            throw ValidationError("--workers: \(workers) is not a number from 0 to 1024")
        }
        guard let count = Int(trustedProxies), (0...100).contains(count) else {
            throw ValidationError("--trusted-proxies: \(trustedProxies) is not a number from 0 to 100")
        }
        guard ["on", "off"].contains(httpReading) else {
            throw ValidationError("--http-reading: \(httpReading) is not on or off")
        }
        guard AgentOptions.KernelTLSUse(rawValue: kernelTLS) != nil else {
            throw ValidationError("--kernel-tls: \(kernelTLS) is not auto, on or off")
        }
        guard AccessLogOptions.policy(accessLog) != nil else {
            throw ValidationError("--access-log: \(accessLog) is not off, errors, sampled, sampled=PERCENT or all")
        }
        guard AccessLogOptions.Format(rawValue: accessLogFormat) != nil else {
            throw ValidationError("--access-log-format: \(accessLogFormat) is not json, text or istio")
        }
        guard nodeAddress.isEmpty || (try? HTTPListenAddress("[\(nodeAddress)]:0")) != nil else {
            throw ValidationError("--node-address: \(nodeAddress) is not an IP address")
        }
    }

    /// To be called after `check`.
    func fill(_ options: inout AgentOptions) {
        options.nodeAddress = nodeAddress
        options.workers = Int(workers) ?? 0
        options.trustedProxies = Int(trustedProxies) ?? 0
        options.outboundListen = outboundListen
        options.inboundListen = inboundListen
        options.tunnelListen = tunnelListen
        options.workloadAPIListen = workloadAPIListen
        options.readsHTTP = httpReading == "on"
        options.kernelTLS = AgentOptions.KernelTLSUse(rawValue: kernelTLS) ?? .auto
        if let policy = AccessLogOptions.policy(accessLog) { options.accessLog.policy = policy }
        options.accessLog.format = AccessLogOptions.Format(rawValue: accessLogFormat) ?? .json
        options.accessLog.file = accessLogFile
    }
}
