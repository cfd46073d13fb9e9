import BPF
import CLinux
import Testing

extension BPFTests {
    @Suite struct Types {
        /// `struct record` of the test object, byte by byte.
        private var record: [UInt8] {
            var bytes: [UInt8] = [0xff, 0, 0, 0, 0, 0, 0, 0x80]
            bytes += [0x34, 0x12, 0xfe] + Array("weft".utf8) + [0, 0, 0, 0, 0]
            bytes += [0x00, 0x50, 0, 0]
            bytes += [0xfd, 0xff, 0xff, 0xff]
            bytes += [1, 0b1111_1101, 127, 0, 0, 1, 0, 0]
            return bytes + [0x78, 0x56, 0x34, 0x12] + (1...6).flatMap { [$0, 0, 0, 0] }
        }

        @Test func entriesOfAnyMapAreDecodedByTheirTypes() throws {
            let object = try BPFTestObject.load()
            let info = try AnyMap(descriptor: object.descriptor(ofMap: "records"), name: "records").info
            let decoder = BTFDecoder(info)
            #expect(decoder.valueTypeName == "struct record")
            #expect(record.count == info.valueSize)
            let value = decoder.value(record)
            #expect(value["id"] == .unsigned(0x8000_0000_0000_00ff))
            #expect(value["inner"]?["small"] == .unsigned(0x1234))
            #expect(value["inner"]?["minus"] == .integer(-2))
            #expect(value["inner"]?["text"] == .string("weft"))
            #expect(value["port"] == .unsigned(80))
            #expect(value["color"] == .enumerator(name: "DEEP_BLUE", value: -3))
            #expect(value["yes"] == .bool(true))
            #expect(value["low"] == .unsigned(5))
            #expect(value["high"] == .integer(-1))
            #expect(value["address"] == .bytes("0x7f000001"))
            #expect(value["either"]?["word"] == .unsigned(0x1234_5678))
            #expect(value["either"]?["octets"] == .bytes("0x78563412"))
            #expect(value["list"]?.description == "[[1,2,3],[4,5,6]]")
            #expect(value.description.hasPrefix(#"{"id":9223372036854776063,"inner":{"small":4660,"#))
            #expect(decoder.key([1, 2, 0, 0]) == .unsigned(513))
        }

        @Test func everyMapOfTheMachineIsListedAndReadable() throws {
            let object = try BPFTestObject.load()
            let counted = try object.perCPUMap("counted", UInt32.self, TestCounters.self)
            try counted.set(3, (0..<BPFSystem.possibleCPUs).map { TestCounters(calls: UInt64($0), twice: 9) })
            let all = try MapDirectory.all()
            let info = try #require(all.first { $0.id == counted.info.id })
            #expect(info.name == "counted")
            #expect(info.type == .perCPUHash)
            #expect(info.keySize == 4)
            #expect(info.valueSize == 16)
            #expect(try #require(info.memoryBytes) > 0)
            let entries = try AnyMap.open(id: info.id)?.entries() ?? []
            #expect(entries.count == 1)
            #expect(entries.first?.values.count == BPFSystem.possibleCPUs)
            let decoder = BTFDecoder(info)
            let values = try #require(entries.first).values.map { decoder.value($0)["calls"] }
            #expect(values == (0..<BPFSystem.possibleCPUs).map { BTFValue.unsigned(UInt64($0)) })
            #expect(try AnyMap.open(id: .max) == nil)
        }

        @Test func withoutTypesValuesAreBytes() throws {
            let object = try BPFTestObject.load()
            let info = try AnyMap(descriptor: object.descriptor(ofMap: "events"), name: "events").info
            let decoder = BTFDecoder(info)
            #expect(decoder.value([1, 0xab]) == .bytes("0x01ab"))
        }

        @Test func mapsWhoseEntriesCannotBeListedSaySo() throws {
            let map = try AnyMap(descriptor: BPFTestObject.load().descriptor(ofMap: "storage"), name: "storage")
            let error = #expect(throws: BPFError.self) { _ = try map.entries() }
            #expect(error?.detail == "user space cannot list the entries of a sk_storage")
        }

        @Test func hostileTypesAreRefusedOrBounded() throws {
            var seed = SystemRandomNumberGenerator()
            let good = rawBTF(types: [(1, 1, 0, 4, [32])])
            _ = try BTF(bytes: good)
            for _ in 0..<20000 {
                var bytes = good + [UInt8](repeating: 0, count: Int.random(in: 0..<64, using: &seed))
                for _ in 0..<Int.random(in: 1...8, using: &seed) {
                    bytes[Int.random(in: 2..<bytes.count, using: &seed)] = UInt8.random(in: 0...255, using: &seed)
                }
                guard let btf = try? BTF(bytes: bytes) else { continue }
                for type in UInt32(0)..<4 {
                    _ = BTFDecoder(btf, keyType: type, valueType: type).value([UInt8](repeating: 0x5a, count: 64))
                }
            }
        }

        @Test func typesWithoutAnEndStayBytes() throws {
            // A typedef of itself; a structure that contains itself; an array of an array … of itself; a huge array.
            let loop = try BTF(bytes: rawBTF(types: [(1, 8, 0, 1, [])]))
            #expect(BTFDecoder(loop, keyType: 1, valueType: 1).value([1, 2]) == .bytes("0x0102"))
            let nested = try BTF(bytes: rawBTF(types: [(1, 4, 1, 4, [1, 1, 0])]))
            _ = BTFDecoder(nested, keyType: 1, valueType: 1).value([1, 2, 3, 4])
            let array = try BTF(bytes: rawBTF(types: [(0, 3, 0, 0, [1, 1, 4])]))
            #expect(BTFDecoder(array, keyType: 1, valueType: 1).value([7]) == .bytes("0x07"))
            let huge = try BTF(bytes: rawBTF(types: [(1, 1, 0, 4, [32]), (0, 3, 0, 0, [1, 1, .max])]))
            #expect(BTFDecoder(huge, keyType: 1, valueType: 2).value([7]) == .bytes("0x07"))
            // Each of 16,000 structures with 30,000 bit-fields: what is decoded is bounded.
            let fields = (0..<UInt32(30000)).flatMap { _ in [1, 1, 1 << 24] as [UInt32] }
            let wide = try BTF(
                bytes: rawBTF(types: [(1, 1, 0, 4, [32]), (1, 0x84, 30000, 1, fields), (0, 3, 0, 0, [2, 2, 16000])]))
            let value = BTFDecoder(wide, keyType: 1, valueType: 3).value([UInt8](repeating: 1, count: 16000))
            #expect(value.description.utf8.count < 1_000_000)
            let empty = try BTF(bytes: rawBTF(types: [(1, 4, 0, 0, []), (0, 3, 0, 0, [1, 1, .max])]))
            _ = BTFDecoder(empty, keyType: 1, valueType: 2).value([7])
        }

        /// BTF with the string table "\0x\0".
        private func rawBTF(types: [(name: UInt32, kind: UInt32, members: UInt32, size: UInt32, payload: [UInt32])])
            -> [UInt8]
        {
            let words = types.flatMap { [$0.name, $0.kind << 24 | $0.members, $0.size] + $0.payload }
            let header: [UInt32] = [0x0001_eb9f, 24, 0, UInt32(words.count * 4), UInt32(words.count * 4), 4]
            let bytes = (header + words).flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
            return bytes + [0, UInt8(ascii: "x"), 0, 0]
        }
    }
}
