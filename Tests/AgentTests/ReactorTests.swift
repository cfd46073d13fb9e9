import CLinux
import Glibc
import Synchronization
import Testing

@testable import Agent

@Suite struct ReactorTests {
    @Test func timersFireInOrderOfTheirDeadlinesAndCancelledOnesDoNot() throws {
        let reactor = try Reactor()
        var fired: [String] = []
        reactor.after(.milliseconds(20)) { fired.append("late") }
        reactor.after(.milliseconds(5)) { fired.append("early") }
        let cancelled = reactor.after(.milliseconds(10)) { fired.append("cancelled") }
        reactor.cancel(cancelled)
        reactor.after(.milliseconds(30)) { reactor.stop() }
        try reactor.run()
        #expect(fired == ["early", "late"])
    }

    @Test func repeatingTimersRepeatUntilTheyCancelThemselves() throws {
        let reactor = try Reactor()
        var count = 0
        var timer: Reactor.TimerID?
        timer = reactor.every(.milliseconds(2)) {
            count += 1
            if count == 5, let timer { reactor.cancel(timer) }
        }
        reactor.after(.milliseconds(60)) { reactor.stop() }
        try reactor.run()
        #expect(count == 5)
    }

    @Test func aTimerCancelledByAnotherOneOfTheSameMomentDoesNotFire() throws {
        let reactor = try Reactor()
        var fired = 0
        var second: Reactor.TimerID?
        reactor.after(.milliseconds(1)) {
            fired += 1
            if let second { reactor.cancel(second) }
        }
        second = reactor.after(.milliseconds(1)) { fired += 1 }
        usleep(5000)
        try reactor.turn(timeout: 1000)
        #expect(fired == 1)
    }

    @Test func thousandsOfCancelledTimersLeaveTheHeapSmall() {
        var timers = ReactorTimers()
        for index in 0..<10_000 {
            let id = timers.add(deadline: UInt64(index), interval: nil) {}
            timers.cancel(id)
        }
        let last = timers.add(deadline: 5, interval: nil) {}
        #expect(timers.count == 1)
        #expect(timers.popDue(at: 10) == last)
    }

    @Test func timersComeOutSortedWhateverTheOrderTheyWentIn() {
        var timers = ReactorTimers()
        var deadlines: [UInt64: UInt64] = [:]
        for _ in 0..<1000 {
            let deadline = UInt64.random(in: 0..<500)
            deadlines[timers.add(deadline: deadline, interval: nil) {}] = deadline
        }
        for id in Array(deadlines.keys).prefix(300) {
            timers.cancel(id)
            deadlines[id] = nil
        }
        var order: [UInt64] = []
        while let id = timers.popDue(at: 1000) {
            _ = timers.handler(firing: id, at: 1000)
            order.append(deadlines[id] ?? .max)
        }
        #expect(order == deadlines.values.sorted())
    }

    @Test func workPostedByOtherThreadsRunsInOrderOnTheReactor() throws {
        let reactor = try Reactor()
        let collected = ReactorLocal(Collected(), of: reactor)
        let mailbox = reactor.mailbox
        let thread = try TestThread {
            for number in 0..<1000 {
                mailbox.post { reactor in collected.get(on: reactor).numbers.append(number) }
            }
            mailbox.post { $0.stop() }
        }
        try reactor.run()
        thread.join()
        #expect(collected.get(on: reactor).numbers == Array(0..<1000))
    }

    @Test func anEventOfADescriptorUnregisteredInTheSameTurnIsDropped() throws {
        let reactor = try Reactor()
        let first = try SocketPair()
        let second = try SocketPair()
        var calls = 0
        var registrations: [Reactor.Registration] = []
        let handler: (Reactor.Events) -> Void = { _ in
            calls += 1
            // Whichever comes first ends both, and a new registration takes a freed slot.
            for registration in registrations { reactor.unregister(registration) }
            registrations = []
        }
        registrations.append(try reactor.register(first.near, .readable, handler))
        registrations.append(try reactor.register(second.near, .readable, handler))
        first.sendFromFar("x")
        second.sendFromFar("x")
        try reactor.turn(timeout: 1000)
        try reactor.turn(timeout: 10)
        #expect(calls == 1)
    }

    @Test func aReusedSlotIsNotReachedThroughAnOldRegistration() throws {
        let reactor = try Reactor()
        let pair = try SocketPair()
        let old = try reactor.register(pair.near, .readable) { _ in Issue.record("the old handler was called") }
        reactor.unregister(old)
        var calls = 0
        try reactor.register(pair.near, .readable) { _ in calls += 1 }
        reactor.unregister(old)
        reactor.modify(old, [])
        pair.sendFromFar("x")
        try reactor.turn(timeout: 1000)
        #expect(calls == 1)
    }

    @Test func anIdleReactorIsNotWoken() throws {
        let reactor = try Reactor()
        let timer = reactor.after(.milliseconds(5)) {}
        reactor.cancel(timer)
        let started = Reactor.now()
        try reactor.turn(timeout: 50)
        #expect(Reactor.now() - started >= 45_000_000)
    }

    @Test func signalsArriveOnTheReactor() throws {
        let reactor = try Reactor()
        var received: [CInt] = []
        try reactor.onSignal(SIGHUP) { received.append(SIGHUP) }
        try reactor.onSignal(SIGUSR2) {
            received.append(SIGUSR2)
            reactor.stop()
        }
        // To this thread alone: other threads of the test process do not block them.
        pthread_kill(pthread_self(), SIGHUP)
        pthread_kill(pthread_self(), SIGUSR2)
        try reactor.run()
        #expect(received == [SIGHUP, SIGUSR2])
    }

    @Test func watchingAClosedDescriptorIsAnError() throws {
        let reactor = try Reactor()
        #expect(throws: SystemError.self) { try reactor.register(1_000_000, .readable) { _ in } }
    }
}

private final class Collected {
    var numbers: [Int] = []
}
