import ArgumentParser
import Mesh
import Proxy

struct RoutesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routes", abstract: "Rules of HTTP requests.", subcommands: [Show.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the rules that requests to a service go through.",
            discussion: """
                The agent is asked, or, with --config, the rules are read from a directory as the agent would.

                EXAMPLES
                  weft routes show shop/web
                  weft routes show shop/web --config ./mesh.d -o json
                """)

        @Argument(help: ArgumentHelp("The service.", valueName: "namespace/name"))
        var service: String

        @Option(help: ArgumentHelp("Read this configuration instead of asking the agent.", valueName: "dir"))
        var config: String?

        @OptionGroup var runtime: RunOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let parts = service.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
                throw Failure.usage("'\(service)' is not namespace/name of a service")
            }
            let name = ObjectName(namespace: parts[0], name: parts[1])
            let ports = try ProxySource(config: config, runtime).routes(of: name)
            format.print(.array(ports.map(\.value))) { Self.page(ports, $0) }
        }

        static func page(_ ports: [RouteListing], _ terminal: Terminal) -> String {
            var page = Page(terminal)
            for port in ports {
                guard !port.reasons.isEmpty || !port.rules.isEmpty else {
                    page.facts([("\(port.service):\(port.port)", "no rule needs the proxy: the kernel balances")])
                    continue
                }
                page.facts([("\(port.service):\(port.port)", "in the proxy: \(port.reasons.joined(separator: ", "))")])
                page.table("RULES", port.rules.map(\.record))
            }
            return page.text
        }
    }
}

extension RouteListing {
    var value: Value {
        [
            "service": .string(service), "port": Value(port), "reasons": .array(reasons.map(Value.string)),
            "rules": .array(rules.map { $0.record.value }),
        ]
    }
}

extension RouteListing.Rule {
    var record: Record {
        func list(_ texts: [String], _ none: String) -> String {
            texts.isEmpty ? none : texts.joined(separator: "; ")
        }
        func field(_ name: String, _ texts: [String], _ none: String) -> Field {
            Field(name, .array(texts.map(Value.string)), text: list(texts, none))
        }
        return Record([
            Field("title", .string(title), title: "RULE"), field("hostnames", hostnames, "any"),
            field("matches", matches, "any"), field("filters", filters, "-"), field("backends", backends, "-"),
        ])
    }
}
