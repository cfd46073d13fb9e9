import CLinux
import Glibc
import Testing

@testable import Proxy

struct AnswerWaitTests {
    @Test func nothingIsLookedForUntilAnswersAreKnownToBeFast() {
        var wait = AnswerWait()
        #expect(wait.limit == 0)
        for _ in 0..<100 { wait.record(AnswerWait.longest / 2) }
        #expect(wait.limit == AnswerWait.longest)
        for _ in 0..<100 { wait.record(20_000) }
        #expect((30_000...50_000).contains(wait.limit))
    }

    @Test func slowAnswersAndBusyWorkersEndTheLooking() {
        var wait = AnswerWait()
        for _ in 0..<100 { wait.record(20_000) }
        var slow = 0
        while wait.limit > 0 {
            wait.record(5_000_000)
            slow += 1
        }
        #expect(slow <= 3)
        for _ in 0..<100 { wait.record(1_000) }
        #expect(wait.limit == 0)
    }

    @Test func anEventIsFoundWithoutSleepingAndWithIt() throws {
        let descriptor = eventfd(0, CInt(EFD_NONBLOCK))
        defer { close(descriptor) }
        let poller = Poller(try #require(Poller.makeDescriptor()))
        let isWatched = poller.addSource(descriptor, EventToken(kind: .mailbox, index: 0, generation: 0))
        #expect(isWatched)
        for usual in [UInt64(20_000), 5_000_000] {
            var wait = AnswerWait()
            for _ in 0..<100 { wait.record(usual) }
            eventfd_write(descriptor, 1)
            let count = wait.wait(poller, from: MonotonicClock.now(), timeout: -1)
            #expect(count == 1)
            var value: eventfd_t = 0
            _ = unsafe eventfd_read(descriptor, &value)
            let none = wait.wait(poller, from: MonotonicClock.now(), timeout: 1)
            #expect(none == 0)
        }
    }
}
