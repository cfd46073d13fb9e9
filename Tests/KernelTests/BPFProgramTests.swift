import BPF
import BPFImages
import CLinux
import Foundation
import Testing

extension BPFTests {
    @Suite struct Programs {
        @Test func anAttachedProgramRunsAndIsReplacedInPlace() throws {
            let object = try BPFTestObject.load()
            let observe = try object.program("observe")
            let refuse = try object.program("refuse")
            #expect(observe.attachType.description == "cgroup_inet4_connect")
            #expect(observe.type.description == "cgroup_sock_addr")
            let cgroup = try TestCgroup()
            let bpffs = try TestBPFFS()
            let pin = bpffs.path + "/link"
            do {
                let link = try observe.attach(toCgroup: cgroup.descriptor)
                try link.pin(at: pin)
                #expect(#expect(throws: BPFError.self) { try link.pin(at: pin) }?.errno == EEXIST)
            }
            #expect(cgroup.connect(times: 3) == 0)
            let counted = try object.perCPUMap("counted", UInt32.self, TestCounters.self)
            #expect(try counted.summedCounters(7) == TestCounters(calls: 3, twice: 6))

            let link = try Link.openPinned(pin)
            #expect(try link.information.programID == observe.id)
            let cgroupID = unsafe weft_cgroup_id(cgroup.path)
            #expect(try link.information.cgroupID == cgroupID)
            #expect(try link.information.attachType == observe.attachType)
            try link.replaceProgram(with: refuse)
            #expect(try link.information.programID == refuse.id)
            #expect(cgroup.connect() == EPERM)
            #expect(try counted.summedCounters(7)?.calls == 3)

            try link.detach()
            #expect(cgroup.connect() == 0)
            try Link.unpin(pin)
            #expect(#expect(throws: BPFError.self) { _ = try Link.openPinned(pin) }?.errno == ENOENT)
        }

        @Test func aLinkOfAVanishedCgroupSaysSo() throws {
            let object = try BPFTestObject.load()
            let observe = try object.program("observe")
            let cgroup = try TestCgroup()
            let link = try observe.attach(toCgroup: cgroup.descriptor)
            _ = consume cgroup
            // The kernel takes its links off a cgroup some moments after its directory is gone.
            var error: BPFError?
            for _ in 0..<200 where error == nil {
                do throws(BPFError) { try link.replaceProgram(with: observe) } catch let failure { error = failure }
                usleep(10_000)
            }
            #expect(error?.errno == ENOLINK)
            #expect(error?.detail.contains("gone") == true)
        }

        @Test func attachingToADirectoryThatIsNoCgroupIsRefused() throws {
            let observe = try BPFTestObject.load().program("observe")
            let directory = try FileDescriptor(directory: "/tmp")
            let error = #expect(throws: BPFError.self) { _ = try observe.attach(toCgroup: directory) }
            #expect(error?.errno == EBADF)
            #expect(error?.detail.contains("not a cgroup v2") == true)
        }

        @Test func anIteratorReadsTheStorageOfEverySocket() throws {
            let object = try OpenObject(name: "weft_test", image: BPFTestObject.image.get()).load()
            let storage = try object.map("storage", CInt.self, UInt64.self)
            let sockets = (0..<300).map { _ in socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0) }
            defer { for socket in sockets { close(socket) } }
            for (index, socket) in sockets.enumerated() { try storage.set(socket, UInt64(index) << 32 | 7) }
            let link = try object.program("walk").attachIterator(overMap: storage.fd)
            let values = try link.readIterator(of: UInt64.self).sorted()
            #expect(values == (0..<300).map { UInt64($0) << 32 | 7 })
            for socket in sockets { try storage.delete(socket) }
            #expect(try link.readIterator(of: UInt64.self).isEmpty)

            let numbers = try object.map("numbers", UInt32.self, UInt64.self)
            let walk = try object.program("walk")
            #expect(
                #expect(throws: BPFError.self) { _ = try walk.attachIterator(overMap: numbers.fd) }?.errno == EINVAL)
        }

        @Test func aRefusedProgramShowsTheVerifiersLog() throws {
            var object = try OpenObject(name: "weft_broken", image: BPFTestObject.brokenImage.get())
            try object.setAutoload(false, ofProgram: "walk")
            let bpffs = try TestBPFFS()
            try object.setPinPath(bpffs.path + "/numbers", ofMap: "numbers")
            let error = loadError(of: object)
            #expect(!FileManager.default.fileExists(atPath: bpffs.path + "/numbers"))
            #expect(error?.errno == EACCES)
            #expect(error?.detail.contains("broken") == true)
            #expect(error?.detail.contains("map_value_or_null") == true, "\(error?.description ?? "")")
        }

