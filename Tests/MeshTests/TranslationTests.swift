import Foundation
import Testing

extension NodeTests {
    /// What applications see of the translation: nothing but the service.
    @Suite("Translation is invisible to applications")
    struct TranslationTests {
        private let service = "127.96.0.10"

        @Test("getpeername shows the service address: IPv4, mapped, connected UDP")
        func getpeername() throws {
            try Sandbox.run { sandbox in
                let address = sandbox.address(1)
                try sandbox.serve(["a,tcp,\(address),8080", "u,udp,\(address),8081"], in: "servers")
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: service, endpoints: [address]),
                        Manifest.service(
                            "dns", address: "127.96.0.11", port: 53, targetPort: 8081, protocol: "UDP",
                            endpoints: [address])))
                let tcp = try sandbox.connect(service, 80)
                #expect(tcp.server == "a")
                #expect(tcp.peerAddress == service)
                #expect(tcp.peerPort == 80)
                let mapped = try sandbox.connect(service, 80, mapped: true)
                #expect(mapped.server == "a")
                #expect(mapped.peerAddress == "::ffff:\(service)")
                #expect(mapped.peerPort == 80)
                let udp = try sandbox.connect("127.96.0.11", 53, protocol: "udp")
                #expect(udp.greeting == "u hello")
                #expect(udp.peerAddress == "127.96.0.11")
                #expect(udp.peerPort == 53)
                // Another protocol on the same address and port is another service, or none.
                #expect(try sandbox.connect(service, 80, protocol: "udp").result == "ECONNREFUSED")
                // A connection that is not translated shows what it is.
                let direct = try sandbox.connect(address, 8080)
                #expect(direct.peerAddress == address)
                #expect(direct.peerPort == 8080)
            }
        }

        @Test("A process outside of the guarded cgroup does not meet the mesh")
        func outside() throws {
            try Sandbox.run { sandbox in
                let address = sandbox.address(1)
                try sandbox.serve(["a,tcp,\(address),8080"], in: "servers")
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: service, endpoints: [address]))
                #expect(try sandbox.connect(service, 80).result == "connected")
                let outside = try sandbox.run([
                    Host.python, Host.script("client.py"), "connect", "{\"address\": \"\(service)\", \"port\": 80}",
                ])
                #expect(try JSON(outside.output)["result"].string == "ECONNREFUSED")
            }
        }

        @Test("IPv6: services, and the addresses that the application sees")
        func ipv6() throws {
            try Sandbox.run { sandbox in
                let namespace = try sandbox.makeNamespace("a")
                try sandbox.serve(["six,tcp,::1,8080", "u,udp,::1,8081"], in: "servers", namespace: namespace)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: "fd77:96::10", endpoints: ["::1"]),
                        Manifest.service(
                            "dns", address: "fd77:96::53", port: 53, targetPort: 8081, protocol: "UDP",
                            endpoints: ["::1"])))
                let tcp = try sandbox.connect("fd77:96::10", 80, namespace: namespace)
                #expect(tcp.server == "six", "\(tcp)")
                #expect(tcp.peerAddress == "fd77:96::10")
                #expect(tcp.peerPort == 80)
                for connected in [false, true] {
                    let answer = try sandbox.client(
                        "udp", ["exchanges": [["fd77:96::53", 53, "x"]], "connected": connected],
                        namespace: namespace)
                    #expect(answer["answers"][0]["text"].string == "u x")
                    #expect(answer["answers"][0]["address"].string == "fd77:96::53")
                    #expect(answer["answers"][0]["port"].int == 53)
                }
            }
        }

        @Test("A JVM in its default dual-stack mode reaches an IPv4 service and is told the service's address")
        func jvm() throws {
            try Sandbox.run { sandbox in
                try Host.require([("java", "openjdk-17-jdk-headless")])
                let address = sandbox.address(1)
                try sandbox.serve(["a,tcp,\(address),8080"], in: "servers")
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: service, endpoints: [address]))
                let source = """
                    import java.io.*;
                    import java.net.*;

                    public class Client {
                        public static void main(String[] arguments) throws Exception {
                            try (Socket socket = new Socket(arguments[0], 80)) {
                                var reader = new BufferedReader(new InputStreamReader(socket.getInputStream()));
                                String greeting = reader.readLine();
                                socket.getOutputStream().write("hello\\n".getBytes());
                                System.out.println(greeting.split(" ")[0] + " " + reader.readLine() + " "
                                    + socket.getRemoteSocketAddress());
                            }
                        }
                    }
                    """
                let path = "\(sandbox.directory)/Client.java"
                try source.write(toFile: path, atomically: false, encoding: .utf8)
                let result = try sandbox.run(["java", path, service], in: "client", timeout: 60)
                #expect(result.output == "a hello /\(service):80\n", "\(result.errors)")
            }
        }

        @Test("nginx behind a service, curl in front of it")
        func nginx() throws {
            try Sandbox.run { sandbox in
                try Host.require([("nginx", "nginx-light"), ("curl", "curl")])
                let address = sandbox.address(1)
                let configuration = """
                    daemon off;
                    worker_processes 1;
                    pid \(sandbox.directory)/nginx.pid;
                    error_log stderr;
                    events { worker_connections 256; }
                    http {
                        access_log off;
                        server { listen \(address):8080; location / { return 200 "version 1 to $remote_addr\\n"; } }
                    }

                    """
                let path = "\(sandbox.directory)/nginx.conf"
                try configuration.write(toFile: path, atomically: false, encoding: .utf8)
                let server = try sandbox.start(["nginx", "-c", path, "-p", sandbox.directory], in: "web")
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: service, endpoints: [address]))
                var result: Command.Result?
                try eventually("nginx answers; it said: \(server.errors)") {
                    result = try sandbox.run(
                        ["curl", "-sS", "-w", "%{http_code} %{remote_ip} %{remote_port}", "http://\(service)/"],
                        in: "client")
                    return result?.succeeded == true
                }
                #expect(result?.output == "version 1 to 127.0.0.1\n200 \(service) 80")
            }
        }
    }
}
