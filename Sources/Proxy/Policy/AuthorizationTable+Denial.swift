extension AuthorizationTable {
    /// Writes the refusal of a request by a policy; to a gRPC client as a status (PERMISSION_DENIED).
    ///
    /// - Parameter rule: what has refused it; -1: the client is not told.
    func writeDenial(
        rule: Int32, isGRPC: Bool, _ options: LocalResponse.Options, extra: RawSpan, into scratch: inout Scratch
    ) {
        let rule = title(rule)
        let text: StaticString = "RBAC: access denied"
        LocalResponse.start(isGRPC ? 200 : 403, options, into: &scratch)
        if !rule.isEmpty {
            scratch.append("x-weft-reason: ")
            scratch.append(rule.extracting(0..<min(rule.byteCount, 1024)))
            scratch.append("\r\n")
        }
        if isGRPC {
            scratch.append("content-type: application/grpc\r\ngrpc-status: 7\r\ngrpc-message: ")
            scratch.append(text)
            scratch.append("\r\n")
        } else {
            scratch.append("content-type: text/plain; charset=utf-8\r\n")
        }
        scratch.append(extra)
        scratch.appendFraming(.length(isGRPC ? 0 : UInt64(text.utf8CodeUnitCount)))
        scratch.append("\r\n")
        if !isGRPC, !options.isHead { scratch.append(text) }
    }
}
