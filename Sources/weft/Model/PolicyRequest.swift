import ArgumentParser
import Proxy

/// The request that a question about policy is about, as the command line gives it.
struct PolicyRequestOptions: ParsableArguments {
    @Option(help: "Ask about a request too: its method (GET).")
    var method: String?

    @Option(help: "Path and query of the request (/).")
    var path: String?

    @Option(help: "The request's host, with a port if it has one; the destination's name if omitted.")
    var host: String?

    @Option(name: [.customShort("H"), .long], help: ArgumentHelp("A header of the request.", valueName: "name: value"))
    var header: [String] = []

    @Option(
        help: ArgumentHelp(
            "A token, verified with the keys of the configuration if it has them; or its payload as JSON, which is taken to be valid.",
            valueName: "file"))
    var jwt: String?

    var isGiven: Bool { method != nil || path != nil || host != nil || !header.isEmpty || jwt != nil }

    /// nil: nothing is asked about a request.
    func request(to destination: String, service: String?) throws -> PolicyInquiry.Request? {
        guard isGiven else { return nil }
        let parts = destination.split(separator: "/")
        let token = try jwt.map(Self.token)
        return PolicyInquiry.Request(
            method: method ?? "GET", path: path ?? "/",
            headers: try header.map { text throws(Failure) in try RequestInquiry.Header(line: text) },
            host: host ?? parts.reversed().joined(separator: "."), token: token?.payload, jwt: token?.compact,
            service: service)
    }

    /// One of the two.
    private static func token(in file: String) throws -> (payload: String?, compact: String?) {
        guard let text = readText(file) else { throw Failure.unknown("cannot read \(file)") }
        guard let payload = PolicyInquiry.payload(ofToken: text) else {
            throw Failure.usage(
                "\(file) holds neither a token (RFC 7519, three parts with dots between) nor a JSON object")
        }
        let words = text.split(whereSeparator: \.isWhitespace)
        let isToken = words.count == 1 && !text.hasPrefix("{")
        return isToken ? (nil, String(words[0])) : (payload, nil)
    }
}

extension RequestInquiry.Header {
    /// Parses `name: value`.
    init(line: String) throws(Failure) {
        guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else {
            throw Failure.usage("-H '\(line)' is not 'name: value'")
        }
        let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        self.init(name: String(line[..<colon]), value: String(value))
    }
}

extension PolicyAccount {
    var value: Value {
        [
            "destination": .string(destination), "verdict": .string(isAllowed ? "allowed" : "denied"),
            "layers": .array(layers.map(\.value)),
        ]
    }

    /// - Parameter skipping: layers that have been described.
    func describe(_ page: inout Page, skipping: Set<String> = []) {
        for layer in layers where !skipping.contains(layer.layer) {
            let decider = layer.rule.map { " by \($0)" } ?? ""
            let style: Style = layer.verdict == "denied" ? .bad : layer.verdict == "allowed" ? .good : .caution
            page.line("\(layer.verdict)  \(destination), \(layer.layer)\(decider)", style)
            for step in layer.steps { page.line("  \(step)") }
        }
    }
}

extension PolicyAccount.Layer {
    var value: Value {
        [
            "layer": .string(layer), "verdict": .string(verdict), "policy": .optional(policy), "rule": .optional(rule),
            "shadowVerdict": .string(shadowVerdict), "steps": .array(steps.map(Value.string)),
        ]
    }
}
