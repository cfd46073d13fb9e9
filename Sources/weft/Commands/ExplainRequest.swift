import ArgumentParser
import Proxy

struct ExplainRequest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "request",
        abstract: "Explain what would become of an HTTP request: rules, filters, backend, answer.",
        discussion: """
            Nothing is sent. The agent is asked, or, with --config, the decision is made from a directory as the agent \
            would make it. Where backends share requests by weight, one is chosen as for a real request. Exit status 0 \
            if the request would be forwarded or answered as a rule wants it, 1 if it would be refused.

            A request that the proxy itself answers has a header x-weft-reason, and the access log has the same word \
            in response_code_details: \(reasons).

            EXAMPLES
              weft explain request GET http://web.shop/api/items --from shop/client
              weft explain request POST http://web.shop/login -H 'x-tier: free'
              weft explain request GET http://web.shop/ --config ./mesh.d -o json
            """)

    private static let reasons = ResponseDetail.allCases.map(\.text).joined(separator: ", ")

    @Argument(help: "The method.")
    var method: String

    @Argument(help: ArgumentHelp("http://SERVICE[:PORT]/PATH, with a service's name or address.", valueName: "url"))
    var url: String

    @Option(name: [.customShort("H"), .long], help: ArgumentHelp("A header field.", valueName: "name: value"))
    var header: [String] = []

    @Option(
        help: ArgumentHelp("The workload that calls; without it, one outside of the mesh.", valueName: "namespace/name")
    )
    var from: String?

    @Option(help: ArgumentHelp("Read this configuration instead of asking the agent.", valueName: "dir"))
    var config: String?

    @OptionGroup var proxies: TrustedProxiesOption
    @OptionGroup var runtime: RunOptions
    @OptionGroup var format: OutputOptions

    func validate() throws { try proxies.check(config) }

    func run() throws {
        let headers = try header.map { text throws(Failure) in try RequestInquiry.Header(line: text) }
        let inquiry = RequestInquiry(method: method, url: url, headers: headers, from: from)
        let account = try ProxySource(config: config, runtime, trustedProxies: proxies.count).explain(inquiry)
        format.print(account.value) { Self.page(account, $0) }
        if account.outcome == .refuse { throw end(with: .no) }
    }

    static func page(_ account: RequestAccount, _ terminal: Terminal) -> String {
        var page = Page(terminal)
        for (number, step) in account.steps.enumerated() { page.marked("\(number + 1)", .heading, step) }
        page.blank()
        var facts = [("service", account.service), ("outcome", account.outcome.rawValue)]
        if let rule = account.rule { facts.append(("rule", rule)) }
        if let cluster = account.cluster { facts.append(("to", cluster)) }
        if let status = account.status { facts.append(("status", "\(status)")) }
        if account.outcome != .kernel, account.outcome != .forward { facts.append(("reason", account.detail)) }
        page.facts(facts)
        return page.text
    }
}

extension RequestAccount {
    var value: Value {
        [
            "service": .string(service), "outcome": .string(outcome.rawValue), "rule": .optional(rule),
            "cluster": .optional(cluster), "status": status.map { Value($0) } ?? .null,
            "detail": detail.isEmpty ? .null : .string(detail), "steps": .array(steps.map(Value.string)),
        ]
    }
}
