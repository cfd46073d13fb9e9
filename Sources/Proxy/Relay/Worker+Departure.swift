// Clients that end their side of the connection while their request is under way: some wait for the answer all the same,
// most are gone. A FIN does not say which.
extension Worker {
    /// How long an answer may take before a client that has ended its side is asked whether it is there, in milliseconds.
    static let departureDelay: UInt64 = 100

    /// The client has ended its side: it is asked in a while, if there is no answer by then.
    mutating func noticeDeparture(_ exchange: UInt32) {
        guard exchanges[exchange].departure == 0, mayAsk(exchange) else { return }
        exchanges[exchange].departure = tick + Self.departureDelay
        armTimer(exchange)
    }

    /// Sends 100 (Continue), which a client of HTTP/1.1 reads past (RFC 9110, section 15.2): from one that is gone comes a
    /// reset.
    mutating func askDeparted(_ exchange: UInt32) {
        exchanges[exchange].departure = .max
        if mayAsk(exchange) {
            scratch.removeAll()
            scratch.append("HTTP/1.1 100 Continue\r\n\r\n")
            guard sendScratch(exchange) else { return }
        }
        armTimer(exchange)
    }

    /// Nothing of an answer has been sent, and the client knows interim ones.
    private func mayAsk(_ exchange: UInt32) -> Bool {
        let index = exchanges[exchange].downstream
        let phase = exchanges[exchange].phase
        return (phase == .waiting || phase == .awaitingHead) && !downstreams[index].isShadow
            && downstreams[index].output.unsent == 0 && exchanges[exchange].request.minorVersion == 1
    }
}
