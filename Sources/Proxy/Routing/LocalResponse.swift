/// Answers that no backend gave.
public enum LocalResponse {
    public struct Options: BitwiseCopyable, Sendable {
        /// The request was HEAD: no body is written, its length is.
        public var isHead: Bool
        public var connection: MessageOptions.Connection

        public init(isHead: Bool = false, connection: MessageOptions.Connection = .persistent) {
            self.isHead = isHead
            self.connection = connection
        }
    }

    /// Writes a whole error response: `x-weft-reason` says why, the body says it to people.
    ///
    /// - Parameters:
    ///   - explanation: ends the body's line; empty for none.
    ///   - extra: whole lines of the head.
    static func writeError(
        status: UInt16, detail: ResponseDetail, explanation: RawSpan = RawSpan(), _ options: Options,
        extra: RawSpan = RawSpan(), into scratch: inout Scratch
    ) {
        let reason = detail.staticText
        let separator: StaticString = explanation.isEmpty ? "\n" : ": "
        let count = reason.utf8CodeUnitCount + (explanation.isEmpty ? 1 : explanation.byteCount + 3)
        start(status, options, into: &scratch)
        scratch.append("x-weft-reason: ")
        scratch.append(reason)
        scratch.append("\r\ncontent-type: text/plain; charset=utf-8\r\n")
        scratch.append(extra)
        scratch.appendFraming(.length(UInt64(count)))
        scratch.append("\r\n")
        if !options.isHead {
            scratch.append(reason)
            scratch.append(separator)
            if !explanation.isEmpty {
                scratch.append(explanation)
                scratch.append("\n")
            }
        }
    }

    static func start(_ status: UInt16, _ options: Options, into scratch: inout Scratch) {
        scratch.append("HTTP/1.1 ")
        scratch.append(decimal: UInt64(status))
        scratch.append(byte: UInt8(ascii: " "))
        scratch.append(StatusText.reason(status))
        scratch.append("\r\n")
        scratch.appendConnection(options.connection)
    }
}

extension RouteTable {
    /// Writes the whole answer of a decision that leads to no backend: redirects, direct responses, preflights, refusals.
    ///
    /// - Parameters:
    ///   - extra: whole lines of the head.
    func writeLocalResponse(
        _ decision: RouteDecision, service: Int, _ view: borrowing RequestView,
        _ options: LocalResponse.Options,
        extra: RawSpan = RawSpan(), into scratch: inout Scratch
    ) {
        switch decision.kind {
        case .forward:
            return
        case .refuse:
            let problem = decision.backend < 0 ? RouteText.empty : backends[Int(decision.backend)].problem
            return LocalResponse.writeError(
                status: decision.status, detail: decision.detail, explanation: text(problem), options,
                extra: extra,
                into: &scratch)
        case .redirect, .respond, .preflight:
            break
        }

        let rule = rules[Int(decision.rule)]
        var body = RouteText.empty
        switch decision.kind {
        case .redirect:
            let place = decision.backend < 0 ? rule.redirect : backends[Int(decision.backend)].redirect
            let redirect = redirects[Int(place)]
            LocalResponse.start(redirect.status, options, into: &scratch)
            writeLocation(redirect, decision, service: service, view, into: &scratch)
            scratch.append("content-length: 0\r\n")
        case .respond:
            let response = responses[Int(rule.response)]
            body = response.body
            LocalResponse.start(response.status, options, into: &scratch)
            // RFC 9110: neither has a body.
            if response.status == 204 || response.status == 304 {
                body = .empty
            } else {
                if !response.contentType.isEmpty {
                    scratch.append("content-type: ")
                    scratch.append(text(response.contentType))
                    scratch.append("\r\n")
                }
                scratch.appendFraming(.length(UInt64(body.count)))
            }
        default:
            LocalResponse.start(204, options, into: &scratch)
            writePreflightFields(cors[Int(rule.cors)], view, into: &scratch)
        }
        if decision.allowsOrigin, let origin = view.slice(of: .origin) {
            writeCORSFields(cors[Int(rule.cors)], origin: view.bytes[origin], into: &scratch)
        }
        let edit =
            decision.backend < 0 ? rule.responseEdit : backends[Int(decision.backend)].responseEdit
        if edit >= 0 { scratch.append(text(headerEdits[Int(edit)].lines)) }
        scratch.append(extra)
        scratch.append("\r\n")
        if !options.isHead { scratch.append(text(body)) }
    }

    /// Gateway API, `HTTPRequestRedirectFilter`: without a port the one of the new scheme, or else the listener's, here the
    /// service's; a scheme's own port is not written.
    private func writeLocation(
        _ redirect: RouteRedirect, _ decision: RouteDecision, service: Int,
        _ view: borrowing RequestView,
        into scratch: inout Scratch
    ) {
        let scheme =
            redirect.scheme.isEmpty ? (view.isSecure ? schemes.secure : schemes.plain) : redirect.scheme
        let ownPort: UInt16 = scheme == schemes.secure ? 443 : scheme == schemes.plain ? 80 : 0
        var port = redirect.port
        if port == 0 { port = redirect.scheme.isEmpty ? services[service].port : ownPort }

        scratch.append("location: ")
        scratch.append(text(scheme))
        scratch.append("://")
        if !redirect.host.isEmpty {
            scratch.append(text(redirect.host))
        } else if !view.host.isEmpty {
            scratch.append(view.host)
        } else {
            scratch.append(text(services[service].host))
        }
        if port != ownPort {
            scratch.append(":")
            scratch.append(decimal: UInt64(port))
        }
        writePath(redirect.path, decision, view.path, into: &scratch)
        if view.head.hasQuery {
            scratch.append("?")
            scratch.append(view.bytes[view.head.query])
        }
        scratch.append("\r\n")
    }
}
