import Foundation

/// Envoy at the other end of a tunnel: in the namespace outside of the mesh, with a certificate of the mesh's root.
struct TunnelEnvoy {
    /// The identity that Envoy has.
    static let identity = "spiffe://cluster.local/ns/shop/sa/stranger"

    private static let connectionManager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

    private let cluster: Cluster
    private let certificates: String

    init(_ cluster: Cluster) throws {
        self.cluster = cluster
        certificates = try PeerCertificates(cluster.sandbox, of: cluster.a)
            .issue(.init(names: ["URI:\(Self.identity)"]))
    }

    /// Takes tunnels at 15008 of the outer host from a client with this account, and leads them to a port there.
    func terminate(for account: String, port: Int) throws {
        try start(
            """
            static_resources:
              listeners:
              - address: { socket_address: { address: \(Cluster.stranger), port_value: 15008 } }
                filter_chains:
                - transport_socket:
                    name: envoy.transport_sockets.tls
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                      require_client_certificate: true
            \(tls(peer: account, indentation: 10))
                  filters:
                  - name: envoy.filters.network.http_connection_manager
                    typed_config:
                      "@type": \(Self.connectionManager)
                      stat_prefix: tunnel
                      codec_type: HTTP2
                      http2_protocol_options: { allow_connect: true }
                      upgrade_configs: [{ upgrade_type: CONNECT }]
                      stream_idle_timeout: 0s
                      route_config:
                        virtual_hosts:
                        - name: all
                          domains: ["*"]
                          routes:
                          - match:
                              connect_matcher: {}
                              headers:
                              - { name: ":authority", string_match: { exact: "\(Cluster.stranger):\(port)" } }
                            route:
                              cluster: application
                              timeout: 0s
                              upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]
                      http_filters:
                      - name: envoy.filters.http.router
                        typed_config:
                          "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              clusters:
            \(upstream("application", Cluster.stranger, port))
            """, listening: 15008)
    }

    /// Leads connections to a port of the outer host's loopback through a tunnel to `web`.
    func originate(to account: String, port: Int, at own: Int) throws {
        try start(
            """
            static_resources:
              listeners:
              - address: { socket_address: { address: 127.0.0.1, port_value: \(own) } }
                filter_chains:
                - filters:
                  - name: envoy.filters.network.tcp_proxy
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                      stat_prefix: tunnel
                      cluster: tunnel
                      tunneling_config: { hostname: "\(Cluster.web):\(port)" }
              clusters:
            \(upstream("tunnel", Cluster.web, 15008))
                typed_extension_protocol_options:
                  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                    explicit_http_config: { http2_protocol_options: {} }
                transport_socket:
                  name: envoy.transport_sockets.tls
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
            \(tls(peer: account, indentation: 8))
            """, listening: own)
    }

    private func tls(peer: String, indentation: Int) -> String {
        """
        common_tls_context:
          tls_params: { tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }
          alpn_protocols: [h2]
          tls_certificates:
          - certificate_chain: { filename: "\(certificates)/cert.pem" }
            private_key: { filename: "\(certificates)/key.pem" }
          validation_context:
            trusted_ca: { filename: "\(certificates)/root.pem" }
            match_typed_subject_alt_names:
            - { san_type: URI, matcher: { exact: "spiffe://cluster.local/ns/shop/sa/\(peer)" } }
        """
        .split(separator: "\n").map { String(repeating: " ", count: indentation) + $0 }.joined(separator: "\n")
    }

    private func upstream(_ name: String, _ address: String, _ port: Int) -> String {
        """
          - name: \(name)
            type: STATIC
            connect_timeout: 5s
            load_assignment:
              cluster_name: \(name)
              endpoints:
              - lb_endpoints:
                - endpoint: { address: { socket_address: { address: \(address), port_value: \(port) } } }
        """
    }

    private func start(_ config: String, listening port: Int) throws {
        let path = "\(certificates)/envoy.yaml"
        try config.write(toFile: path, atomically: true, encoding: .utf8)
        let envoy = try cluster.sandbox.start(
            [Host.envoy(), "-c", path, "--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id"],
            namespace: cluster.outside)
        try eventually("Envoy listens", within: 30) {
            guard envoy.isRunning else { throw TestFailure("Envoy ended: \(envoy.errors)") }
            return try cluster.sandbox.run(["ss", "-Hltn", "sport", "=", "\(port)"], namespace: cluster.outside).output
                .contains(":\(port)")
        }
    }
}
