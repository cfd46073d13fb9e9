import Foundation
import Testing

extension NodeTests {
    @Suite("Names of services, asked for by clients that know nothing of the mesh")
    struct NameTests {
        private static let headless = """
            apiVersion: v1
            kind: Service
            metadata: { name: db, namespace: shop }
            spec:
              clusterIP: None
              ports: [{ name: sql, port: 5432, protocol: TCP }]
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: { name: db-1, namespace: shop, labels: { kubernetes.io/service-name: db } }
            addressType: IPv4
            ports: [{ name: sql, port: 5432, protocol: TCP }]
            endpoints:
            - { addresses: ["10.9.0.1"], conditions: { ready: true } }
            - { addresses: ["10.9.0.2"], conditions: { ready: true } }
            - { addresses: ["10.9.0.3"], conditions: { ready: false } }

            """

        /// A node whose own resolver is unbound with some names of the world outside.
        private func run(_ extra: [String] = [], _ body: (Sandbox, Node, Command) throws -> Void) throws {
            try Sandbox.run { sandbox in
                try Host.require([("unbound", "unbound"), ("dig", "bind9-dnsutils"), ("getent", "libc-bin")])
                let resolver = try startResolver(sandbox)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: "127.96.0.10", endpoints: [sandbox.address(1)]),
                        Manifest.service("six", address: "fd00:96::10", endpoints: ["fd00:96::1"]), Self.headless),
                    ["--dns-upstream", "\(sandbox.address(53)):5353"] + extra)
                try body(sandbox, node, resolver)
            }
        }

        private func startResolver(_ sandbox: Sandbox) throws -> Command {
            let long = (0..<60).map { "    local-data: \"long.outside.test. 60 IN A 192.0.2.\($0 + 100)\"\n" }.joined()
            let configuration = """
                server:
                    interface: \(sandbox.address(53))@5353
                    access-control: 127.0.0.0/8 allow
                    directory: "\(sandbox.directory)"
                    chroot: ""
                    username: ""
                    pidfile: ""
                    do-daemonize: no
                    use-syslog: no
                    num-threads: 1
                    log-queries: yes
                    logfile: "\(sandbox.directory)/unbound.log"
                    local-zone: "outside.test." static
                    local-data: "outside.test. 100 IN SOA ns.outside.test. root.outside.test. 1 3600 600 86400 30"
                    local-data: "www.outside.test. 100 IN A 192.0.2.1"
                    local-data: "other.outside.test. 100 IN A 192.0.2.2"
                    local-data: "short.outside.test. 1 IN A 192.0.2.3"
                \(long)
                remote-control:
                    control-enable: no

                """
            let path = "\(sandbox.directory)/unbound.conf"
            try configuration.write(toFile: path, atomically: false, encoding: .utf8)
            let resolver = try sandbox.start(["unbound", "-d", "-c", path])
            try eventually("unbound answers; it said: \(resolver.errors)") {
                try dig(sandbox, "other.outside.test", "A", server: sandbox.address(53), port: 5353).contains(
                    "192.0.2.2")
            }
            return resolver
        }

        /// What dig says in full.
        private func dig(
            _ sandbox: Sandbox, _ name: String, _ type: String, server: String = "127.0.0.1", port: UInt16,
            _ options: String...
        ) throws -> String {
            try sandbox.run(
                [
                    "dig", "@\(server)", "-p", "\(port)", "+tries=1", "+time=8", "+noall", "+comments", "+answer",
                    "+authority",
                ]
                    + ["+additional"] + options + [name, type]
            ).output
        }

        @Test("dig finds every form of a service's name, over UDP and TCP")
        func forms() throws {
            try run { sandbox, node, _ in
                for option in ["+notcp", "+tcp"] {
                    for name in [
                        "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "WEB.shop.SVC.cluster.local.",
                    ] {
                        let answer = try dig(sandbox, name, "A", port: node.dnsPort, option)
                        #expect(answer.contains("status: NOERROR"), "\(name): \(answer)")
                        #expect(answer.contains("127.96.0.10"))
                        #expect(answer.contains(" aa "))
                    }
                }
                let port = try dig(sandbox, "_main._tcp.web.shop.svc", "SRV", port: node.dnsPort)
                #expect(port.contains("0 1 80 web.shop.svc.cluster.local."), "\(port)")
                #expect(port.contains("127.96.0.10"))
                let endpoints = try dig(sandbox, "db.shop", "A", port: node.dnsPort)
                #expect(endpoints.contains("10.9.0.1") && endpoints.contains("10.9.0.2"), "\(endpoints)")
                #expect(!endpoints.contains("10.9.0.3"))
                let reverse = try dig(sandbox, "10.0.96.127.in-addr.arpa", "PTR", port: node.dnsPort)
                #expect(reverse.contains("web.shop.svc.cluster.local."), "\(reverse)")
            }
        }

        @Test("A name without such a record is NODATA, a name that is not there NXDOMAIN, both with the SOA")
        func negative() throws {
            try run { sandbox, node, _ in
                for (name, type, status) in [
                    ("web.shop", "AAAA", "NOERROR"), ("six.shop", "A", "NOERROR"), ("shop.svc", "A", "NOERROR"),
                    ("nothing.shop.svc", "A", "NXDOMAIN"), ("nothing.shop.svc.cluster.local", "AAAA", "NXDOMAIN"),
                    ("www.outside.test.shop.svc.cluster.local", "A", "NXDOMAIN"),
                ] {
                    let answer = try dig(sandbox, name, type, port: node.dnsPort)
                    #expect(answer.contains("status: \(status)"), "\(name) \(type): \(answer)")
                    #expect(answer.contains("ANSWER: 0"), "\(name) \(type): \(answer)")
                    #expect(answer.contains("SOA"), "\(name) \(type): \(answer)")
                }
                let six = try dig(sandbox, "six.shop", "AAAA", port: node.dnsPort)
                #expect(six.contains("fd00:96::10"), "\(six)")
            }
        }

        @Test(
            "Names of others come from the node's resolver, are kept for as long as they live, and long ones come whole"
        )
        func forwarding() throws {
            try run { sandbox, node, resolver in
                func asked(_ name: String) -> Int {
                    let log = (try? String(contentsOfFile: "\(sandbox.directory)/unbound.log", encoding: .utf8)) ?? ""
                    return log.split(separator: "\n").count { $0.contains("\(name). A IN") }
                }
                for _ in 0..<3 {
                    let answer = try dig(sandbox, "www.outside.test", "A", port: node.dnsPort)
                    #expect(answer.contains("192.0.2.1"), "\(answer)")
                    #expect(answer.contains(" ra"))
                }
                #expect(asked("www.outside.test") == 1)
                let nothing = try dig(sandbox, "nothing.outside.test", "A", port: node.dnsPort)
                #expect(nothing.contains("NXDOMAIN"), "\(nothing)")
                let long = try dig(sandbox, "long.outside.test", "A", port: node.dnsPort)
                #expect(long.components(separatedBy: "192.0.2.").count == 61, "\(long)")
                let cut = try dig(sandbox, "long.outside.test", "A", port: node.dnsPort, "+ignore", "+bufsize=512")
                #expect(cut.contains(" tc "), "\(cut)")

                // Without the resolver what is known is still known, and the mesh's own names are.
                resolver.stop()
                #expect(try dig(sandbox, "www.outside.test", "A", port: node.dnsPort).contains("192.0.2.1"))
                #expect(try dig(sandbox, "web.shop", "A", port: node.dnsPort).contains("127.96.0.10"))
                let failed = try dig(sandbox, "other.outside.test", "A", port: node.dnsPort)
                #expect(failed.contains("SERVFAIL"), "\(failed)")
                let metrics = try node.scrape()
                #expect(metrics.sum("weft_dns_queries_total", ["result": "cached"]) >= 3)
                #expect(metrics.sum("weft_dns_queries_total", ["result": "failed"]) >= 1)
                #expect(metrics.sum("weft_dns_queries_total", ["result": "mesh"]) >= 1)
            }
        }

        @Test("A change of the configuration is a change of the names")
        func changes() throws {
            try run { sandbox, node, _ in
                try node.apply(
                    Manifest.file(
                        Manifest.service("web", address: "127.96.0.77", endpoints: [sandbox.address(1)])))
                try eventually("the new address is answered") {
                    try dig(sandbox, "web.shop", "A", port: node.dnsPort).contains("127.96.0.77")
                }
                #expect(try dig(sandbox, "db.shop.svc", "A", port: node.dnsPort).contains("NXDOMAIN"))
            }
        }

        /// Whatever resolver a process of the mesh knows: the one here is nobody's address.
        @Test("dig, getent, Python and a JVM in the mesh reach a service by name through a resolver that is not there")
        func turned() throws {
            try Sandbox.run { sandbox in
                try Host.require([("dig", "bind9-dnsutils"), ("getent", "libc-bin"), ("java", "default-jdk-headless")])
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: "127.96.0.10", endpoints: [sandbox.address(1)]),
                        Manifest.workload("client", cgroup: sandbox.cgroupPath("client"))))
                let resolv = "\(sandbox.directory)/resolv.conf"
                try "nameserver 192.0.2.53\noptions timeout:2 attempts:1\n".write(
                    toFile: resolv, atomically: false, encoding: .utf8)
                let source = "\(sandbox.directory)/Ask.java"
                try """
                public class Ask {
                    public static void main(String[] names) throws Exception {
                        System.out.println(java.net.InetAddress.getByName(names[0]).getHostAddress());
                    }
                }
                """.write(toFile: source, atomically: false, encoding: .utf8)
                func inside(_ command: String, in workload: String = "client") throws -> Command.Result {
                    try sandbox.run(
                        ["unshare", "-m", "sh", "-c", "mount --bind \(resolv) /etc/resolv.conf && \(command)"],
                        in: workload, timeout: 120)
                }
                let name = "web.shop.svc.cluster.local"
                try eventually("the client's processes are enrolled") {
                    try inside("getent ahostsv4 \(name)").output.hasPrefix("127.96.0.10 ")
                }
                for option in ["+notcp", "+tcp"] {
                    let answer = try inside("dig +tries=1 +time=4 \(option) \(name) A")
                    #expect(answer.output.contains("127.96.0.10"), "\(answer)")
                    #expect(answer.output.contains("SERVER: 192.0.2.53#53"), "\(answer)")
                }
                let script = "import socket; print(socket.gethostbyname('\(name)'))"
                #expect(try inside("\(Host.python) -c \"\(script)\"").output == "127.96.0.10\n")
                let java = try inside("java \(source) \(name)")
                #expect(java.output == "127.96.0.10\n", "\(java)")
                // Who is not in the mesh asks whom it knows.
                #expect(try inside("getent ahostsv4 \(name)", in: "stranger").output.isEmpty)
            }
        }

        /// The C library asks port 53 of what resolv.conf names, and tries the search domains.
        @Test("getent, Python and curl reach a service by name with nothing but resolv.conf")
        func applications() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                let server = "127.96.53.\(Int(getpid()) % 250 + 1)"
                try node.start(
                    Manifest.service("web", address: "127.96.0.10", endpoints: [sandbox.address(1)]),
                    ["--dns-listen", "\(server):53"])
                let page = "\(sandbox.directory)/www"
                try FileManager.default.createDirectory(atPath: page, withIntermediateDirectories: true)
                try "hello from web".write(toFile: "\(page)/index.html", atomically: false, encoding: .utf8)
                _ = try sandbox.start(
                    [Host.python, "-m", "http.server", "8080", "--bind", sandbox.address(1), "--directory", page],
                    in: "web")
                try eventually("the server answers") {
                    try sandbox.run(["curl", "-sf", "http://\(sandbox.address(1)):8080/"]).succeeded
                }
                let resolv = "\(sandbox.directory)/resolv.conf"
                try """
                nameserver \(server)
                search shop.svc.cluster.local svc.cluster.local cluster.local
                options ndots:5 timeout:2 attempts:1

                """.write(toFile: resolv, atomically: false, encoding: .utf8)
                func inside(_ command: String) throws -> Command.Result {
                    try sandbox.run(
                        ["unshare", "-m", "sh", "-c", "mount --bind \(resolv) /etc/resolv.conf && \(command)"],
                        in: "client")
                }
                for name in ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"] {
                    let found = try inside("getent ahostsv4 \(name)")
                    #expect(found.output.hasPrefix("127.96.0.10 "), "\(name): \(found)")
                }
                #expect(try inside("getent hosts nothing.shop.svc.cluster.local").status == 2)
                let script = "import socket; print(socket.getaddrinfo('web', 80, type=socket.SOCK_STREAM)[0][4][0])"
                #expect(try inside("\(Host.python) -c \"\(script)\"").output == "127.96.0.10\n")
                let answer = try inside("curl -sS --max-time 10 http://web/")
                #expect(answer.output == "hello from web", "\(answer)")
            }
        }
    }
}
