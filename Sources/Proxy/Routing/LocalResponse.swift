/// Answers that no backend gave.
public enum LocalResponse {
    public struct Options: BitwiseCopyable, Sendable {
        /// The request was HEAD: no body is written, its length is.
        public var isHead: Bool
        /// The connection ends after the answer.
        public var closes: Bool

        public init(isHead: Bool = false, closes: Bool = false) {
            self.isHead = isHead
            self.closes = closes
        }
    }

    /// Writes a whole error response: `x-weft-reason` says why, the body says it to people.
    ///
    /// - Parameters:
    ///   - explanation: ends the body's line; empty for none.
    ///   - extra: whole lines of the head.
    /// - Returns: the number of bytes written, nil if `buffer` is too small.
    public static func writeError(
        status: UInt16, detail: ResponseDetail, explanation: RawSpan = RawSpan(), _ options: Options,
        extra: RawSpan = RawSpan(), into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var sink = unsafe ByteSink(buffer)
        let reason = detail.text
        let separator: StaticString = explanation.isEmpty ? "\n" : ": "
        let count = reason.utf8.count + (explanation.isEmpty ? 1 : explanation.byteCount + 3)
        start(status, options, into: &sink)
        sink.append("x-weft-reason: ")
        sink.append(reason)
        sink.append("\r\ncontent-type: text/plain; charset=utf-8\r\n")
        sink.append(extra)
        sink.appendFraming(.length(UInt64(count)))
        sink.append("\r\n")
        if !options.isHead {
            sink.append(reason)
            sink.append(separator)
            if !explanation.isEmpty {
                sink.append(explanation)
                sink.append("\n")
            }
        }
        return sink.finish()
    }

    static func start(_ status: UInt16, _ options: Options, into sink: inout ByteSink) {
        sink.append("HTTP/1.1 ")
        sink.append(number: status)
        sink.append(UInt8(ascii: " "))
        sink.append(StatusReason.phrase(status))
        sink.append("\r\n")
        if options.closes { sink.append("connection: close\r\n") }
    }
}

extension RouteTable {
    /// Writes the whole answer of a decision that leads to no backend: redirects, direct responses, preflights, refusals.
    ///
    /// - Parameters:
    ///   - extra: whole lines of the head.
    /// - Returns: the number of bytes written, nil if `buffer` is too small or the decision is to forward.
    public func writeLocalResponse(
        _ decision: RouteDecision, service: Int, _ view: borrowing RequestView, _ options: LocalResponse.Options,
        extra: RawSpan = RawSpan(), into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        switch decision.kind {
        case .forward:
            return nil
        case .refuse:
            let problem = decision.backend < 0 ? RouteText.empty : backends[Int(decision.backend)].problem
            return unsafe LocalResponse.writeError(
                status: decision.status, detail: decision.detail, explanation: text(problem), options, extra: extra,
                into: buffer)
        case .redirect, .respond, .preflight:
            break
        }

        var sink = unsafe ByteSink(buffer)
        let rule = rules[Int(decision.rule)]
        var body = RouteText.empty
        switch decision.kind {
        case .redirect:
            let place = decision.backend < 0 ? rule.redirect : backends[Int(decision.backend)].redirect
            let redirect = redirects[Int(place)]
            LocalResponse.start(redirect.status, options, into: &sink)
            writeLocation(redirect, decision, service: service, view, into: &sink)
            sink.append("content-length: 0\r\n")
        case .respond:
            let response = responses[Int(rule.response)]
            body = response.body
            LocalResponse.start(response.status, options, into: &sink)
            // RFC 9110: neither has a body.
            if response.status == 204 || response.status == 304 {
                body = .empty
            } else {
                if !response.contentType.isEmpty {
                    sink.append("content-type: ")
                    sink.append(text(response.contentType))
                    sink.append("\r\n")
                }
                sink.appendFraming(.length(UInt64(body.count)))
            }
        default:
            LocalResponse.start(204, options, into: &sink)
            writePreflightFields(cors[Int(rule.cors)], view, into: &sink)
        }
        if decision.allowsOrigin, let origin = view.slice(of: .origin) {
            writeCORSFields(cors[Int(rule.cors)], origin: view.bytes.extracting(origin.range), into: &sink)
        }
        let edit = decision.backend < 0 ? rule.responseEdit : backends[Int(decision.backend)].responseEdit
        if edit >= 0 { sink.append(text(headerEdits[Int(edit)].lines)) }
        sink.append(extra)
        sink.append("\r\n")
        if !options.isHead { sink.append(text(body)) }
        return sink.finish()
    }

    /// Gateway API, `HTTPRequestRedirectFilter`: without a port the one of the new scheme, or else the listener's, here the
    /// service's; a scheme's own port is not written.
    private func writeLocation(
        _ redirect: RouteRedirect, _ decision: RouteDecision, service: Int, _ view: borrowing RequestView,
        into sink: inout ByteSink
    ) {
        let scheme = redirect.scheme.isEmpty ? (view.isSecure ? schemes.secure : schemes.plain) : redirect.scheme
        let ownPort: UInt16 = scheme == schemes.secure ? 443 : scheme == schemes.plain ? 80 : 0
        var port = redirect.port
        if port == 0 { port = redirect.scheme.isEmpty ? services[service].port : ownPort }

        sink.append("location: ")
        sink.append(text(scheme))
        sink.append("://")
        if !redirect.host.isEmpty {
            sink.append(text(redirect.host))
        } else if !view.host.isEmpty {
            sink.append(view.host)
        } else {
            sink.append(text(services[service].host))
        }
        if port != ownPort {
            sink.append(":")
            sink.append(number: port)
        }
        writePath(redirect.path, decision, view.path, into: &sink)
        if view.head.hasQuery {
            sink.append("?")
            sink.append(view.bytes, view.head.query)
        }
        sink.append("\r\n")
    }
}
