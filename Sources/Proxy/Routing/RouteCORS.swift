/// A rule's cross-origin policy, with the values of its answers ready.
struct RouteCORS: BitwiseCopyable {
    var allowsAnyOrigin: Bool
    /// Conditions, of which the origin has to pass one.
    var origins: RouteRun
    var allowsCredentials: Bool
    var allowsAnyMethod: Bool
    var methods: RouteText
    var allowsAnyHeader: Bool
    var headers: RouteText
    var exposed: RouteText
    /// Seconds; -1: not said.
    var maxAge: Int64
}

extension RequestView {
    /// The value of the first field of this kind; nil if there is none.
    func slice(of known: KnownField) -> HeadSlice? {
        for index in fields.indices where fields[index].known == known { return fields[index].value }
        return nil
    }
}

extension RouteTable {
    /// Whether the request has an origin that the policy allows.
    func allows(_ policy: RouteCORS, originOf view: borrowing RequestView) -> Bool {
        guard let origin = view.slice(of: .origin) else { return false }
        if policy.allowsAnyOrigin { return true }
        for index in policy.origins.indices where passes(view.bytes.extracting(origin.range), conditions[index]) {
            return true
        }
        return false
    }

    /// Fetch standard, section 3.2.2: OPTIONS that asks about another request.
    func isPreflight(_ view: borrowing RequestView) -> Bool {
        view.head.method == .options && view.slice(of: .accessControlRequestMethod) != nil
    }

    /// The fields that every answer to an allowed origin has.
    func writeCORSFields(_ policy: RouteCORS, origin: RawSpan, into sink: inout ByteSink) {
        sink.append("access-control-allow-origin: ")
        // A wildcard is not valid where credentials are allowed.
        if policy.allowsAnyOrigin && !policy.allowsCredentials {
            sink.append("*\r\n")
        } else {
            sink.append(origin)
            sink.append("\r\nvary: origin\r\n")
        }
        if policy.allowsCredentials { sink.append("access-control-allow-credentials: true\r\n") }
        if !policy.exposed.isEmpty {
            sink.append("access-control-expose-headers: ")
            sink.append(text(policy.exposed))
            sink.append("\r\n")
        }
    }

    /// The fields that answer a preflight, besides those of every answer.
    func writePreflightFields(_ policy: RouteCORS, _ view: borrowing RequestView, into sink: inout ByteSink) {
        writeList(
            "access-control-allow-methods: ", policy.methods, isAny: policy.allowsAnyMethod,
            echoing: .accessControlRequestMethod, policy, view, into: &sink)
        writeList(
            "access-control-allow-headers: ", policy.headers, isAny: policy.allowsAnyHeader,
            echoing: .accessControlRequestHeaders, policy, view, into: &sink)
        if policy.maxAge >= 0 {
            sink.append("access-control-max-age: ")
            sink.append(number: UInt64(policy.maxAge))
            sink.append("\r\n")
        }
    }

    /// With credentials `*` would be taken by its letter, so that what was asked for is allowed by name.
    private func writeList(
        _ name: StaticString, _ list: RouteText, isAny: Bool, echoing asked: KnownField, _ policy: RouteCORS,
        _ view: borrowing RequestView, into sink: inout ByteSink
    ) {
        if isAny && policy.allowsCredentials {
            guard let asked = view.slice(of: asked), !asked.isEmpty else { return }
            sink.append(name)
            sink.append(view.bytes, asked)
        } else if isAny {
            sink.append(name)
            sink.append(UInt8(ascii: "*"))
        } else {
            guard !list.isEmpty else { return }
            sink.append(name)
            sink.append(text(list))
        }
        sink.append("\r\n")
    }
}
