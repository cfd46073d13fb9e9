import Protobuf
import Testing

/// Bytes that no writer made: an error, never more.
@Suite struct HostileInputTests {
    @Test(
        arguments: [
            ([0x08], .truncated),
            ([0x08, 0x80], .truncated),
            ([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], .varintTooLong),
            ([0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], .varintTooLong),
            ([0x00, 0x00], .invalidTag(0)),
            ([0x06, 0x00], .invalidTag(6)),
            ([0x0e], .invalidTag(14)),
            ([0x80, 0x80, 0x80, 0x80, 0x10], .invalidTag(1 << 32)),
            ([0x09, 1, 2, 3, 4, 5, 6, 7], .truncated),
            ([0x0d, 1, 2, 3], .truncated),
            ([0x0a, 0x01], .truncated),
            // A length of 2^64 - 1, and of 2^63.
            ([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00], .truncated),
            ([0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00], .truncated),
            ([0x0c], .unbalancedGroup(field: 1)),
            ([0x0b, 0x14], .unbalancedGroup(field: 2)),
            ([0x0b], .truncated),
        ] as [([UInt8], ProtobufError)])
    func whatIsNoMessageIsAnError(bytes: [UInt8], error: ProtobufError) {
        #expect(failure(of: bytes) { reader throws(ProtobufError) in while try reader.next() != nil {} } == error)
    }

    @Test func lengthsAreBoundByTheMessageAndNotByTheBuffer() {
        // The inner message has one byte; the string in it claims three of those that follow.
        let bytes: [UInt8] = [0x0a, 0x02, 0x0a, 0x03, 0x08, 0x01, 0x08, 0x01]
        #expect(
            failure(of: bytes) { reader throws(ProtobufError) in
                var inner = try reader.message()
                _ = try inner.next()
                _ = try inner.string()
            } == .truncated)
    }

    @Test func groupsAreSkippedToABound() {
        func groups(_ depth: Int) -> [UInt8] {
            [UInt8](repeating: 0x0b, count: depth) + [UInt8](repeating: 0x0c, count: depth)
        }
        #expect(failure(of: groups(100)) { reader throws(ProtobufError) in _ = try reader.next() } == nil)
        #expect(failure(of: groups(101)) { reader throws(ProtobufError) in _ = try reader.next() } == .groupsTooDeep)
    }

    @Test func aValueHasTheTypeOfItsField() {
        let number: [UInt8] = [0x08, 0x01]
        let wrong = ProtobufError.wrongWireType(field: 1)
        #expect(failure(of: number) { reader throws(ProtobufError) in _ = try reader.string() } == wrong)
        #expect(failure(of: number) { reader throws(ProtobufError) in _ = try reader.fixed32() } == wrong)
        #expect(failure(of: number) { reader throws(ProtobufError) in _ = try reader.fixed64() } == wrong)
        #expect(failure(of: [0x0a, 0x00]) { reader throws(ProtobufError) in _ = try reader.uint64() } == wrong)
        // And one value only.
        #expect(
            failure(of: [0x08, 0x01, 0x08, 0x02]) { reader throws(ProtobufError) in
                _ = try reader.uint64()
                _ = try reader.uint64()
            } == wrong)
    }

    @Test func stringsAreUTF8() {
        #expect(
            failure(of: [0x0a, 0x02, 0xc3, 0x28]) { reader throws(ProtobufError) in _ = try reader.string() }
                == .invalidUTF8(field: 1))
    }

    /// Every prefix of a message is an error or a shorter message; so is every message with one byte changed.
    @Test func cutAndChangedMessagesAreNeverReadBeyondTheirEnd() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let bytes = RandomMessage(using: &random).bytes
            for end in bytes.indices { #expect(readAll(Array(bytes[..<end])) <= end) }
            for index in bytes.indices {
                var changed = bytes
                changed[index] = UInt8.random(in: 0...255, using: &random)
                #expect(readAll(changed) <= changed.count)
            }
        }
    }

    @Test func anyBytesAreReadOrRefused() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            #expect(readAll(bytes) <= bytes.count)
        }
    }

    /// Reads each field by its wire type, taking every length-delimited one for a message too; how many fields there were.
    private func readAll(_ bytes: [UInt8]) -> Int {
        var count = 0
        _ = failure(of: []) { _ throws(ProtobufError) in
            var reader = ProtobufReader(bytes.span)
            while try reader.next() != nil {
                count += 1
                switch reader.wireType {
                case .varint: _ = try reader.uint64()
                case .fixed32: _ = try reader.float()
                case .fixed64: _ = try reader.double()
                case .lengthDelimited:
                    var inner = try reader.message()
                    while try inner.next() != nil { if inner.wireType == .lengthDelimited { _ = try inner.entry() } }
                case .startGroup, .endGroup: break
                }
            }
        }
        return count
    }
}
