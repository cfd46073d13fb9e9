import Foundation
import Testing

extension NodeTests {
    /// What scanners for TLS find at the port that every host of the network reaches.
    @Suite("The tunnel port under scanners")
    struct TunnelSurfaceTests {
        @Test("testssl.sh finds TLS 1.3 alone, and nothing to warn of")
        func testssl() throws {
            try Host.require([("testssl", "testssl.sh")])
            try Cluster.run { cluster in
                let file = "\(cluster.sandbox.directory)/testssl.json"
                // A client that is refused after its own handshake does not know whether there was TLS.
                let certificate = try PeerCertificates(cluster.sandbox, of: cluster.a).issue()
                let client = "\(certificate)/openssl"
                try """
                #!/bin/sh
                command=$1
                shift
                [ "$command" != s_client ] ||
                    set -- -alpn h2 \(Self.identity(in: certificate)) "$@"
                exec openssl "$command" "$@"
                """.write(toFile: client, atomically: true, encoding: .utf8)
                try cluster.sandbox.check(["chmod", "700", client])
                // The scanner tries to connect once, and gives up when the node's certificates are still on their way.
                try eventually("the port takes tunnels", within: 20) { try cluster.connect().server == "web" }
                // It leaves as soon as its own handshake is done, and so hears only sometimes that it is refused.
                let taken = try cluster.sandbox.run(
                    ["sh", "-c", "sleep 1 | \(client) s_client -connect \(Cluster.web):15008"],
                    namespace: cluster.outside)
                #expect(taken.succeeded, "\(taken.errors)")
                // Protocols and vulnerabilities: what it says of certificates is meant for those of the web's CAs.
                let scan = try cluster.sandbox.run(
                    [
                        "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--jsonfile", file,
                        "--openssl", client,
                        "--protocols", "--vulnerable", "\(Cluster.web):15008",
                    ], namespace: cluster.outside, timeout: 240)
                let report = try JSON(try String(contentsOfFile: file, encoding: .utf8)).array
                let findings = report.filter { $0["port"].string == "15008" }
                let severities = findings.map { $0["severity"].string ?? "" }
                #expect(findings.count > 25, "\(scan.output)\(scan.errors)")
                let harmless: Set = ["OK", "INFO", "LOW", "DEBUG"]
                #expect(Set(severities).isSubset(of: harmless), "\(scan.output)")
                func finding(_ id: String) -> String? { findings.first { $0["id"].string == id }?["finding"].string }
                for id in ["SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2"] {
                    #expect(finding(id)?.hasPrefix("not offered") == true, "\(id): \(finding(id) ?? "-")")
                }
                #expect(finding("TLS1_3")?.hasPrefix("offered") == true)
                try expectService(cluster)
            }
        }

        @Test("sslyze finds no older protocol, no renegotiation, no compression")
        func sslyze() throws {
            try Cluster.run { cluster in
                let certificate = try PeerCertificates(cluster.sandbox, of: cluster.a).issue()
                let file = "\(cluster.sandbox.directory)/sslyze.json"
                let scan = try cluster.sandbox.run(
                    [
                        "/usr/bin/python3", "-m", "sslyze", "--json_out", file, "--cert", "\(certificate)/cert.pem",
                        "--key", "\(certificate)/key.pem", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2",
                        "--tlsv1_3", "--reneg", "--compression", "--heartbleed", "--openssl_ccs",
                        "--robot", "\(Cluster.web):15008",
                    ], namespace: cluster.outside, timeout: 120,
                    environment: ["PYTHONPATH": try Host.pythonPackages()])
                let server = try JSON(try String(contentsOfFile: file, encoding: .utf8))["server_scan_results"][0]
                #expect(server["scan_status"].string == "COMPLETED", "\(scan.output)\(scan.errors)")
                func result(_ name: String) -> JSON { server["scan_result"][name]["result"] }
                for version in ["ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
                    let found = result("\(version)_cipher_suites")
                    #expect(!found["rejected_cipher_suites"].array.isEmpty, "\(version)")
                    #expect(found["accepted_cipher_suites"].array.isEmpty, "\(version)")
                }
                let suites = result("tls_1_3_cipher_suites")["accepted_cipher_suites"].array
                let names = suites.compactMap { $0["cipher_suite"]["name"].string }
                #expect(names.contains("TLS_AES_128_GCM_SHA256"))
                #expect(names.allSatisfy { $0.contains("GCM") || $0.contains("POLY1305") })
                #expect(result("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"].bool == false)
                #expect(result("tls_compression")["supports_compression"].bool == false)
                #expect(result("heartbleed")["is_vulnerable_to_heartbleed"].bool == false)
                #expect(result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"].bool == false)
                try expectService(cluster)
            }
        }

        @Test("A client gets nothing to resume a session with, and so nothing for early data")
        func earlyData() throws {
            try Cluster.run { cluster in
                let certificate = try PeerCertificates(cluster.sandbox, of: cluster.a).issue()
                let session = "\(cluster.sandbox.directory)/session.pem"
                let identity = Self.identity(in: certificate)
                let arguments = "-alpn h2 \(identity) -CAfile \(certificate)/root.pem -sess_out \(session)"
                let result = try cluster.sandbox.run(
                    [
                        "sh", "-c",
                        "sleep 1 | openssl s_client -connect \(Cluster.web):15008 \(arguments)",
                    ], namespace: cluster.outside)
                // A ticket is for those whose certificates the server has taken.
                #expect(result.succeeded, "\(result.errors)")
                for text in ["ALPN protocol: h2", "Verification: OK", "New, TLSv1.3", "Early data was not sent"] {
                    #expect(result.output.contains(text), "\(result.output)\(result.errors)")
                }
                #expect(!result.output.contains("New Session Ticket"))
                #expect(!FileManager.default.fileExists(atPath: session))
            }
        }

        /// What `openssl s_client` needs to be taken for a peer: `-cert` alone sends the leaf without its chain, and the server
        /// knows the root only.
        private static func identity(in directory: String) -> String {
            "-cert \(directory)/cert.pem -cert_chain \(directory)/cert.pem -key \(directory)/key.pem"
        }

        /// Whoever behaves is served as before, and no worker was lost.
        private func expectService(_ cluster: Cluster) throws {
            #expect(try cluster.connect().server == "web")
            #expect(cluster.b.agent?.isRunning == true)
        }
    }
}
