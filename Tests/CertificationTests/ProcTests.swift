import Foundation
import Testing

@testable import Certification

@Suite("What /proc shows")
struct ProcTests {
    @Test("a thread that waits in splice() or with MSG_WAITALL")
    func samples() throws {
        #if arch(x86_64)
            // As /proc/PID/task/TID/syscall shows them.
            let waiting = "45 0x4 0x7f2f6c0021a0 0x10 0x100 0x0 0x0 0x7ffd2a1d9d30 0x7f2f83d1a7ee\n"
            let conduct = try #require(SystemCalls.Sample(waiting)?.conduct)
            #expect(conduct.kind == .waitAll)
            #expect(conduct.descriptor == 4)
            #expect(conduct.call == "it waits in recvfrom() with MSG_WAITALL")
            let splicing = "275 0x9 0x0 0xc 0x0 0x40000 0x3 0x7ffe5b2f7c58 0x7fd0b2e15a6e\n"
            #expect(SystemCalls.Sample(splicing)?.conduct?.kind == .splice)
            #expect(SystemCalls.Sample(splicing)?.conduct?.descriptor == 9)
            let receiving = "45 0x4 0x7f2f6c0021a0 0x10 0x0 0x0 0x0 0x7ffd2a1d9d30 0x7f2f83d1a7ee\n"
            #expect(SystemCalls.Sample(receiving) != nil)
            #expect(SystemCalls.Sample(receiving)?.conduct == nil)
            let polling = "232 0x3 0x55d0e0 0x200 0xffffffff 0x0 0x8 0x7ffd8c14f6f0 0x7f5ee2918e2e\n"
            #expect(SystemCalls.Sample(polling)?.conduct == nil)
        #endif
    }

    @Test(
        "nothing of what is no system call",
        arguments: ["running\n", "-1 0x7ffd2a1d9d30 0x7f2f83d1a7ee\n", "", "45 0x4\n"])
    func noSample(_ line: String) { #expect(SystemCalls.Sample(line) == nil) }

    @Test("sockets of a network namespace")
    func socketTable() throws {
        let table = SocketTable(
            """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20318 1 0000000000000000 100 0 0 10 0
               1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 20327 1 0000000000000000 20 4 30 10 -1
               2: broken
               3: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000200007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 20400 1 0000000000000000 20 4 30 10 -1
               4: B80D01200000000000000000010000000:0050 B80D0120000000000000000002000000:9C40 01 0:0 00:0 0     0        0 20401 1 0 20 4 30 10 -1
               5: B80D0120000000000000000001000000:0050 B80D0120000000000000000002000000:9C40 01 00000000:00000000 00:00000000 00000000     0        0 20402 1 0 20 4 30 10 -1
            """)
        #expect(table.entries.keys.sorted() == [20318, 20327, 20400, 20402])
        #expect(table.entries[20318]?.state == 10)
        let connected = try #require(table.entries[20327])
        #expect(connected.local == "127.0.0.1:8080")
        #expect(connected.peer == "127.0.0.1:50000")
        #expect(table.entries[20400]?.local == "127.0.0.1:80")
        #expect(table.entries[20402]?.peer == "[2001:db8::2]:40000")
        #expect(!SocketTable.isConnected(10))
        #expect(SocketTable.isConnected(1))
    }

    @Test("flags of descriptors are octal")
    func flags() {
        #expect(SocketTable.flags("pos:\t0\nflags:\t02004002\nmnt_id:\t8\n") == 0o2004002)
        #expect(SocketTable.flags("pos:\t0\n") == nil)
    }

    @Test("a process's own sockets, blocking and not")
    func ownSockets() throws {
        let (listener, address) = try Self.listen()
        defer { close(listener) }
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(client) }
        var place = address
        let result = unsafe withUnsafePointer(to: &place) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(result == 0)
        func own() -> SocketObservation? {
            SocketTable(process: getpid()).sockets(of: getpid()).first { $0.descriptor == client }
        }
        #expect(own()?.isBlocking == true)
        #expect(own()?.peer == "127.0.0.1:\(UInt16(bigEndian: address.sin_port))")
        _ = fcntl(client, F_SETFL, O_NONBLOCK)
        #expect(own()?.isBlocking == false)
        #expect(!SocketTable(process: getpid()).sockets(of: getpid()).contains { $0.descriptor == listener })
    }

    private static func listen() throws -> (Int32, sockaddr_in) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && Glibc.listen(listener, 4) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        try #require(isBound)
        return (listener, address)
    }
}

@Suite("Programs")
struct ProgramTests {
    @Test("are known by their executable and the files that they were started with")
    func program() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "weft-program-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let script = directory.appendingPathComponent("script.sh")
        func read(_ text: String) throws -> Program {
            try text.write(to: script, atomically: false, encoding: .utf8)
            // The time of a process's start is known to a hundredth of a second.
            usleep(50_000)
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["script.sh", "/nonexistent"]
            process.currentDirectoryURL = directory
            let input = Pipe()
            process.standardInput = input
            try process.run()
            defer {
                try? input.fileHandleForWriting.close()
                process.waitUntilExit()
            }
            var reader = ProgramReader()
            var program: Program?
            // Until it has become the shell.
            for _ in 0..<100 {
                program = reader.program(of: process.processIdentifier)?.program
                if program?.files.count == 2 { break }
                usleep(10_000)
            }
            return try #require(program)
        }
        let first = try read("read line\n")
        #expect(first.files.map(\.path) == [first.path, "script.sh"])
        #expect(Program.isDigest(first.digest))
        #expect(try read("read line\n").digest == first.digest)
        let other = try read("read line # another\n")
        #expect(other.digest != first.digest)
        #expect(other.files[0] == first.files[0])
    }

    @Test(
        "SHA-256 is NIST's",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ])
    func digest(_ text: String, _ expected: String) { #expect(Digest.sha256(of: Array(text.utf8)) == expected) }

    private func traits(_ bytes: [UInt8]) -> ExecutableTraits? {
        ExecutableTraits.of { offset, length in
            guard let start = Int(exactly: offset), start < bytes.count, length > 0 else { return [] }
            return Array(bytes[start..<min(bytes.count, start + min(length, bytes.count))])
        }
    }

    @Test("tell what they import")
    func imports() throws {
        let own = Array(try Data(contentsOf: URL(filePath: "/proc/self/exe")).prefix(256 << 20))
        #expect(traits(own)?.contains(.otherArchitecture) == false)
        let shell = Array(try Data(contentsOf: URL(filePath: "/bin/sh")))
        #expect(traits(shell) == [])
        #expect(traits(Array("#!/bin/sh\n".utf8)) == nil)
        let nginx = Array(try Data(contentsOf: URL(filePath: "/usr/sbin/nginx")))
        #expect(traits(nginx)?.contains(.asksFIONREAD) == true)
        var foreign = shell
        foreign[4] = 1
        #expect(traits(foreign) == .otherArchitecture)
    }

    @Test("that are broken are refused or read, and crash nothing")
    func hostile() throws {
        let shell = Array(try Data(contentsOf: URL(filePath: "/bin/sh")))
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var broken = Array(shell.prefix(Int.random(in: 0...shell.count, using: &random)))
            for _ in 0..<8 where broken.count > 64 {
                broken[Int.random(in: 4..<64, using: &random)] = UInt8.random(in: 0...255, using: &random)
                broken[Int.random(in: 0..<broken.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = traits(broken)
        }
    }
}
