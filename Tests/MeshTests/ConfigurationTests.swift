import Foundation
import Testing

extension NodeTests {
    @Suite("Configuration of a live agent")
    struct ConfigurationTests {
        private let service = "127.96.0.10"

        private func run(_ body: (Sandbox, Node) throws -> Void) throws {
            try Sandbox.run { sandbox in
                try sandbox.serve(["good,tcp,\(sandbox.address(1)),8080"], in: "servers")
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: service, endpoints: [sandbox.address(1)]))
                try body(sandbox, node)
            }
        }

        private func errors(_ metrics: Metrics, of file: String = "wrong.yaml") -> Double {
            metrics.sum("weft_config_errors", ["file": file])
        }

        /// One agent lives through all of it.
        @Test("Each broken file gives its precise error, the last good snapshot stays in force, the repair heals it")
        func brokenFiles() throws {
            try run { sandbox, node in
                for (number, broken) in BrokenFile.all.enumerated() {
                    let generation = try node.scrape().sum("weft_config_generation")
                    let path = "\(node.configDirectory)/wrong.yaml"
                    try broken.content.write(to: URL(filePath: path), options: .atomic)
                    do {
                        try node.waitForMetrics("\(broken.name): an error is counted", within: 10) { errors($0) >= 1 }
                    } catch {
                        Issue.record("\(error)")
                    }
                    try expectError(broken, validate(sandbox, node))
                    try expectError(broken, node.weft("status"))

                    // What was in force is in force.
                    #expect(try sandbox.connect(service, 80).server == "good", "\(broken.name)")
                    #expect(try node.scrape().sum("weft_config_generation") == generation, "\(broken.name)")
                    #expect(node.agent?.isRunning == true, "\(broken.name) ended it: \(node.agentLog.suffix(1000))")

                    let address = "127.96.1.\(number + 1)"
                    try node.apply(
                        Manifest.service("repaired", address: address, endpoints: [sandbox.address(1)]),
                        file: "wrong.yaml")
                    #expect(errors(try node.scrape()) == 0, "\(broken.name): the repair did not heal it")
                    #expect(try sandbox.connect(address, 80).server == "good", "\(broken.name)")
                }
            }
        }

        private func validate(_ sandbox: Sandbox, _ node: Node) throws -> Command.Result {
            try sandbox.run([Host.product("weft"), "validate", node.configDirectory], timeout: 30)
        }

        private func expectError(_ broken: BrokenFile, _ result: Command.Result) {
            let text = result.output + result.errors
            #expect(result.status == 1, "\(broken.name): exit code \(result.status): \(text)")
            let place = broken.line.map { "wrong.yaml:\($0):" } ?? "wrong.yaml"
            let lines = text.split(separator: "\n").filter { $0.contains(place) }
            #expect(!lines.isEmpty, "\(broken.name): no error at \(place) in: \(text.prefix(2000))")
            let found = lines.contains { line in broken.words.allSatisfy { line.localizedCaseInsensitiveContains($0) } }
            #expect(found, "\(broken.name): no error names \(broken.words): \(lines)")
        }

        @Test("A file that cannot be read is an error with its reason; a removed file heals too")
        func unreadable() throws {
            try run { sandbox, node in
                // Permissions do not stop root; a loop of symbolic links does.
                let path = "\(node.configDirectory)/wrong.yaml"
                try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path)
                try node.waitForMetrics("an error is counted") { errors($0) >= 1 }
                let status = try node.weft("status")
                #expect(status.status == 1)
                #expect((status.output + status.errors).contains("wrong.yaml"))
                #expect(try sandbox.connect(service, 80).server == "good")
                try FileManager.default.removeItem(atPath: path)
                try node.waitForMetrics("the error is gone") { errors($0) == 0 }
                #expect(try sandbox.connect(service, 80).server == "good")
            }
        }

        @Test("A directory that is not there yet is an error that names it, until it is there")
        func absentDirectory() throws {
            try Sandbox.run { sandbox in
                try sandbox.serve(["good,tcp,\(sandbox.address(1)),8080"], in: "servers")
                let node = try Node(sandbox)
                try FileManager.default.removeItem(atPath: node.configDirectory)
                try node.start()
                let status = try node.weft("status")
                #expect(status.status == 1)
                #expect((status.output + status.errors).contains(node.configDirectory), "\(status.errors)")
                try FileManager.default.createDirectory(
                    atPath: node.configDirectory, withIntermediateDirectories: false)
                try node.write(Manifest.service("web", address: service, endpoints: [sandbox.address(1)]))
                try eventually("the configuration is taken") { try sandbox.connect(service, 80).server == "good" }
                #expect(try node.weft("status").status == 0)
            }
        }

        @Test("A reference to nothing is a condition of the object; the rest of it works")
        func danglingReference() throws {
            try run { sandbox, node in
                try node.apply(
                    Manifest.file(
                        Manifest.service("web", address: service, endpoints: [sandbox.address(1)]),
                        """
                        apiVersion: weft.dev/v1alpha1
                        kind: TrafficPolicy
                        metadata: { name: lost, namespace: shop }
                        spec:
                          targetRefs: [{ group: "", kind: Service, name: absent }]
                          loadBalancer: { algorithm: RoundRobin }

                        """))
                let result = try node.weft("status", "TrafficPolicy/shop/lost", "-o", "json")
                #expect(result.status == 1, "\(result.output)\(result.errors)")
                let conditions = try JSON(result.output)[0]["status"]["conditions"].array
                let messages = conditions.filter { $0["status"].string != "True" }.compactMap { $0["message"].string }
                #expect(messages.contains { $0.contains("absent") }, "\(result.output)")
                #expect(try sandbox.connect(service, 80).server == "good")
            }
        }

        @Test("Objects in force have conditions that say so, in the specification's shape")
        func conditions() throws {
            try run { _, node in
                let status = try node.weftJSON("status", "Service/shop/web")
                #expect(status[0]["apiVersion"].string == "v1")
                #expect(status[0]["kind"].string == "Service")
                #expect(status[0]["metadata"]["name"].string == "web")
                let conditions = status[0]["status"]["conditions"].array
                #expect(!conditions.isEmpty)
                for condition in conditions {
                    #expect(condition["type"].string != nil)
                    #expect(condition["status"].string == "True")
                    #expect(condition["reason"].string != nil)
                    #expect(condition["lastTransitionTime"].string != nil)
                }
            }
        }

        @Test("A burst of files becomes one change, and every file of it counts")
        func burst() throws {
            try run { sandbox, node in
                let before = try node.scrape().sum("weft_config_generation")
                for number in 1...50 {
                    try node.write(
                        Manifest.service(
                            "burst-\(number)", address: "127.96.2.\(number)", endpoints: [sandbox.address(1)]),
                        file: "burst-\(number).yaml")
                }
                try eventually("the last of them works") {
                    try sandbox.connect("127.96.2.50", 80).server == "good"
                        && sandbox.connect("127.96.2.1", 80).server == "good"
                }
                let generations = try node.scrape().sum("weft_config_generation") - before
                #expect(generations >= 1 && generations <= 10, "\(generations) generations for one burst")
                // A removed file takes its objects along.
                try FileManager.default.removeItem(atPath: "\(node.configDirectory)/burst-1.yaml")
                try eventually("the removed service is gone") {
                    try sandbox.connect("127.96.2.1", 80).result == "ECONNREFUSED"
                        && sandbox.connect("127.96.2.2", 80).server == "good"
                }
            }
        }

        @Test("Maps full: an error naming map and object, a metric, a condition; what was programmed goes on working")
        func mapsFull() throws {
            try Sandbox.run { sandbox in
                let addresses = (1...6).map { sandbox.address($0) }
                try sandbox.serve(addresses.enumerated().map { "b\($0 + 1),tcp,\($1),8080" }, in: "servers")
                let node = try Node(sandbox)
                let small = Manifest.service("web", address: service, endpoints: Array(addresses.prefix(3)))
                try node.start(small, ["--map-limit", "backends=4"])
                #expect(try sandbox.pick(service, 80, count: 60).names.count == 3)

                let big = Manifest.service("big", address: "127.96.0.11", endpoints: Array(addresses.suffix(3)))
                try node.write(Manifest.file(small, big))
                try node.waitForMetrics("the pressure shows", within: 20) {
                    $0.sum("weft_map_pressure", ["map": "backends"]) >= 0.75
                }
                try eventually("the object has a condition that names the map; log: \(node.agentLog.suffix(1500))") {
                    let result = try node.weft("status", "Service/shop/big", "-o", "json")
                    guard let status = try? JSON(result.output) else { return false }
                    return result.status == 1
                        && status[0]["status"]["conditions"].array.contains {
                            $0["status"].string == "False" && $0["message"].string?.contains("backends") == true
                        }
                }
                let log = node.agentLog.split(separator: "\n")
                #expect(log.contains { $0.contains("backends") && $0.contains("shop/big") }, "\(node.agentLog)")
                #expect(try node.scrape().sum("weft_map_entries", ["map": "backends"]) <= 4)

                // The service that was there is untouched, and so are its backends.
                let picks = try sandbox.pick(service, 80, count: 100)
                #expect(picks.errors.isEmpty && picks.names.count == 3, "\(picks)")
                // Room again: the waiting object is programmed.
                try node.apply(
                    Manifest.file(Manifest.service("web", address: service, endpoints: [addresses[0]]), big))
                try eventually("the big service works") {
                    let picks = try sandbox.pick("127.96.0.11", 80, count: 60)
                    return picks.errors.isEmpty && picks.names.count == 3
                }
                #expect(try node.weft("status", "Service/shop/big").status == 0)
            }
        }
    }
}
