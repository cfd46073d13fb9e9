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

extension RouteTable {
    /// Whether the request has an origin that the policy allows.
    func allows(_ policy: RouteCORS, originOf view: borrowing RequestView) -> Bool {
        guard let origin = view.slice(of: .origin) else { return false }
        if policy.allowsAnyOrigin { return true }
        for index in policy.origins.indices where passes(view.bytes[origin], conditions[index]) {
            return true
        }
        return false
    }

    /// Fetch standard, section 3.2.2: OPTIONS that asks about another request.
    func isPreflight(_ view: borrowing RequestView) -> Bool {
        view.head.method == .options && view.slice(of: .accessControlRequestMethod) != nil
    }

    /// The fields that every answer to an allowed origin has.
    func writeCORSFields(_ policy: RouteCORS, origin: RawSpan, into scratch: inout Scratch) {
        scratch.append("access-control-allow-origin: ")
        // A wildcard is not valid where credentials are allowed.
        if policy.allowsAnyOrigin && !policy.allowsCredentials {
            scratch.append("*\r\n")
        } else {
            scratch.append(origin)
            scratch.append("\r\nvary: origin\r\n")
        }
        if policy.allowsCredentials { scratch.append("access-control-allow-credentials: true\r\n") }
        if !policy.exposed.isEmpty {
            scratch.append("access-control-expose-headers: ")
            scratch.append(text(policy.exposed))
            scratch.append("\r\n")
        }
    }

    /// The fields that answer a preflight, besides those of every answer.
    func writePreflightFields(
        _ policy: RouteCORS, _ view: borrowing RequestView, into scratch: inout Scratch
    ) {
        writeList(
            "access-control-allow-methods: ", policy.methods, isAny: policy.allowsAnyMethod,
            echoing: .accessControlRequestMethod, policy, view, into: &scratch)
        writeList(
            "access-control-allow-headers: ", policy.headers, isAny: policy.allowsAnyHeader,
            echoing: .accessControlRequestHeaders, policy, view, into: &scratch)
        if policy.maxAge >= 0 {
            scratch.append("access-control-max-age: ")
            scratch.append(decimal: UInt64(policy.maxAge))
            scratch.append("\r\n")
        }
    }

    /// With credentials `*` would be taken by its letter, so that what was asked for is allowed by name.
    private func writeList(
        _ name: StaticString, _ list: RouteText, isAny: Bool, echoing asked: KnownField,
        _ policy: RouteCORS,
        _ view: borrowing RequestView, into scratch: inout Scratch
    ) {
        if isAny && policy.allowsCredentials {
            guard let asked = view.slice(of: asked), !asked.isEmpty else { return }
            scratch.append(name)
            scratch.append(view.bytes[asked])
        } else if isAny {
            scratch.append(name)
            scratch.append(byte: UInt8(ascii: "*"))
        } else {
            guard !list.isEmpty else { return }
            scratch.append(name)
            scratch.append(text(list))
        }
        scratch.append("\r\n")
    }
}
