public import Proxy
import WeftABI

extension TapEvent {
    /// Beginning and end of a request of the proxy's, which tells of it when it has ended.
    ///
    /// - Parameter number: tells it apart from the other requests of the proxy.
    public static func pair(
        _ entry: borrowing RequestLogEntry, number: UInt64, directory: some NameDirectory, clock: WallClock
    ) -> (request: TapEvent, response: TapEvent) {
        let record = entry.record
        var request = TapEvent(.request, ID(connection: 0, number: number))
        func name(_ id: UInt64, _ name: String?) -> String? { id == 0 ? nil : name ?? "#" + String(id, radix: 16) }
        request.time = clock.unixNanoseconds(monotonic: record.started)
        request.lane = Terms.lane(UInt8(WEFT_LANE_PROXY.rawValue))
        request.direction = record.isInbound ? "inbound" : "outbound"
        let source = directory.workload(record.source)
        request.from = name(record.source, source?.fullName)
        request.sourcePrincipal =
            text(entry.text(.principal)).map { "spiffe://\($0)" } ?? source.flatMap { $0.principal.nonEmpty }
        request.to = name(record.service, directory.service(record.service)?.fullName)
        request.destination = name(record.destination, directory.workload(record.destination)?.fullName)
        request.sourceAddress = address(entry.addresses.client)
        request.destinationAddress = address(entry.addresses.upstream) ?? address(entry.addresses.local)
        request.method = text(entry.text(.method))
        request.authority = text(entry.text(.authority))
        request.path = text(entry.text(.path))
        var response = request
        response.kind = .response
        response.time = clock.unixNanoseconds(monotonic: record.ended)
        response.status = record.status == 0 ? nil : record.status
        response.outcome = record.detail.text
        response.flags = record.flags.isEmpty ? nil : Terms.responseFlags(record.flags)
        response.durationMicroseconds = record.ended > record.started ? (record.ended - record.started) / 1000 : 0
        response.firstByteMicroseconds =
            record.responded > record.started ? (record.responded - record.started) / 1000 : nil
        response.requestBytes = record.requestBody
        response.responseBytes = record.responseBody
        return (request, response)
    }

    private static func text(_ bytes: RawSpan) -> String? {
        bytes.isEmpty ? nil : unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    private static func address(_ address: ClientAddress) -> String? {
        guard address.high | address.low != 0 else { return nil }
        return AddressText.text(
            weft_address(high: address.high.bigEndian, low: address.low.bigEndian), port: address.port.bigEndian)
    }
}

extension String {
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
