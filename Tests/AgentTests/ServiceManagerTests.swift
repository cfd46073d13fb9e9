import CLinux
import Glibc
import Testing

@testable import Agent

@Suite struct ServiceManagerTests {
    /// A service manager's end: a datagram socket.
    private final class Manager {
        let descriptor: CInt

        init(_ name: [UInt8]) throws {
            guard let (found, length) = HTTPListenAddress.unixAddress(name) else {
                throw SystemError("bind", code: EINVAL)
            }
            var storage = found
            descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
            let bound = unsafe withUnsafePointer(to: &storage) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, length) }
            }
            guard bound == 0 else { throw SystemError("bind", code: weft_errno()) }
            var timeout = timeval(tv_sec: 5, tv_usec: 0)
            _ = unsafe setsockopt(
                descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit { close(descriptor) }

        func receive() -> String {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
        }
    }

    @Test func statesAreSentToASocketInTheFileSystem() throws {
        let path = "/tmp/weft-notify-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        let manager = try Manager(Array(path.utf8))
        defer { _ = unsafe unlink(path) }
        let service = ServiceManager(environment: ["NOTIFY_SOCKET": path])
        #expect(service.isPresent)
        service.ready(status: "3 services\nREADY=0")
        #expect(manager.receive() == "READY=1\nSTATUS=3 services READY=0")
        service.reloading()
        #expect(manager.receive().hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        service.status("busy")
        #expect(manager.receive() == "STATUS=busy")
        service.stopping()
        #expect(manager.receive() == "STOPPING=1")
    }

    @Test func abstractSocketsAreReached() throws {
        let name = "weft-notify-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        let manager = try Manager([0] + Array(name.utf8))
        ServiceManager(environment: ["NOTIFY_SOCKET": "@" + name]).stopping()
        #expect(manager.receive() == "STOPPING=1")
    }

    @Test func theWatchdogIsFedTwicePerInterval() throws {
        let name = "weft-watchdog-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        let manager = try Manager([0] + Array(name.utf8))
        let service = ServiceManager(environment: ["NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "20000"])
        #expect(service.watchdogInterval == .milliseconds(20))
        let reactor = try Reactor()
        service.keepAlive(on: reactor)
        let started = Reactor.now()
        try reactor.turn(timeout: 1000)
        #expect(manager.receive() == "WATCHDOG=1")
        #expect(Reactor.now() - started >= 9_000_000)
    }

    @Test func aWatchdogForAnotherProcessIsNotOurs() {
        let environment = ["NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"]
        #expect(ServiceManager(environment: environment, processID: 2).watchdogInterval == nil)
        #expect(ServiceManager(environment: environment, processID: 1).watchdogInterval == .milliseconds(1))
    }

    @Test(arguments: [[:], ["NOTIFY_SOCKET": ""], ["NOTIFY_SOCKET": "relative"], ["NOTIFY_SOCKET": "/does/not/exist"]])
    func withoutAManagerNothingHappens(environment: [String: String]) {
        let service = ServiceManager(environment: environment)
        service.ready(status: "x")
        service.stopping()
        #expect(service.watchdogInterval == nil)
    }
}
