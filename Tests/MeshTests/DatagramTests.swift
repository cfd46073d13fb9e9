import Foundation
import Testing

extension NodeTests {
    @Suite("UDP services with a real resolver")
    struct DatagramTests {
        /// Two unbound resolvers behind two services; each knows host.test by an address of its own.
        private func run(_ body: (Sandbox) throws -> Void) throws {
            try Sandbox.run { sandbox in
                try Host.require([("unbound", "unbound"), ("dig", "bind9-dnsutils")])
                for number in 1...2 {
                    let configuration = """
                        server:
                            interface: \(sandbox.address(number))@5353
                            access-control: 127.0.0.0/8 allow
                            directory: "\(sandbox.directory)"
                            chroot: ""
                            username: ""
                            pidfile: ""
                            do-daemonize: no
                            use-syslog: no
                            num-threads: 1
                            local-zone: "test." static
                            local-data: "host.test. 60 IN A 192.0.2.\(number)"
                        remote-control:
                            control-enable: no

                        """
                    let path = "\(sandbox.directory)/unbound-\(number).conf"
                    try configuration.write(toFile: path, atomically: false, encoding: .utf8)
                    let resolver = try sandbox.start(["unbound", "-d", "-c", path], in: "resolver-\(number)")
                    try eventually("unbound \(number) answers; it said: \(resolver.errors)") {
                        let query = ["+short", "+tries=1", "+time=1", "-p", "5353", "host.test"]
                        return try sandbox.run(["dig", "@\(sandbox.address(number))"] + query).output
                            == "192.0.2.\(number)\n"
                    }
                }
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service(
                            "dns-1", address: "127.96.0.53", port: 53, targetPort: 5353, protocol: "UDP",
                            endpoints: [sandbox.address(1)]),
                        Manifest.service(
                            "dns-2", address: "127.96.0.54", port: 53, targetPort: 5353, protocol: "UDP",
                            endpoints: [sandbox.address(2)])))
                try body(sandbox)
            }
        }

        @Test("dig gets its answer from the service address")
        func dig() throws {
            try run { sandbox in
                for number in 1...2 {
                    let server = "127.96.0.\(52 + number)"
                    let result = try sandbox.run(["dig", "@\(server)", "host.test", "+tries=1"], in: "client")
                    #expect(result.output.contains("192.0.2.\(number)"), "\(result.output)")
                    #expect(result.output.contains("SERVER: \(server)#53"))
                    #expect(!result.output.contains("unexpected source"))
                }
            }
        }

        @Test("The source of a reply is the service address: connected and unconnected sockets")
        func replySource() throws {
            try run { sandbox in
                for connected in [true, false] {
                    let answer = try sandbox.client(
                        "dns", ["servers": [["127.96.0.53", 53]], "name": "host.test", "connected": connected])
                    #expect(answer["answers"][0]["text"].string == "192.0.2.1")
                    #expect(answer["answers"][0]["address"].string == "127.96.0.53")
                    #expect(answer["answers"][0]["port"].int == 53)
                }
            }
        }

        @Test("One unconnected socket talks to two services in turn: each answer comes from the one that was asked")
        func twoServices() throws {
            try run { sandbox in
                let turns = (0..<20).map { $0 % 2 + 1 }
                for connected in [false, true] {
                    let answer = try sandbox.client(
                        "dns",
                        [
                            "servers": turns.map { ["127.96.0.\(52 + $0)", 53] }, "name": "host.test",
                            "connected": connected,
                        ])
                    #expect(answer["answers"].array.map { $0["text"].string } == turns.map { "192.0.2.\($0)" })
                    #expect(answer["answers"].array.map { $0["address"].string } == turns.map { "127.96.0.\(52 + $0)" })
                    #expect(answer["answers"].array.allSatisfy { $0["port"].int == 53 })
                }
            }
        }

        @Test("A socket that talks past the mesh in between gets that answer as it is")
        func servicesAndOthers() throws {
            try run { sandbox in
                let direct = sandbox.address(2)
                let answer = try sandbox.client(
                    "dns",
                    [
                        "servers": [["127.96.0.53", 53], [direct, 5353], ["127.96.0.53", 53], ["127.96.0.54", 53]],
                        "name": "host.test", "connected": false,
                    ])
                let sources = answer["answers"].array.map { "\($0["address"].string ?? "") \($0["port"].int ?? 0)" }
                #expect(sources == ["127.96.0.53 53", "\(direct) 5353", "127.96.0.53 53", "127.96.0.54 53"])
            }
        }
    }
}
