// Answers that the proxy gives itself. Each says why in `x-weft-reason`.
extension Worker {
    /// Answers the exchange's request instead of a backend.
    mutating func reply(_ exchange: UInt32, _ status: UInt16, _ detail: ResponseDetail, _ flags: ResponseFlags) {
        releaseUpstream(exchange)
        exchanges[exchange].phase = .replying
        exchanges[exchange].record.status = status
        exchanges[exchange].record.detail = detail
        exchanges[exchange].record.flags.formUnion(flags)
        exchanges[exchange].record.responded = now
        if !exchanges[exchange].requestBody.isComplete { exchanges[exchange].closesDownstream = true }
        let body = exchanges[exchange].request.method == .head ? 0 : ReplyWriter.bodyCount(detail)
        exchanges[exchange].responseBody = MessageBody(.none)
        scratch.removeAll()
        ReplyWriter.write(
            status, detail, closes: exchanges[exchange].closesDownstream,
            keepsAlive: exchanges[exchange].request.minorVersion == 0, withBody: body > 0, into: &scratch)
        guard sendScratch(exchange) else { return }
        _ = pumpResponse(exchange)
    }

    /// Answers what is not a request, and ends the connection.
    mutating func refuse(_ index: UInt32, _ error: HeadError) {
        refuse(index, status: error.status, error.detail, .downstreamProtocolError)
    }

    /// The worker is at one of its ceilings.
    mutating func shed(_ index: UInt32) { refuse(index, status: 503, .overload, .overload) }

    mutating func refuse(_ index: UInt32, status: UInt16, _ detail: ResponseDetail, _ flags: ResponseFlags) {
        var record = RequestRecord()
        record.status = status
        record.detail = detail
        record.flags = flags
        record.source = downstreams[index].source
        record.started = downstreams[index].headStarted
        record.responded = now
        record.ended = now
        statistics.record(record)
        scratch.removeAll()
        ReplyWriter.write(status, detail, closes: true, keepsAlive: false, withBody: true, into: &scratch)
        buffers.give(&downstreams[index].input)
        var sent = 0
        if case .bytes(let count) = Sockets.send(downstreams[index].descriptor, scratch.bytes) { sent = count }
        if sent < scratch.count {
            guard let kept = keep(scratch.bytes.extracting(sent..<scratch.count), behind: downstreams[index].output)
            else {
                closeDownstream(index)
                return
            }
            downstreams[index].output = kept
            downstreams[index].isWritable = false
        }
        flush(index)
    }
}

enum ReplyWriter {
    static func bodyCount(_ detail: ResponseDetail) -> Int { detail.staticText.utf8CodeUnitCount + 1 }

    static func write(
        _ status: UInt16, _ detail: ResponseDetail, closes: Bool, keepsAlive: Bool, withBody: Bool,
        into scratch: inout Scratch
    ) {
        scratch.append("HTTP/1.1 ")
        scratch.append(decimal: UInt64(status))
        scratch.append(byte: .space)
        scratch.append(StatusText.reason(status))
        scratch.append("\r\nx-weft-reason: ")
        scratch.append(detail.staticText)
        scratch.append("\r\ncontent-type: text/plain\r\ncontent-length: ")
        scratch.append(decimal: UInt64(bodyCount(detail)))
        if closes {
            scratch.append("\r\nconnection: close")
        } else if keepsAlive {
            scratch.append("\r\nconnection: keep-alive")
        }
        scratch.append("\r\n\r\n")
        guard withBody else { return }
        scratch.append(detail.staticText)
        scratch.append("\n")
    }
}

/// Reason phrases (RFC 9110 section 15 and the IANA registry).
enum StatusText {
    static func reason(_ status: UInt16) -> StaticString {
        switch status {
        case 200: "OK"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 418: "I'm a teapot"
        case 421: "Misdirected Request"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
