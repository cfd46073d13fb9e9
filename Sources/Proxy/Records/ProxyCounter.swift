/// What a worker counts besides requests. Gauges go up and down, everything else only up.
public enum ProxyCounter: Int, Sendable, CaseIterable {
    /// Clients' connections: taken, and open now (gauge).
    case downstreamOpened, downstreamActive
    /// Connections not taken, or ended early, because a ceiling was reached.
    case downstreamRefused
    /// Connections to backends: made, failed, open now (gauge), of those idle in the pool (gauge), reused for one more
    /// request.
    case upstreamOpened, upstreamFailed, upstreamActive, upstreamIdle, upstreamReused
    /// Requests in progress now (gauge), and waiting for a connection to a backend (gauge).
    case requestsActive, requestsPending
    /// Attempts after the first, and retries that the budget or the limit forbade.
    case retries, retriesDenied
    case ejections
    /// Endpoints that are ejected now (gauge).
    case ejected
    case healthCheckFailures
    case rateLimited, rateLimitedInShadow
    case faultsInjected
    case mirrored
    /// Requests whose token was not valid.
    case tokensRefused
    /// Bytes in buffers now (gauge).
    case bufferedBytes
    /// Connections to other agents: open now (gauge), TLS handshakes that were completed.
    case tunnelSessionsActive, tunnelHandshakes
    /// Streams in them: opened, open now (gauge), ours that had no positive answer, ended for lack of memory.
    case tunnelStreamsOpened, tunnelStreamsActive, tunnelStreamsFailed, tunnelStreamsShed
    /// Peers' streams that were refused: malformed or to nowhere (400), not allowed (401), without an application (503).
    case tunnelStreamsMalformed, tunnelStreamsUnauthorized, tunnelStreamsUnavailable
    /// Connections ended because their peer is not trusted any more, and streams because it may not connect any more.
    case tunnelSessionsRevoked, tunnelStreamsRevoked
    /// Connections ended because their peer did not answer a PING.
    case tunnelKeepAliveTimeouts
    /// Bytes of streams that have ended.
    case tunnelBytesSent, tunnelBytesReceived
    /// Connections given to the kernel's programs for their next requests, and requests that those have taken.
    case shortcutOffers, shortcutRequests

    /// Its metric without the prefix `weft_proxy_`, and what it means. A gauge's name does not end in `_total`.
    public var metric: (name: String, help: String) {
        switch self {
        case .downstreamOpened: ("downstream_connections_total", "Connections that the proxy has taken from clients.")
        case .downstreamActive: ("downstream_connections_active", "Clients' connections that are open.")
        case .downstreamRefused:
            ("downstream_connections_refused_total", "Clients' connections refused because a ceiling was reached.")
        case .upstreamOpened: ("upstream_connections_total", "Connections that the proxy has made to backends.")
        case .upstreamFailed: ("upstream_connections_failed_total", "Connections to backends that failed.")
        case .upstreamActive: ("upstream_connections_active", "Connections to backends that are open.")
        case .upstreamIdle: ("upstream_connections_idle", "Connections to backends that wait for a request.")
        case .upstreamReused: ("upstream_connections_reused_total", "Requests sent on a connection that was there.")
        case .requestsActive: ("requests_active", "Requests in progress.")
        case .requestsPending: ("requests_pending", "Requests that wait for a connection to a backend.")
        case .retries: ("retries_total", "Attempts after the first.")
        case .retriesDenied: ("retries_denied_total", "Retries that the budget or the limit forbade.")
        case .ejections: ("ejections_total", "Ejections of endpoints by outlier detection.")
        case .ejected: ("endpoints_ejected", "Endpoints that are ejected.")
        case .healthCheckFailures: ("health_check_failures_total", "Active health checks that failed.")
        case .rateLimited: ("rate_limited_total", "Requests refused by a rate limit or quota.")
        case .rateLimitedInShadow:
            ("rate_limited_shadow_total", "Requests that a rate limit in shadow mode would have refused.")
        case .faultsInjected: ("faults_injected_total", "Delays and aborts injected.")
        case .mirrored: ("mirrored_total", "Requests copied to a mirror.")
        case .tokensRefused: ("tokens_refused_total", "Requests answered with 401 because their token was not valid.")
        case .bufferedBytes: ("buffered_bytes", "Bytes in the proxy's buffers.")
        case .tunnelSessionsActive: ("tunnel_connections_active", "Connections to other agents that are open.")
        case .tunnelHandshakes: ("tunnel_handshakes_total", "TLS handshakes with other agents that were completed.")
        case .tunnelStreamsOpened: ("tunnel_streams_total", "Streams through tunnels that were opened.")
        case .tunnelStreamsActive: ("tunnel_streams_active", "Streams through tunnels that are open.")
        case .tunnelStreamsFailed: ("tunnel_streams_failed_total", "Streams to other agents that could not be opened.")
        case .tunnelStreamsShed: ("tunnel_streams_shed_total", "Streams ended because there was no memory for them.")
        case .tunnelStreamsMalformed:
            ("tunnel_streams_malformed_total", "Peers' streams refused as malformed or leading nowhere (400).")
        case .tunnelStreamsUnauthorized:
            ("tunnel_streams_unauthorized_total", "Peers' streams that no policy allowed (401).")
        case .tunnelStreamsUnavailable:
            ("tunnel_streams_unavailable_total", "Peers' streams whose application did not answer (503).")
        case .tunnelSessionsRevoked:
            ("tunnel_connections_revoked_total", "Connections ended because their peer is not trusted any more.")
        case .tunnelStreamsRevoked:
            ("tunnel_streams_revoked_total", "Streams ended because their peer may not connect any more.")
        case .tunnelKeepAliveTimeouts:
            ("tunnel_keepalive_timeouts_total", "Connections ended because their peer did not answer a PING.")
        case .tunnelBytesSent: ("tunnel_sent_bytes_total", "Bytes sent in streams that have ended.")
        case .shortcutOffers:
            ("shortcut_offers_total", "Times that a connection was given to the kernel for its next requests.")
        case .shortcutRequests: ("shortcut_requests_total", "Requests that the kernel has taken past the proxy.")
        case .tunnelBytesReceived: ("tunnel_received_bytes_total", "Bytes received in streams that have ended.")
        }
    }

    public var isGauge: Bool { !metric.name.hasSuffix("_total") }
}
