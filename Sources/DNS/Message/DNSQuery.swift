/// A query as a server takes it.
public struct DNSQuery: Sendable {
    public let id: UInt16
    public let flags: DNSFlags
    public let question: DNSQuestion
    public let edns: DNSMessage.Extension?

    /// What is to be done with bytes that are no query that can be answered.
    public enum Refusal: Error, Equatable {
        /// Nothing: to answer an answer, or what is no message at all, only feeds loops and reflections.
        case ignore
        case answer([UInt8])
    }

    public init(_ bytes: [UInt8]) throws(Refusal) {
        guard bytes.count >= DNSWriter.headerSize, bytes[2] & 0x80 == 0 else { throw .ignore }
        let message: DNSMessage
        do throws(DNSFormatError) {
            message = try DNSMessage(bytes)
        } catch {
            throw .answer(Self.header(of: bytes, .formatError))
        }
        guard message.flags.opcode == 0 else { throw .answer(Self.header(of: bytes, .notImplemented)) }
        guard let question = message.question, message.records.allSatisfy({ $0.section == .additional }) else {
            throw .answer(Self.header(of: bytes, .formatError))
        }
        id = message.id
        flags = message.flags
        self.question = question
        edns = message.edns
    }

    /// Bytes of an answer that this client takes in a datagram.
    public var payloadLimit: Int {
        guard let edns else { return DNSWriter.plainPayload }
        return min(max(Int(edns.payloadSize), DNSWriter.plainPayload), DNSWriter.maxPayload)
    }

    /// An answer that is a header only: id, opcode and code.
    private static func header(of bytes: [UInt8], _ code: DNSResponseCode) -> [UInt8] {
        var header = Array(bytes[..<2])
        header.append(0x80 | bytes[2] & 0x79)
        header.append(0x80 | UInt8(code.rawValue))
        header += [UInt8](repeating: 0, count: 8)
        return header
    }
}
