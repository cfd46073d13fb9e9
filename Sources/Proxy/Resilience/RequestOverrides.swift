internal import Mesh

/// What a caller asks for about its own request, with the fields that Envoy's router takes from those it trusts. They are
/// for this proxy and never sent on.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter
struct RequestOverrides: BitwiseCopyable {
    // Lists, as the request's head has them.
    private var retryOn = HeadSlice.empty
    private var retryGRPCOn = HeadSlice.empty
    private var statusCodes = HeadSlice.empty
    private var headerNames = HeadSlice.empty
    private var maxRetries: UInt32?
    /// Milliseconds, in place of the rule's; 0: none.
    private(set) var timeout: UInt32?
    /// Of one attempt.
    private(set) var perTryTimeout: UInt32?
    /// Whether `applied` may change anything.
    private(set) var changesRetries = false

    /// Asks for nothing.
    init() {}

    init(_ view: borrowing RequestView) {
        for index in view.fields.indices where view.fields[index].known == .envoy {
            let value = view.fields[index].value
            switch Field(view.fields[index].name, of: view.bytes) {
            case nil: continue
            case .timeout: timeout = Self.number(view.bytes[value])
            case .perTryTimeout: perTryTimeout = Self.number(view.bytes[value])
            case .maxRetries:
                maxRetries = Self.number(view.bytes[value])
                changesRetries = true
            case .retryOn:
                retryOn = value
                changesRetries = true
            case .retryGRPCOn:
                retryGRPCOn = value
                changesRetries = true
            case .statusCodes:
                statusCodes = value
                changesRetries = true
            case .headerNames: headerNames = value
            }
        }
    }

    /// Whether a field is one of these.
    static func isField(_ name: HeadSlice, of bytes: RawSpan) -> Bool { Field(name, of: bytes) != nil }

    /// The rule's retries as the caller changes them: more conditions and statuses, another number of attempts. Without a
    /// rule there are some if the caller names conditions.
    ///
    /// - Parameter head: the request's.
    func applied(to rule: RetryRule?, _ head: RawSpan) -> RetryRule? {
        let asksFor =
            conditions(head[retryOn]).subtracting(.grpc).union(conditions(head[retryGRPCOn]).intersection(.grpc))
        guard var changed = rule ?? (asksFor.isEmpty ? nil : .unconfigured) else { return nil }
        changed.conditions.formUnion(asksFor)
        if let maxRetries { changed.attempts = maxRetries }
        var codes = Elements(statusCodes)
        while let code = codes.next(in: head) {
            if let status = Self.number(head[code]) { changed.statusCodes.insert(UInt16(clamping: status)) }
        }
        return changed
    }

    /// Whether the caller names a field of the response as a reason to try again.
    func names(_ field: RawSpan, _ head: RawSpan) -> Bool {
        guard !headerNames.isEmpty else { return false }
        var names = Elements(headerNames)
        while let name = names.next(in: head) {
            if ByteText.equalInAnyCase(head[name], field) { return true }
        }
        return false
    }

    var namesHeaders: Bool { !headerNames.isEmpty }

    private func conditions(_ list: RawSpan) -> RetryPolicy.Conditions {
        var conditions: RetryPolicy.Conditions = []
        var elements = Elements(HeadSlice(from: 0, to: list.byteCount))
        while let element = elements.next(in: list) {
            for (name, condition) in RetryPolicy.Conditions.names where ByteText.equal(list[element], RawSpan(name)) {
                conditions.insert(condition)
            }
        }
        return conditions
    }

    /// nil for anything but a decimal number of 32 bits.
    static func number(_ text: RawSpan) -> UInt32? {
        guard text.byteCount > 0, text.byteCount <= 10 else { return nil }
        var value: UInt64 = 0
        for index in 0..<text.byteCount {
            guard text[index].isDigit else { return nil }
            value = value * 10 + UInt64(text[index] - UInt8(ascii: "0"))
        }
        return UInt32(exactly: value)
    }

    private typealias Elements = ListElements

    private enum Field {
        case retryOn, retryGRPCOn, maxRetries, statusCodes, headerNames, timeout, perTryTimeout

        init?(_ name: HeadSlice, of bytes: RawSpan) {
            switch name.count {
            case 16 where bytes.equals(name, ignoringCase: "x-envoy-retry-on"): self = .retryOn
            case 19 where bytes.equals(name, ignoringCase: "x-envoy-max-retries"): self = .maxRetries
            case 21 where bytes.equals(name, ignoringCase: "x-envoy-retry-grpc-on"): self = .retryGRPCOn
            case 30 where bytes.equals(name, ignoringCase: "x-envoy-upstream-rq-timeout-ms"): self = .timeout
            case 30 where bytes.equals(name, ignoringCase: "x-envoy-retriable-status-codes"): self = .statusCodes
            case 30 where bytes.equals(name, ignoringCase: "x-envoy-retriable-header-names"): self = .headerNames
            case 38 where bytes.equals(name, ignoringCase: "x-envoy-upstream-rq-per-try-timeout-ms"):
                self = .perTryTimeout
            default: return nil
            }
        }
    }
}
