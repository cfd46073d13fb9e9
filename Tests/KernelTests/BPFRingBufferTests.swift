import BPF
import CLinux
import Testing

extension BPFTests {
    @Suite struct Rings {
        @Test func recordsArriveInOrderAndLostOnesAreCounted() throws {
            let object = try BPFTestObject.load()
            let losses = try object.perCPUMap("losses", UInt32.self, UInt64.self)
            var ring = try RingBuffer(
                descriptor: object.descriptor(ofMap: "events"), name: "events", losses: losses, lossIndex: 1)
            let observe = try object.program("observe")
            let cgroup = try TestCgroup()
            let link = try observe.attach(toCgroup: cgroup.descriptor)
            #expect(ring.consume { _ in } == 0)
            #expect(ring.available == 0)
            // Several times around the ring: 4096 bytes hold 15 records of 264 bytes with their headers.
            var expected: UInt64 = 1
            for _ in 0..<4 {
                _ = cgroup.connect(times: 10)
                #expect(ring.available == 10 * 264)
                let count = ring.consume { bytes in
                    let event = bytes.value(as: TestEvent.self)
                    #expect(bytes.byteCount == 256)
                    #expect(event.sequence == expected)
                    #expect(event.check == ~expected)
                    expected += 1
                }
                #expect(count == 10)
            }
            #expect(try ring.lost() == 0)
            _ = cgroup.connect(times: 20)
            #expect(try ring.lost() == 5)
            #expect(ring.consume(limit: 4) { _ in } == 4)
            #expect(ring.available == 11 * 264)
            #expect(ring.consume { _ in } == 11)
            #expect(ring.available == 0)
            try link.detach()
        }

        @Test func aPinnedRingIsReadByAnotherDescriptorAndPolled() throws {
            let bpffs = try TestBPFFS()
            var open = try BPFTestObject.open()
            try open.setPinPath(bpffs.path + "/events", ofMap: "events")
            let observe = try open.load().program("observe")
            var ring = try RingBuffer.openPinned(bpffs.path + "/events", name: "events")
            #expect(ring.size == 4096)
            let epoll = FileDescriptor(owning: epoll_create1(0))
            var interest = unsafe epoll_event()
            unsafe interest.events = EPOLLIN.rawValue
            #expect(unsafe epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, ring.fd, &interest) == 0)
            var ready = unsafe epoll_event()
            #expect(unsafe epoll_wait(epoll.rawValue, &ready, 1, 0) == 0)
            let cgroup = try TestCgroup()
            let link = try observe.attach(toCgroup: cgroup.descriptor)
            #expect(cgroup.connect() == 0)
            try link.detach()
            #expect(unsafe epoll_wait(epoll.rawValue, &ready, 1, 1000) == 1)
            #expect(ring.consume { _ in } == 1)
            #expect(try ring.lost() == 0)
        }

        @Test func aMapOfAnotherTypeIsNoRing() throws {
            let error = #expect(throws: BPFError.self) { _ = try BPFTestObject.load().ringBuffer("numbers") }
            #expect(error?.errno == EINVAL)
        }
    }
}
