import BPF
import BPFImages
import CLinux
import Testing
import WeftABI

extension BPFTests {
    @Suite struct Maps {
        @Test func entriesAreSetReadReplacedAndDeleted() throws {
            let map = try BPFTestObject.load().map("numbers", UInt32.self, UInt64.self)
            #expect(try map.get(1) == nil)
            try map.set(1, 10)
            try map.set(1, 11)
            #expect(try map.get(1) == 11)
            let exists = #expect(throws: BPFError.self) { try map.set(1, 12, mode: .create) }
            #expect(exists?.errno == EEXIST)
            let missing = #expect(throws: BPFError.self) { try map.set(2, 12, mode: .replace) }
            #expect(missing?.errno == ENOENT)
            #expect(try map.delete(1))
            #expect(try !map.delete(1))
            #expect(try map.count() == 0)
        }

        @Test func manyEntriesGoInAndOutInBatches() throws {
            let map = try BPFTestObject.load().map("numbers", UInt32.self, UInt64.self)
            let entries = (0..<UInt32(15000)).map { (key: $0, value: UInt64($0) * 3) }
            try map.setAll(entries)
            let read = try map.entries().sorted { $0.key < $1.key }
            #expect(read.count == 15000)
            #expect(zip(read, entries).allSatisfy { $0.key == $1.key && $0.value == $1.value })
            #expect(try Set(map.keys()).count == 15000)
            #expect(try map.count() == 15000)
            // Every second key exists; the others are passed over.
            try map.deleteAll((0..<UInt32(5000)).map { $0 * 2 })
            #expect(try map.deleteAll((0..<UInt32(10000)).map { $0 }) == 5000)
            #expect(try map.count() == 5000)
        }

        @Test func triesHaveTheSameOperations() throws {
            let map = try BPFTestObject.load().map("prefixes", TestPrefix.self, UInt64.self)
            let entries = (0..<UInt32(40)).map { (key: TestPrefix(length: 32, address: $0), value: UInt64($0)) }
            try map.setAll(entries)
            #expect(try map.entries().count == 40)
            #expect(try map.get(TestPrefix(length: 32, address: 39)) == 39)
            #expect(try map.deleteAll(entries.map(\.key) + [TestPrefix(length: 8, address: 1)]) == 40)
            #expect(try map.count() == 0)
        }

        /// Device maps have no batch operations.
        @Test func mapsWithoutBatchesAreReadAndWrittenEntryByEntry() throws {
            let map = try BPFTestObject.load().map("devices", UInt32.self, UInt32.self)
            try map.setAll((0..<UInt32(20)).map { (key: $0 * 5, value: 1) })
            #expect(try map.keys().sorted() == (0..<20).map { $0 * 5 })
            #expect(try map.entries().allSatisfy { $0.value == 1 })
            #expect(try map.deleteAll([0, 1, 5, 6, 10]) == 3)
            #expect(try map.count() == 17)
            let error = #expect(throws: BPFError.self) {
                try map.setAll((200..<UInt32(250)).map { (key: $0, value: 1) })
            }
            #expect(error?.appliedCount == 15)
            #expect(error?.description.contains("its limit is 32 entries") == true)
        }

        @Test func aFullMapSaysSoWithItsLimit() throws {
            let map = try BPFTestObject.load().map("tiny", UInt32.self, UInt32.self)
            for key in UInt32(0)..<4 { try map.set(key, key) }
            let error = #expect(throws: BPFError.self) { try map.set(4, 4) }
            #expect(error?.errno == E2BIG)
            #expect(error?.description.contains("map is full: its limit is 4 entries") == true)
            #expect(error?.subject == "tiny")
            // What was there goes on working.
            try map.set(3, 33)
            #expect(try map.get(3) == 33)
        }

        @Test func aFullTrieSaysSoWithItsLimit() throws {
            let map = try BPFTestObject.load().map("prefixes", TestPrefix.self, UInt64.self)
            let entries = (0..<UInt32(100)).map { (key: TestPrefix(length: 32, address: $0), value: UInt64(0)) }
            let error = #expect(throws: BPFError.self) { try map.setAll(entries) }
            #expect(error?.errno == ENOSPC)
            #expect(error?.description.contains("its limit is 64 entries") == true)
            #expect(error?.appliedCount == 64)
        }

