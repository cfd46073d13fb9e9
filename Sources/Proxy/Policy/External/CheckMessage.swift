import Mesh
import Protobuf

// `envoy.service.auth.v3.CheckRequest` and `CheckResponse`, as far as they are used.
// Source: https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto
extension RequestView {
    /// The request in gRPC's framing.
    func checkMessage(_ peers: borrowing CheckPeers, identifier: UInt64) -> [UInt8] {
        func text(_ bytes: RawSpan) -> [UInt8] { (0..<bytes.byteCount).map { bytes[$0] } }
        func string(_ bytes: RawSpan) -> String { String(decoding: text(bytes), as: UTF8.self) }
        // Names in lower case, values of the same name with commas between them.
        var headers: [(name: String, value: String)] = []
        for index in fields.indices {
            let name = string(bytes[fields[index].name]).lowercased()
            let value = string(bytes[fields[index].value])
            if let place = headers.firstIndex(where: { $0.name == name }) {
                headers[place].value += "," + value
            } else {
                headers.append((name, value))
            }
        }
        let method = string(bytes[head.methodText])
        let target = string(path) + (head.hasQuery ? "?" + string(bytes[head.query]) : "")
        let host = string(bytes[head.authority])
        let principal = string(peers.principal)
        let (source, destination) = (peers.source, peers.destination)
        let (isSecure, minorVersion) = (isSecure, head.minorVersion)
        func write(_ address: ClientAddress, _ writer: inout ProtobufWriter) {
            writer.message(1) {
                $0.message(1) {
                    $0.string(2, IPAddress(high: address.high.bigEndian, low: address.low.bigEndian).description)
                    $0.integer(3, address.port)
                }
            }
        }
        var writer = ProtobufWriter()
        writer.message(1) { attributes in
            attributes.message(1) {
                write(source, &$0)
                if !principal.isEmpty { $0.string(4, "spiffe://" + principal) }
            }
            attributes.message(2) { write(destination, &$0) }
            attributes.message(4) {
                $0.message(2) { http in
                    http.string(1, String(identifier))
                    http.string(2, method)
                    for header in headers { http.entry(3, key: header.name, value: header.value) }
                    http.string(4, target)
                    http.string(5, host)
                    http.string(6, isSecure ? "https" : "http")
                    http.string(10, "HTTP/1.\(minorVersion)")
                }
            }
        }
        let count = UInt32(writer.bytes.count)
        return [0, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
            + writer.bytes
    }
}

extension CheckReply {
    /// Reads a response's message, with gRPC's prefix. What is no message leaves the verdict `error`.
    mutating func read(_ message: [UInt8], _ scratch: inout Scratch) {
        guard message.count >= 5, message[0] == 0,
            message[1..<5].reduce(0, { $0 << 8 | Int($1) }) == message.count - 5
        else { return }
        let content = Array(message[5...])
        scratch.removeAll()
        do throws(ProtobufError) {
            var code: Int32 = 0
            var denied: UInt16 = 403
            var reader = ProtobufReader(content.span)
            var changes: [(kind: HeaderChanges.Kind, name: [UInt8], value: [UInt8])] = []
            while let field = try reader.next() {
                switch field {
                case 1:
                    var status = try reader.message()
                    while let field = try status.next() { if field == 1 { code = try status.int32() } }
                case 2:
                    var response = try reader.message()
                    while let field = try response.next() {
                        switch field {
                        case 1:
                            var status = try response.message()
                            while let field = try status.next() {
                                if field == 1 { denied = UInt16(clamping: try status.int32()) }
                            }
                        case 2:
                            var option = try response.message()
                            if let header = try Self.header(&option) {
                                changes.append((.respond, header.name, header.value))
                            }
                        case 3: body = try response.array()
                        default: break
                        }
                    }
                case 3:
                    var response = try reader.message()
                    while let field = try response.next() {
                        switch field {
                        case 2, 6:
                            var option = try response.message()
                            guard let header = try Self.header(&option) else { continue }
                            let kind: HeaderChanges.Kind = field == 6 ? .respond : header.appends ? .append : .set
                            changes.append((kind, header.name, header.value))
                        case 5: changes.append((.remove, try response.array(), []))
                        default: break
                        }
                    }
                default: break
                }
            }
            for change in changes {
                unsafe HeaderChanges.add(change.kind, change.name.span.bytes, change.value.span.bytes, to: &scratch)
            }
            guard !scratch.overflowed else { return }
            if code == 0 {
                verdict = .allowed
                body = []
                self.changes = Self.copy(scratch.bytes)
            } else {
                verdict = .denied((400..<600).contains(denied) || (300..<400).contains(denied) ? denied : 403)
                // Whole lines for the client.
                var lines: [UInt8] = []
                var position = 0
                let entries = HeaderChanges(scratch.bytes)
                while let entry = entries.next(&position) {
                    if entry.kind == .respond { lines += Self.copy(entry.line) }
                }
                self.changes = lines
            }
        } catch {
            verdict = .error
            changes = []
            body = []
        }
    }

    private static func copy(_ bytes: RawSpan) -> [UInt8] { (0..<bytes.byteCount).map { bytes[$0] } }

    /// A HeaderValueOption: `append` of Envoy's first versions, and `append_action`.
    private static func header(
        _ option: inout ProtobufReader
    ) throws(ProtobufError) -> (name: [UInt8], value: [UInt8], appends: Bool)? {
        var name: [UInt8] = []
        var value: [UInt8] = []
        var appends = false
        while let field = try option.next() {
            switch field {
            case 1:
                var header = try option.message()
                while let field = try header.next() {
                    switch field {
                    case 1: name = try header.array()
                    case 2, 3:
                        let given = try header.array()
                        if !given.isEmpty { value = given }
                    default: break
                    }
                }
            case 2:
                var flag = try option.message()
                while let field = try flag.next() { if field == 1 { appends = try flag.bool() } }
            default: break
            }
        }
        return name.isEmpty ? nil : (name, value, appends)
    }
}
