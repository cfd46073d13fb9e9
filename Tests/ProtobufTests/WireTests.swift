import Protobuf
import Testing

/// What the encoding guide shows, and the edges of every kind of value.
@Suite struct WireTests {
    @Test func aNumberIsWrittenAsTheGuideSays() {
        var writer = ProtobufWriter()
        writer.integer(1, 150)
        #expect(writer.bytes == [0x08, 0x96, 0x01])
    }

    @Test func aStringIsWrittenAsTheGuideSays() {
        var writer = ProtobufWriter()
        writer.string(2, "testing")
        #expect(writer.bytes == [0x12, 0x07] + Array("testing".utf8))
    }

    @Test func aMessageWithinAMessageIsWrittenAsTheGuideSays() {
        var writer = ProtobufWriter()
        writer.message(3) { $0.integer(1, 150) }
        #expect(writer.bytes == [0x1a, 0x03, 0x08, 0x96, 0x01])
    }

    @Test func packedNumbersAreWrittenAsTheGuideSays() {
        var writer = ProtobufWriter()
        writer.packed(6, [3, 270, 86942])
        #expect(writer.bytes == [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05])
    }

    @Test(
        arguments: [
            (0, [0x00]), (1, [0x01]), (127, [0x7f]), (128, [0x80, 0x01]), (16383, [0xff, 0x7f]),
            (16384, [0x80, 0x80, 0x01]),
            (Int64.max, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            (-1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (Int64.min, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ] as [(Int64, [UInt8])])
    func integersHaveTheirBytes(value: Int64, bytes: [UInt8]) throws {
        var writer = ProtobufWriter()
        writer.integer(1, value)
        #expect(writer.bytes == [0x08] + bytes)
        var reader = ProtobufReader(writer.bytes.span)
        #expect(try reader.next() == 1)
        #expect(try reader.int64() == value)
        #expect(try reader.next() == nil)
    }

    @Test(
        arguments: [
            (0, 0), (-1, 1), (1, 2), (-2, 3), (0x7fff_ffff, 0xffff_fffe), (-0x8000_0000, 0xffff_ffff),
            (Int64.min, UInt64.max),
        ] as [(Int64, UInt64)])
    func signedNumbersAreZigzag(value: Int64, wire: UInt64) throws {
        var writer = ProtobufWriter()
        writer.signed(1, value)
        writer.integer(1, wire)
        var reader = ProtobufReader(writer.bytes.span)
        _ = try reader.next()
        #expect(try reader.signed() == value)
        _ = try reader.next()
        #expect(try reader.signed() == value)
    }

    @Test func smallerNumbersAreCut() throws {
        var writer = ProtobufWriter()
        writer.integer(1, Int32(-7))
        writer.integer(2, UInt64(1) << 40 | 5)
        var reader = ProtobufReader(writer.bytes.span)
        _ = try reader.next()
        #expect(try reader.int32() == -7)
        _ = try reader.next()
        #expect(try reader.uint32() == 5)
    }

    @Test func packedAndSingleNumbersAreTheSameField() throws {
        var writer = ProtobufWriter()
        writer.integer(6, 1)
        writer.packed(6, [2, 300])
        writer.packed(6, [])
        var reader = ProtobufReader(writer.bytes.span)
        var values: [UInt64] = []
        while try reader.next() != nil { try reader.append(to: &values) }
        #expect(values == [1, 2, 300])
    }

    @Test(arguments: [0, 1, 127, 128, 16383, 16384, 70000])
    func messagesOfEveryLengthAreReadAgain(length: Int) throws {
        let text = String(repeating: "x", count: length)
        var writer = ProtobufWriter()
        writer.message(1) { $0.message(2) { $0.string(3, text) } }
        writer.bool(4, true)
        var reader = ProtobufReader(writer.bytes.span)
        #expect(try reader.next() == 1)
        var outer = try reader.message()
        #expect(try outer.next() == 2)
        var inner = try outer.message()
        #expect(try inner.next() == 3)
        #expect(try inner.string() == text)
        #expect(try inner.next() == nil)
        #expect(try reader.next() == 4)
        #expect(try reader.bool())
    }

    @Test func unknownFieldsOfEveryKindAreSkipped() throws {
        var writer = ProtobufWriter()
        writer.integer(101, 1)
        writer.fixed32(102, 1)
        writer.fixed64(103, 1)
        writer.string(104, "unknown")
        // A group with a number, a string and a group within: 105 { 1: 1, 2: "a", 3 { } }.
        let group: [UInt8] = [0xcb, 0x06, 0x08, 0x01, 0x12, 0x01, 0x61, 0x1b, 0x1c, 0xcc, 0x06]
        var bytes = writer.bytes + group
        bytes += [0x08, 0x2a]
        var reader = ProtobufReader(bytes.span)
        var fields: [Int] = []
        while let field = try reader.next() {
            fields.append(field)
            if field == 1 { #expect(try reader.uint64() == 42) }
        }
        #expect(fields == [101, 102, 103, 104, 105, 1])
    }

    @Test func mapsAreEntries() throws {
        var writer = ProtobufWriter()
        writer.entry(1, key: "a", value: "1")
        writer.entry(1, key: "", value: "")
        writer.entry(1, key: "b", value: [0xff])
        var reader = ProtobufReader(writer.bytes.span)
        _ = try reader.next()
        #expect(try reader.entry() == ("a", "1"))
        _ = try reader.next()
        #expect(try reader.entry() == ("", ""))
        _ = try reader.next()
        #expect(
            failure(of: writer.bytes, skipping: 2) { reader throws(ProtobufError) in _ = try reader.entry() }
                == .invalidUTF8(field: 2))
    }
}

/// The error of reading the field after `count` others.
func failure(
    of bytes: [UInt8], skipping count: Int = 0, _ read: (inout ProtobufReader) throws(ProtobufError) -> Void
) -> ProtobufError? {
    var reader = ProtobufReader(bytes.span)
    do throws(ProtobufError) {
        for _ in 0...count { _ = try reader.next() }
        try read(&reader)
        return nil
    } catch {
        return error
    }
}