        @Test func aBatchThatDoesNotFitTellsHowFarItCame() throws {
            let map = try BPFTestObject.load().map("tiny", UInt32.self, UInt32.self)
            let error = #expect(throws: BPFError.self) {
                try map.setAll((0..<UInt32(7)).map { (key: $0 + 0x10, value: $0) })
            }
            #expect(error?.appliedCount == 4)
            #expect(error?.description.contains("failing key 0x14000000") == true)
            #expect(try map.count() == 4)
            let exists = #expect(throws: BPFError.self) {
                try map.setAll([(key: 0x10, value: 0)], mode: .create)
            }
            #expect(exists?.appliedCount == 0)
            #expect(exists?.errno == EEXIST)
        }

        @Test func iterationToleratesConcurrentChange() async throws {
            let object = try BPFTestObject.load()
            let map = try object.map("numbers", UInt32.self, UInt64.self)
            try map.setAll((0..<UInt32(2000)).map { (key: $0, value: 1) })
            let changing = try object.map("numbers", UInt32.self, UInt64.self)
            let writer = Task.detached { () throws in
                for round in UInt32(0)..<20000 {
                    try changing.set(10_000 + round % 3000, 1)
                    try changing.delete(10_000 + (round &* 7) % 3000)
                }
            }
            for _ in 0..<30 {
                let stable = try map.keys().filter { $0 < 2000 }
                #expect(stable.count == 2000)
                #expect(Set(stable).count == 2000)
            }
            try await writer.value
        }

        @Test func aMapOfOtherSizesIsRefusedWithBothLayouts() throws {
            let object = try BPFTestObject.load()
            let error = #expect(throws: BPFError.self) { _ = try object.map("records", UInt32.self, UInt64.self) }
            #expect(error?.errno == EINVAL)
            #expect(error?.detail.contains("struct record, 64 B") == true, "\(error?.detail ?? "")")
            #expect(error?.detail.contains("UInt64, 8 B") == true)
            let perCPU = #expect(throws: BPFError.self) {
                _ = try object.map("counted", UInt32.self, TestCounters.self)
            }
            #expect(perCPU?.detail.contains("PerCPUMap") == true)
            let missing = #expect(throws: BPFError.self) { _ = try object.map("nothing", UInt32.self, UInt32.self) }
            #expect(missing?.errno == ENOENT)
        }

        @Test func valuesOfEachCPUAreKeptApartAndSummed() throws {
            let map = try BPFTestObject.load().perCPUMap("counted", UInt32.self, TestCounters.self)
            let cpus = BPFSystem.possibleCPUs
            let values = (0..<cpus).map { TestCounters(calls: UInt64($0 + 1), twice: UInt64(2 * $0)) }
            try map.set(1, values)
            try map.set(2, values)
            #expect(try map.get(1) == values)
            #expect(try map.get(3) == nil)
            let calls = UInt64(cpus * (cpus + 1) / 2)
            let sum = TestCounters(calls: calls, twice: UInt64(cpus * (cpus - 1)))
            #expect(try map.summedCounters(1) == sum)
            #expect(try map.summedCounters().map(\.sum) == [sum, sum])
            #expect(try map.summed(1, into: UInt64(0)) { $0 += $1.calls } == calls)
            #expect(try map.summed(into: UInt64(0)) { $0 += $1.calls }.map(\.sum) == [calls, calls])
            #expect(try map.entries().map(\.values) == [values, values])
            let short = #expect(throws: BPFError.self) { try map.set(1, []) }
            #expect(short?.errno == EINVAL)
            #expect(try map.deleteAll([1, 2, 3]) == 2)
        }

        @Test func perCPUValuesSmallerThanAWordAreNotMixedUp() throws {
            let map = try BPFTestObject.load().perCPUMap("narrow", UInt32.self, UInt32.self)
            let values = (0..<BPFSystem.possibleCPUs).map { UInt32($0 + 5) }
            try map.set(2, values)
            #expect(try map.get(2) == values)
            #expect(try map.count() == 4)
            let beyond = #expect(throws: BPFError.self) { try map.set(4, values) }
            #expect(beyond?.detail.contains("beyond the 4 entries") == true)
        }

        @Test func tablesAreSwappedAsAWhole() throws {
            let map = try BPFTestObject.load().mapOfMaps("tables", UInt64.self)
            try map.set(1, table: [1, 2, 3])
            #expect(try map.table(1) == [1, 2, 3])
            let long = (0..<UInt64(20000)).map { $0 * $0 }
            try map.set(1, table: long)
            #expect(try map.table(1) == long)
            #expect(try map.table(2) == nil)
            try map.set(2, table: [9])
            #expect(try map.keys().sorted() == [1, 2])
            #expect(try map.delete(1))
            #expect(try !map.delete(1))
            #expect(try map.count() == 1)
            #expect(#expect(throws: BPFError.self) { try map.set(3, table: []) }?.errno == EINVAL)
            for key in UInt64(10)..<17 { try map.set(key, table: [key]) }
            let full = #expect(throws: BPFError.self) { try map.set(99, table: [1]) }
            #expect(full?.description.contains("its limit is 8 entries") == true)
        }

        @Test func everyMapOfTheShippedObjectOpensWithItsTypes() throws {
            var open = try OpenObject(name: "lifecycle", image: ObjectImage.lifecycle.bytes)
            try open.setMaxEntries(128, ofMap: "services")
            #expect(open.mapNames.contains("services"))
            let object = try open.load()
            let services = try object.map("services", weft_service_key.self, weft_service.self)
            #expect(services.maxEntries == 128)
            #expect(services.info.type == .hash)
            var key = weft_service_key()
            key.port = 80
            var service = weft_service()
            service.id = 42
            try services.set(key, service)
            #expect(try services.get(key)?.id == 42)
            let traffic = try object.perCPUMap("traffic", weft_traffic_key.self, weft_traffic.self)
            #expect(try traffic.summedCounters().isEmpty)
        }
    }
}