        private func loadError(of object: consuming OpenObject) -> BPFError? {
            do throws(BPFError) {
                _ = try object.load()
                return nil
            } catch {
                return error
            }
        }

        @Test func readOnlyDataIsSetBeforeLoading() throws {
            var object = try BPFTestObject.open()
            try object.setReadOnlyData("verdict", to: UInt32(0))
            #expect(
                #expect(throws: BPFError.self) { try object.setReadOnlyData("verdict", to: UInt64(0)) }?.errno == EINVAL
            )
            #expect(
                #expect(throws: BPFError.self) { try object.setReadOnlyData("absent", to: UInt32(0)) }?.errno == ENOENT)
            let observe = try object.load().program("observe")
            let cgroup = try TestCgroup()
            let link = try observe.attach(toCgroup: cgroup.descriptor)
            #expect(cgroup.connect() == EPERM)
            try link.detach()
        }

        @Test func aPinPathOutsideOfABPFFileSystemIsRefused() throws {
            var object = try BPFTestObject.open()
            let path = FileManager.default.temporaryDirectory.appending(path: "weft-no-bpffs-\(UUID().uuidString)").path
            try object.setPinPath(path, ofMap: "numbers")
            let error = loadError(of: object)
            #expect(error?.detail.contains(path) == true, "\(error?.description ?? "")")
        }

        @Test func theKernelCountsTheRunsOfAProgram() throws {
            let observe = try BPFTestObject.load().program("observe")
            let cgroup = try TestCgroup()
            let statistics = try BPFSystem.enableRunTimeStatistics()
            let link = try observe.attach(toCgroup: cgroup.descriptor)
            _ = cgroup.connect(times: 5)
            #expect(try observe.statistics().runCount == 5)
            #expect(try observe.statistics().runTimeNanoseconds > 0)
            #expect(try ProgramStatistics.of(programID: observe.id)?.name == "observe")
            #expect(try ProgramStatistics.of(programID: .max) == nil)
            try link.detach()
            #expect(statistics.rawValue >= 0)
        }

        @Test(arguments: [[], [0x7f, 0x45, 0x4c, 0x46], [UInt8](repeating: 0xa5, count: 5000)])
        func anImageThatIsNoObjectIsRefused(image: [UInt8]) throws {
            let error = #expect(throws: BPFError.self) { _ = try OpenObject(name: "garbage", image: image) }
            #expect(error?.description.contains("garbage") == true)
        }

        @Test func pinnedMapsAreSharedAndGuardedAgainstOtherDefinitions() throws {
            let bpffs = try TestBPFFS()
            #expect(BPFSystem.isBPFFS(bpffs.path))
            #expect(!BPFSystem.isBPFFS("/proc"))
            let path = bpffs.path + "/numbers"
            do {
                var object = try BPFTestObject.open()
                try object.setPinPath(path, ofMap: "numbers")
                try object.load().map("numbers", UInt32.self, UInt64.self).set(5, 55)
            }
            // The next load finds the same map.
            var object = try BPFTestObject.open()
            try object.setPinPath(path, ofMap: "numbers")
            #expect(try object.load().map("numbers", UInt32.self, UInt64.self).get(5) == 55)
            #expect(try Map<UInt32, UInt64>.openPinned(path, name: "numbers").get(5) == 55)

            let layout = #expect(throws: BPFError.self) {
                _ = try Map<UInt32, UInt32>.openPinned(path, name: "numbers")
            }
            #expect(layout?.errno == EINVAL)

            var other = try BPFTestObject.open()
            try other.setPinPath(path, ofMap: "numbers")
            try other.setMaxEntries(19, ofMap: "numbers")
            let error = loadError(of: other)
            #expect(error?.detail.contains("weft uninstall") == true)
            #expect(error?.detail.contains("20000 entries") == true)
            #expect(error?.detail.contains("19 entries") == true)
            #expect(#expect(throws: BPFError.self) { _ = try Link.openPinned(path) }?.errno == EINVAL)
        }

        @Test func everyShippedProgramLoads() throws {
            for image in [ObjectImage.connect, .lifecycle, .inbound, .sweep] {
                let object = try OpenObject(name: image.name, image: image.bytes).load()
                #expect(!object.programNames.isEmpty)
                for name in object.programNames { #expect(try object.program(name).id > 0) }
            }
        }
    }
}
