import WeftABI

// HTTP/1 in peers' streams whose bytes go to the application as they are: read on its way, and counted for the server's
// end. What speaks something else is left alone from its first bytes on.
extension Worker {
    /// Bytes of a stream, the next ones of their direction; cut anywhere.
    mutating func readRequests(_ index: UInt32, _ bytes: RawSpan, isResponse: Bool) {
        if tunnels.streams[index].requests == TunnelRequests.undecided {
            // Clients speak first.
            let templates = tunnels.table?.templates.table(tunnels.streams[index].service) ?? 0
            tunnels.streams[index].requests =
                isResponse ? TunnelRequests.none : tunnels.requests.begin(bytes, templates: templates)
        }
        let place = tunnels.streams[index].requests
        guard place != TunnelRequests.none else {
            tunnels.port[source: index].isFollowed = false
            return
        }
        guard tunnels.requests.open(place, isResponse: isResponse, bytes, now: now) else { return }
        while true {
            switch tunnels.requests.next(place, isResponse: isResponse, bytes) {
            case .request:
                if let templates = tunnels.table?.templates { tunnels.requests.takeTemplate(place, templates) }
                continue
            case .answered(let answer):
                count(answer, of: index)
                continue
            case .lost(let unparsed):
                if unparsed > 0 { countUnparsed(UInt64(unparsed), of: index) }
            case .end: break
            }
            break
        }
        if tunnels.requests.isOpaque(place) { stopReading(index) }
    }

    /// The application has ended a stream, or is gone.
    mutating func serverLeft(_ index: UInt32) {
        guard tunnels.streams[index].isRead, !tunnels.streams[index].hasRemoteEnded else { return }
        tunnels.requests.serverLeft(tunnels.streams[index].requests)
    }

    /// A stream has ended: so have its requests.
    mutating func endRequests(_ index: UInt32) {
        guard tunnels.streams[index].isRead else { return }
        let isClosed = tunnels.port[source: index].hasEnded
        reading: while true {
            switch tunnels.requests.takeRest(tunnels.streams[index].requests, isClosed: isClosed, now: now) {
            case .complete(let answer): count(answer, of: index)
            case .brokenOff(let answer, let byServer):
                count(answer, of: index, flags: byServer ? .upstreamTermination : .downstreamTermination)
            case nil: break reading
            }
        }
        stopReading(index)
    }

    private mutating func stopReading(_ index: UInt32) {
        let place = tunnels.streams[index].requests
        tunnels.streams[index].summary = tunnels.requests.summary(place)
        tunnels.requests.remove(place)
        tunnels.streams[index].requests = TunnelRequests.none
        tunnels.port[source: index].isFollowed = false
    }

    private func count(_ answer: weft_http_answer, of index: UInt32, flags: ResponseFlags = []) {
        guard answer.timed != 0 else { return countUnparsed(1, of: index) }
        var record = record(index)
        record.status = answer.status
        record.template = answer.route
        record.flags = flags
        record.requestBody = answer.request_body
        record.responseBody = answer.response_body
        record.ended = now
        record.started = now &- min(answer.duration_ns, now)
        record.responded = record.started &+ answer.first_byte_ns
        statistics.record(record)
    }

    private func countUnparsed(_ count: UInt64, of index: UInt32) {
        statistics.recordUnparsed(record(index), count: count)
    }

    private func record(_ index: UInt32) -> RequestRecord {
        let stream = tunnels.streams[index]
        var record = RequestRecord()
        record.source = stream.source
        record.service = stream.service
        record.destination = stream.destination
        record.isInbound = true
        record.isFromTunnel = true
        record.isPassedOn = true
        record.peer = stream.peer
        return record
    }
}
